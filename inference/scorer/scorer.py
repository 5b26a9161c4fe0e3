"""The scorer: exactly one committed prediction for each accepted event.

Read features.log, drop what its lanes have seen, score, and commit predictions, review cases,
drift events, offsets and lane numbers in one transaction. An aborted transaction is done again from the
committed offsets; anything else that goes wrong ends the worker, and its successor goes on from there.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from contracts.crash_points import reach
from contracts.errors import Stop
from contracts.frame import Columns, Frame, FrameError, Kind, concat, length
from contracts.frame_check import FrameReader, InputEnds, Refused, bounded
from contracts.lanes import Lanes, accept, rejoin
from contracts.refused_frames import refused_letter
from contracts.topics import DRIFT, FEATURES_LOG, PREDICTIONS, REVIEWS
from features.meaning import meanings_of
from inference.drift.events import DriftEvent
from inference.drift.full_windows import LONG_AGO, reaches_of
from inference.offline.lake.seed_note import read_seed
from inference.reading.feature_rows import columns_needed, for_scoring, scoring_columns
from inference.review.desk import Opened, ReviewDesk
from inference.scorer.core import Scored, ScorerCore
from inference.scorer.health import ScorerHealth
from inference.scorer.kafka import check_event, committed_positions
from inference.scorer.metrics import ScorerMetrics
from inference.scorer.position import Position, encode_lanes
from inference.scorer.settings import ScorerSettings
from runtime.clock import Clock
from runtime.ending import end
from runtime.health import Health
from runtime.input_record import InputRecord
from runtime.kafka_errors import is_end
from runtime.unreadable import CODE, REASON, Passer, is_unreadable
from runtime.watchdog import Watchdog

LANES_LOGGED_MAX = 64  # of a record's invented lane names no more are kept
FEATURE_ROW_BYTES = 512  # about; a batch is bounded by bytes, known before a record is decoded

log = structlog.get_logger(__name__)


class Clients(NamedTuple):
    """The two ends of a scorer, made by `scorer_kafka`, and who knows how far its lanes' inputs have come."""

    consumer: Consumer
    producer: Producer
    ends: InputEnds | None = None


class Record(NamedTuple):
    """One record of features.log."""

    partition: int
    offset: int
    value: bytes
    unreadable_until: int = 0  # the offset behind a batch that cannot be unpacked


class Batch(NamedTuple):
    """Rows to score, and where each partition stands once they are."""

    rows: Columns
    reached: dict[int, Position]
    refused: list[Refused]


class Scorer:
    """One worker. `run` until told to stop; every call happens in one thread."""

    def __init__(
        self,
        clients: Clients,
        core: ScorerCore,
        metrics: ScorerMetrics,
        settings: ScorerSettings,
        clock: Clock,
        health: Health | None = None,
    ) -> None:
        self._health = ScorerHealth(health)
        self._consumer, self._producer, ends = clients
        self._watchdog = Watchdog(self._stuck)
        self._core, self._metrics, self._settings, self._clock = core, metrics, settings, clock
        project, pipeline = core.project, core.project.pipeline
        self._columns, self._reaches = scoring_columns(pipeline), reaches_of(project)
        self._meanings = meanings_of(project.entities, settings.lake)
        needed = columns_needed(pipeline)
        self._frames = FrameReader(FEATURES_LOG.name, pipeline, needed, ends, self._meanings)
        self._log = FEATURES_LOG.full_name(settings.topic_prefix)
        self._predictions = PREDICTIONS.full_name(settings.topic_prefix)
        self._drift = DRIFT.full_name(settings.topic_prefix)
        self._reviews = REVIEWS.full_name(settings.topic_prefix)
        self._dead_letters = pipeline.scored.dead_letters.full_name(settings.topic_prefix)
        self._desk = ReviewDesk(settings.epoch, settings.partitions, project)
        self._passer = Passer(settings.kafka)
        self._positions: dict[int, Position] = {}
        self._input = InputRecord(settings.lake)
        self._gathered: list[Record] = []
        self._ends: dict[int, int] = {}
        self._told: list[DriftEvent] = []
        self._gapped: set[str] = set()
        self._seeded = settings.lake is not None and read_seed(settings.lake) is not None

    def run(self, stopping: Callable[[], bool]) -> None:
        """Score until `stopping()`.

        Raises:
            Stop: the worker must be started again.
            StateError, ClusterError: the operator must act first.
        """
        self._consumer.subscribe([self._log], on_assign=self._assigned, on_revoke=self._revoked)
        while not stopping():
            reach("scorer.turn")
            batch = self._accepted(self._gather())
            self._health.turned(is_settled=not batch.reached or self._settle(batch))

    def _gather(self) -> list[Record]:
        """Return what waits, up to a batch; a rebalance meanwhile empties what was gathered."""
        self._gathered, self._ends = [], {}
        wait_s = self._settings.poll_ms / 1000
        room_bytes = self._settings.rows_max * FEATURE_ROW_BYTES
        while room_bytes > 0 and (message := self._consumer.poll(wait_s)) is not None:
            wait_s = 0.0
            error = message.error()
            if is_end(error):
                self._ends[message.partition() or 0] = message.offset() or 0
                continue
            if error is not None and is_unreadable(message):
                self._pass_over(message)
                continue
            if error is not None:
                check_event(error)
                log.warning("kafka_error", error=error.str())
                continue
            record = Record(message.partition() or 0, message.offset() or 0, message.value() or b"")
            self._gathered.append(record)
            room_bytes -= len(record.value)
        return self._gathered

    def _accepted(self, records: list[Record]) -> Batch:
        """Return the rows that were not seen before; the worker's own positions stay as committed."""
        reached: dict[int, Position] = {}
        parts: list[Columns] = []
        refused: list[Refused] = []
        for record in records:
            old = reached.get(record.partition) or self._positions[record.partition]
            if record.offset < old.offset:
                continue  # fetched before the worker went back
            lanes = dict(old.lanes)
            following = record.unreadable_until or record.offset + 1
            at = old._replace(offset=following, lanes=lanes)
            reached[record.partition] = at
            if record.unreadable_until:
                refused.append(self._unreadable(record))
                continue
            try:
                frame = self._frames.read(record.value, lanes)
            except FrameError as error:
                refused.append(self._refused(record, error))
                continue
            if old.joined is not None:
                joined = self._rejoined(record.partition, frame, lanes, old.joined)
                reached[record.partition] = Position(record.offset + 1, lanes, joined, old.sampled)
            rows = accept(frame, lanes, self._gap)
            reached[record.partition] = at._replace(
                began=self._reaches.began_with(at.began, frame.kind, rows)
            )
            if frame.kind == Kind.SCORED and length(rows):
                parts.append(for_scoring(rows, self._columns, self._meanings))
        for partition, upto in self._ends.items():  # what is behind the last record is none
            stood = reached.get(partition) or self._positions.get(partition)
            if stood is not None and upto > stood.offset:
                reached[partition] = stood._replace(offset=upto)
        return Batch(concat(parts) if parts else {}, reached, refused)

    def _rejoined(
        self, partition: int, frame: Frame, lanes: Lanes, joined: frozenset[str]
    ) -> frozenset[str] | None:
        """Let a frame's lane go on behind what is gone; return the lanes met by then, None for all."""
        met = set(joined)
        lost = rejoin(frame, lanes, met)
        if lost is not None and lost[1]:
            log.warning("lost_in_hole", src=lost[0], frm=lost[1], to=lost[2])
            self._input.lost(lost, (FEATURES_LOG.name, partition), "score")
        return None if len(met) >= self._settings.partitions else frozenset(met)

    def _settle(self, batch: Batch) -> bool:
        """Score the batch and commit all that comes of it, or nothing; return which.

        The transaction has an end: a coordinator that does not come back ends the worker, and its successor
        asks what was committed.
        """
        self._tell_beginnings(batch.reached)
        scored = self._core.score(batch.rows, self._clock.now_ms())
        opened = self._opened(batch, scored)
        reached = {
            number: at._replace(sampled=opened.spent.get(number, at.sampled))
            for number, at in batch.reached.items()
        }
        began_ms = self._clock.elapsed_ms()
        try:
            with self._watchdog.watching(1.5 * self._settings.transaction_timeout_ms / 1000):
                self._commit(scored, opened.records, reached, batch.refused)
        except KafkaException as error:
            self._abort(error)
            return False
        self._positions.update(reached)
        self._metrics.committed(scored, self._clock.elapsed_ms() - began_ms)
        self._metrics.cases_opened(opened.whys)
        if scored.judged is not None:
            self._health.served(is_available=scored.judged.served.available)
        self._told = []
        self._lag(reached)
        return True

    def _opened(self, batch: Batch, scored: Scored) -> Opened:
        """Return the cases for people that come of the batch."""
        if scored.judged is None or scored.engine is None or scored.timing is None or scored.arms is None:
            return Opened([], {}, {})
        spent = {number: at.sampled for number, at in batch.reached.items()}
        decided_at_ms = int(scored.timing.scored_at_ms)
        return self._desk.open(batch.rows, scored.judged, scored.engine, scored.arms, decided_at_ms, spent)

    def _commit(
        self,
        scored: Scored,
        cases: list[dict[str, bytes]],
        reached: dict[int, Position],
        refused: list[Refused],
    ) -> None:
        wait_s = self._settings.transaction_timeout_ms / 1000
        self._producer.begin_transaction()
        self._produce(scored)
        self._send(self._reviews, cases)
        self._keep(refused)
        reach("scorer.after_produce")
        group = self._consumer.consumer_group_metadata()
        self._producer.send_offsets_to_transaction(self._offsets(reached), group, wait_s)
        reach("scorer.after_send_offsets")
        self._producer.commit_transaction(wait_s)
        reach("scorer.after_commit")

    def _produce(self, scored: Scored) -> None:
        records = [
            {"key": key, "value": value} for key, value in zip(scored.keys, scored.predictions, strict=True)
        ]
        self._send(self._predictions, records)
        for event in [*self._told, *scored.drift]:
            self._producer.produce(self._drift, msgspec.json.encode(event), event.detector)

    def _keep(self, refused: list[Refused]) -> None:
        """Leave a dead letter of each refused record, in the transaction that passes over it."""
        for one in refused:
            key, value, headers = refused_letter(one, "scorer")
            self._producer.produce(self._dead_letters, value, key, headers=headers)  # type: ignore[arg-type]

    def _send(self, topic: str, records: list[dict[str, bytes]]) -> None:
        queued = self._producer.produce_batch(topic, records) if records else 0
        if queued != len(records):
            raise Stop(71, "E_SCORER_PRODUCE", f"{queued} of {len(records)} records queued", topic)

    def _offsets(self, reached: dict[int, Position]) -> list[TopicPartition]:
        return [
            TopicPartition(
                self._log,
                number,
                at.offset,
                encode_lanes(at.lanes, f"{self._log}/{number}", at.sampled, at.began, at.joined),
            )
            for number, at in reached.items()
        ]

    def _abort(self, error: KafkaException) -> None:
        """Go back to what is committed, or end when it is not known what that is."""
        cause = error.args[0]
        if not cause.txn_requires_abort():
            raise Stop(74, "E_SCORER_TRANSACTION", str(cause), self._settings.worker) from error
        log.warning("transaction_aborted", error=str(cause))
        self._metrics.aborts.inc()
        try:
            wait_s = self._settings.transaction_timeout_ms / 1000
            with self._watchdog.watching(1.5 * wait_s):
                self._producer.abort_transaction(wait_s)
        except KafkaException as failed:
            raise Stop(74, "E_SCORER_ABORT", str(failed.args[0]), self._settings.worker) from failed
        self._begin("a transaction was aborted")
        for number, at in self._positions.items():
            self._consumer.seek(TopicPartition(self._log, number, at.offset))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Begin where the group stands; called by poll."""
        reach("scorer.on_assign")
        self._gathered.clear()
        self._ends.clear()
        self._positions = committed_positions(consumer, partitions, self._input)
        self._begin("the partition was taken over")
        consumer.assign([TopicPartition(self._log, n, at.offset) for n, at in self._positions.items()])
        log.info("assigned", offsets={number: at.offset for number, at in self._positions.items()})

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Let go; called by poll, so never while a transaction is open."""
        reach("scorer.on_revoke")
        self._gathered.clear()
        self._ends.clear()
        self._positions.clear()
        self._core.drift.drop([part.partition for part in partitions])
        log.info("revoked", partitions=[part.partition for part in partitions])

    def _stuck(self) -> None:
        """End the process from the watchdog's thread: the thread that waits will not be back."""
        end(Stop(74, "E_SCORER_STUCK", "a transaction does not end", self._settings.worker))

    def _begin(self, why: str) -> None:
        """Start the detectors of all partitions anew; the next transaction tells so."""
        self._gapped.clear()
        self._tell_beginnings(self._positions)
        self._told = self._core.drift.restart(list(self._positions), why)

    def _pass_over(self, message: Message) -> None:
        """Give an unreadable batch some tries; then a record stands for it, and what follows is read."""
        passed = self._passer.look(message)
        if passed is not None:
            self._consumer.seek(passed.next)
            self._gathered.append(Record(passed.partition, passed.first, b"", passed.behind))

    def _unreadable(self, record: Record) -> Refused:
        reason = f"{REASON}: offsets {record.offset} to {record.unreadable_until - 1}"
        self._metrics.refused_frames.labels(CODE).inc()
        log.error("records_passed_over", code=CODE, partition=record.partition, first=record.offset)
        return Refused(FEATURES_LOG.name, record.partition, record.offset, CODE, reason, b"")

    def _refused(self, record: Record, error: FrameError) -> Refused:
        """Count a record that no stage of ours wrote, and return what is kept of it."""
        self._metrics.refused_frames.labels(bounded(error.code)).inc()
        log.error("frame_refused", code=error.code, offset=record.offset, partition=record.partition)
        return Refused(
            FEATURES_LOG.name, record.partition, record.offset, error.code, str(error), record.value
        )

    def _tell_beginnings(self, positions: Mapping[int, Position]) -> None:
        """Let drift know when each partition's stream began; with a seed its windows were full at once."""
        for number, at in positions.items():
            self._core.drift.began_at(number, LONG_AGO if self._seeded else at.began)

    def _gap(self, frame: Frame) -> None:
        """Count a record beyond its lane; logged once a lane, as those that follow fall away too."""
        self._metrics.gaps.inc()
        if frame.src not in self._gapped and len(self._gapped) < LANES_LOGGED_MAX:
            self._gapped.add(frame.src)
            log.error("lane_gap", src=frame.src, frm=frame.frm, to=frame.to)

    def _lag(self, reached: dict[int, Position]) -> None:
        for number, at in reached.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._log, number), cached=True)
            if high >= 0:  # the broker has told
                self._metrics.lag.labels(str(number)).set(max(0, high - at.offset))
