"""The learner on Kafka: one a run, exactly once.

Rows are only kept until a moment is due; then its report, the offsets read by then and what was said so far
commit in one transaction. A successor reads the log again up to those offsets (from a snapshot on, where
there is one), which gives the same rows and so the same state, and goes on from there.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from contracts.crash_points import reach
from contracts.errors import StateError, Stop
from contracts.events import Quality
from contracts.frame_check import InputEnds
from contracts.topics import CHANGELOG_LEARNER, DRIFT, FEATURES_LOG, PREDICTIONS, QUALITY
from inference.learning import evidence, snapshot
from inference.learning.core import LearnerCore, Memory
from inference.learning.intake import Intake, Place
from inference.learning.kafka import last_state, low_offset, partitions_of
from inference.learning.metrics import LearnerMetrics
from inference.learning.ports import Trainer
from inference.learning.settings import LearnerSettings
from inference.learning.snapshot import Offsets
from runtime.ending import end
from runtime.health import Health
from runtime.input_record import InputRecord
from runtime.unreadable import Passer
from runtime.watchdog import Watchdog

VERSION = 1
STATE_KEY = b"state"
READER = "learn"
TURN_LIMIT_S = 600.0  # a report over a large ledger, its transaction and a snapshot are one turn
QUIET_S = 1.0  # how long everything must have been read before a run to the end is over
log = structlog.get_logger(__name__)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The record of `changelog.learner`: what was said, and the offsets that had been read by then."""

    v: int
    epoch: int
    offsets: Offsets
    memory: Memory


class Clients(NamedTuple):
    """The two ends of a learner, made by `learner.kafka`."""

    consumer: Consumer
    producer: Producer
    ends: InputEnds | None = None


class Learner:
    """One worker. `run` until told to stop; every call happens in one thread."""

    def __init__(
        self, clients: Clients, core: LearnerCore, trainer: Trainer, metrics: LearnerMetrics,
        settings: LearnerSettings, health: Health | None = None,
    ) -> None:  # fmt: skip
        health = health or Health()
        self._loop = health.part("loop", TURN_LIMIT_S)
        self._transaction = health.part("transaction", math.inf)  # reports are due by event time
        self._consumer, self._producer, ends = clients
        self._core, self._trainer, self._metrics, self._settings = core, trainer, metrics, settings
        self._intake = Intake(core, metrics, settings.topic_prefix, Passer(settings.kafka), ends)
        self._input = InputRecord(settings.lake)
        self._watchdog = Watchdog(self._stuck)
        self._reports = 0

    def start(self) -> None:
        """Read what the last report knew, and go on from there.

        Raises:
            Stop: the worker must be started again.
            StateError: E_LEARNER_STATE, the state is of another version.
        """
        began_s = time.monotonic()
        state = self._state()
        reported = state.offsets if state is not None else {}
        meta = None
        if state is not None and self._settings.folder is not None:
            meta = self._snapshot(self._settings.folder, reported)
        begins = self._beginnings()
        offsets = begins if meta is None else self._go_on(meta.offsets, begins)
        reported = self._go_on(reported, begins) if state is not None else reported
        cut = self._cut(begins, fresh=meta is None)
        self._intake.begin(offsets, {} if meta is None else meta.lanes, cut)
        self._assign()
        if state is not None:
            self._catch_up(reported)
            self._core.resume(state.memory)
        rows = len(self._core.ledger.predictions)
        log.info(
            "learner_started", seconds=round(time.monotonic() - began_s, 3), predictions=rows,
            snapshot=meta is not None, reported_ms=self._core.memory.reported_ms,
        )  # fmt: skip

    def run(self, stopping: Callable[[], bool], *, to_the_end: bool = False) -> None:
        """Read and report until `stopping()`, or until all that is in the log has been read.

        A run to the end closes with a report of the newest moment.

        Raises:
            Stop: the worker must be started again.
        """
        quiet_since_s: float | None = None
        while not stopping():
            reach("learner.turn")
            self._loop.moved()
            self._take()
            self._report_due()
            self._look_at_training()
            quiet_since_s = (quiet_since_s or time.monotonic()) if self._intake.at_end else None
            if to_the_end and quiet_since_s is not None and time.monotonic() - quiet_since_s > QUIET_S:
                self._report_the_end()
                return

    def _take(self) -> set[Place]:
        """Take in what waits; return the partitions that have reached their limit."""
        messages = self._consumer.consume(self._settings.records_a_poll, self._settings.poll_ms / 1000)
        reached = self._intake.take(messages)
        for passed in self._intake.take_passed():
            self._consumer.seek(passed.next)
        return reached

    def _report_the_end(self) -> None:
        newest_ms = self._intake.newest_ms
        if newest_ms and newest_ms != self._core.memory.ended_ms:
            self._commit(self._core.report(newest_ms, final=True).quality, [])

    def _report_due(self) -> None:
        for at_ms in self._core.due(self._intake.watermark_ms):
            with self._metrics.report_s.time():
                report = self._core.report(at_ms)
            self._commit(report.quality, report.drift)
            if advanced := self._core.advance(at_ms):
                self._commit(advanced, [])
            if report.train_until_ms is not None:
                self._trainer.start(report.train_until_ms)
            self._metrics.reported_ms.set(at_ms)
            for table in ("predictions", "shadows", "events", "labels"):
                self._metrics.rows.labels(table).set(len(getattr(self._core.ledger, table)))
            self._reports += 1
            if self._settings.folder is not None and self._reports % self._settings.snapshot_reports == 0:
                self._save(self._settings.folder)

    def _snapshot(self, folder: Path, reported: Offsets) -> snapshot.Meta | None:
        """Return what a snapshot held; one that is damaged costs a longer start and nothing else."""
        try:
            return snapshot.load(folder, self._core, self._settings.epoch, reported)
        except StateError as error:
            self._metrics.snapshot_failures.inc()
            log.error("snapshot_not_read", code=error.code, error=str(error))
            return None

    def _save(self, folder: Path) -> None:
        """Write a snapshot; without one the next start reads more of the log and nothing is lost."""
        try:
            snapshot.save(folder, self._core, self._settings.epoch, self._intake.offsets, self._intake.lanes)
        except OSError as error:
            self._metrics.snapshot_failures.inc()
            log.error("snapshot_not_written", code="E_LEARNER_SNAPSHOT", why=str(error))

    def _look_at_training(self) -> None:
        outcome = self._trainer.outcome()
        if outcome is not None:
            self._commit(self._core.trained(outcome), [])

    def _commit(self, told: Sequence[Quality], drift: Sequence[Any]) -> None:
        """Send records, and what was said and read by now, or nothing."""
        wait_s = self._settings.transaction_timeout_ms / 1000
        prefix = self._settings.topic_prefix
        state = State(
            v=VERSION, epoch=self._settings.epoch, offsets=self._intake.offsets, memory=self._core.memory
        )
        try:
            with self._watchdog.watching(1.5 * wait_s):
                self._producer.begin_transaction()
                for record in told:
                    data = msgspec.json.encode(record)
                    self._producer.produce(QUALITY.full_name(prefix), data, record.kind)
                for event in drift:
                    self._producer.produce(
                        DRIFT.full_name(prefix), msgspec.json.encode(event), event.detector
                    )
                self._producer.produce(
                    CHANGELOG_LEARNER.full_name(prefix), msgspec.json.encode(state), STATE_KEY, 0
                )
                reach("learner.after_produce")
                self._producer.commit_transaction(wait_s)
                reach("learner.after_commit")
        except (KafkaException, BufferError) as error:
            raise Stop(74, "E_LEARNER_TRANSACTION", str(error), self._settings.group) from error
        self._transaction.moved()
        self._metrics.committed(told)
        evidence.leave(self._settings.models, told)

    def _state(self) -> State | None:
        value = last_state(self._settings)
        if value is None:
            return None
        try:
            state = msgspec.json.decode(value, type=State)
        except msgspec.MsgspecError as error:
            raise StateError(
                "E_LEARNER_STATE", f"the state cannot be read: {error}", CHANGELOG_LEARNER.name,
                "run the version that wrote it",
            ) from error  # fmt: skip
        if state.v != VERSION:
            raise StateError(
                "E_LEARNER_STATE", f"state of version {state.v}, not {VERSION}", CHANGELOG_LEARNER.name,
                "run the version that wrote it",
            )  # fmt: skip
        return state

    def _beginnings(self) -> Offsets:
        """Return where the retained log begins."""
        offsets: Offsets = {}
        for topic in (PREDICTIONS, FEATURES_LOG, DRIFT):
            name = topic.full_name(self._settings.topic_prefix)
            numbers = partitions_of(self._consumer, name)
            offsets[topic.name] = {n: low_offset(self._consumer, name, n) for n in numbers}
        return offsets

    def _go_on(self, stood: Offsets, begins: Offsets) -> Offsets:
        """Return where to go on from what was read: behind accepted holes; new partitions at their beginning.

        Raises:
            StateError: E_INPUT_HOLE, records were deleted unread, and nobody has accepted that.
        """
        return {
            topic: {
                number: self._input.go_on(READER, (topic, number), stood.get(topic, {}).get(number, low), low)
                for number, low in partitions.items()
            }
            for topic, partitions in begins.items()
        }

    def _cut(self, begins: Offsets, *, fresh: bool) -> list[int]:
        """Return the partitions of features.log of which a part is gone."""
        lows = begins[FEATURES_LOG.name]
        holes = {
            h.partition for h in self._input.accepted() if (h.reader, h.topic) == (READER, FEATURES_LOG.name)
        }
        return [number for number, low in lows.items() if number in holes or (fresh and low > 0)]

    def _assign(self) -> None:
        prefix = self._settings.topic_prefix
        self._consumer.assign(
            [
                TopicPartition(prefix + topic, number, offset)
                for topic, partitions in self._intake.offsets.items()
                for number, offset in partitions.items()
            ]
        )

    def _catch_up(self, reported: Offsets) -> None:
        """Read each partition up to where the last report had read it, and no further."""
        places: dict[Place, int] = {
            (topic, number): offset
            for topic, partitions in reported.items()
            for number, offset in partitions.items()
        }
        self._intake.limits = places
        waiting = {p for p, limit in places.items() if self._intake.offsets[p[0]][p[1]] < limit}
        while waiting:
            waiting -= self._take()
            waiting -= {p for p in waiting if self._intake.offsets[p[0]][p[1]] >= places[p]}
        self._intake.go_on(reported)
        self._assign()

    def _stuck(self) -> None:
        """End the process from the watchdog's thread: the thread that waits will not be back."""
        end(Stop(74, "E_LEARNER_STUCK", "a transaction does not end", self._settings.group))
