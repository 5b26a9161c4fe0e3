"""The learner on Kafka: one a run, exactly once.

Rows are only kept until a moment is due; then its report, the offsets read by then and what was said so far
commit in one transaction. A successor reads the log again up to those offsets (from a snapshot on, where
there is one), which gives the same rows and so the same state, and goes on from there.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from contracts.crash_points import reach
from contracts.errors import StateError, Stop
from contracts.events import Quality
from contracts.topics import CHANGELOG_LEARNER, DRIFT, FEATURES_LOG, PREDICTIONS, QUALITY
from inference.learner import evidence, snapshot
from inference.learner.core import LearnerCore, Memory
from inference.learner.intake import Intake, Place
from inference.learner.kafka import last_state, low_offset
from inference.learner.metrics import LearnerMetrics
from inference.learner.ports import Trainer
from inference.learner.settings import LearnerSettings
from inference.learner.snapshot import Offsets
from inference.watchdog import Watchdog

VERSION = 1
STATE_KEY = b"state"
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


class Learner:
    """One worker. `run` until told to stop; every call happens in one thread."""

    def __init__(
        self, clients: Clients, core: LearnerCore, trainer: Trainer, metrics: LearnerMetrics,
        settings: LearnerSettings,
    ) -> None:  # fmt: skip
        self._consumer, self._producer = clients
        self._core, self._trainer, self._metrics, self._settings = core, trainer, metrics, settings
        self._intake = Intake(core, metrics, settings.topic_prefix)
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
            meta = snapshot.load(self._settings.folder, self._core, self._settings.epoch, reported)
        offsets, cut = self._beginnings() if meta is None else (meta.offsets, [])
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
            messages = self._consumer.consume(self._settings.records_a_poll, self._settings.poll_ms / 1000)
            self._intake.take(messages)
            self._report_due()
            self._look_at_training()
            quiet_since_s = (quiet_since_s or time.monotonic()) if self._intake.at_end else None
            if to_the_end and quiet_since_s is not None and time.monotonic() - quiet_since_s > QUIET_S:
                self._report_the_end()
                return

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
            for table in ("predictions", "shadows", "payments", "labels"):
                self._metrics.rows.labels(table).set(len(getattr(self._core.ledger, table)))
            self._reports += 1
            if self._settings.folder is not None and self._reports % self._settings.snapshot_reports == 0:
                snapshot.save(
                    self._settings.folder, self._core, self._settings.epoch, self._intake.offsets,
                    self._intake.lanes,
                )  # fmt: skip

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
                    CHANGELOG_LEARNER.full_name(prefix), msgspec.json.encode(state), STATE_KEY
                )
                reach("learner.after_produce")
                self._producer.commit_transaction(wait_s)
                reach("learner.after_commit")
        except (KafkaException, BufferError) as error:
            raise Stop(74, "E_LEARNER_TRANSACTION", str(error), self._settings.group) from error
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

    def _beginnings(self) -> tuple[Offsets, list[int]]:
        """Return where the retained log begins, and the partitions of features.log whose head is gone."""
        prefix, count = self._settings.topic_prefix, self._settings.partitions
        offsets: Offsets = {}
        for topic, partitions in ((PREDICTIONS, count), (FEATURES_LOG, count), (DRIFT, 1)):
            name = topic.full_name(prefix)
            offsets[topic.name] = {n: low_offset(self._consumer, name, n) for n in range(partitions)}
        return offsets, [number for number, low in offsets[FEATURES_LOG.name].items() if low]

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
            reached = self._intake.take(
                self._consumer.consume(self._settings.records_a_poll, self._settings.poll_ms / 1000)
            )
            waiting -= reached
            waiting -= {p for p in waiting if self._intake.offsets[p[0]][p[1]] >= places[p]}
        self._intake.go_on(reported)
        self._assign()

    def _stuck(self) -> None:
        """End the process from the watchdog's thread: the thread that waits will not be back."""
        stop = Stop(74, "E_LEARNER_STUCK", "a transaction does not end", self._settings.group)
        log.error("stopped", code=stop.code, reason=str(stop))
        os._exit(stop.exit_code)
