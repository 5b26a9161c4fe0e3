"""The scorer: exactly one committed prediction for each accepted payment.

Read features.log, drop what its lanes have seen, score, and commit predictions, review cases,
drift events, offsets and lane numbers in one transaction. An aborted transaction is done again from the
committed offsets; anything else that goes wrong ends the worker, and its successor goes on from there.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from contracts.crash_points import reach
from contracts.errors import Stop
from contracts.frame import Columns, Frame, FrameError, Kind, concat, decode, length
from contracts.lanes import accept
from contracts.meaning import Meanings
from contracts.topics import DRIFT, FEATURES_LOG, PREDICTIONS, REVIEWS
from inference.clock import Clock
from inference.drift.events import DriftEvent
from inference.reading.feature_rows import OWN, for_scoring
from inference.review.desk import Opened, ReviewDesk
from inference.scorer.core import Scored, ScorerCore
from inference.scorer.kafka import check_event, committed_positions
from inference.scorer.metrics import ScorerMetrics
from inference.scorer.position import Position, encode_lanes
from inference.scorer.settings import ScorerSettings
from inference.watchdog import Watchdog

FEATURE_ROW_BYTES = 512  # about; a batch is bounded by bytes, known before a record is decoded

log = structlog.get_logger(__name__)


class Clients(NamedTuple):
    """The two ends of a scorer, made by `scorer_kafka`."""

    consumer: Consumer
    producer: Producer


class Record(NamedTuple):
    """One record of features.log."""

    partition: int
    offset: int
    value: bytes


class Batch(NamedTuple):
    """Rows to score, and where each partition stands once they are."""

    rows: Columns
    reached: dict[int, Position]


class Scorer:
    """One worker. `run` until told to stop; every call happens in one thread."""

    def __init__(
        self,
        clients: Clients,
        core: ScorerCore,
        metrics: ScorerMetrics,
        settings: ScorerSettings,
        clock: Clock,
    ) -> None:
        self._consumer, self._producer = clients
        self._watchdog = Watchdog(self._stuck)
        self._core, self._metrics, self._settings, self._clock = core, metrics, settings, clock
        self._meanings = Meanings(tuple(OWN.own.values()), settings.lake)
        self._log = FEATURES_LOG.full_name(settings.topic_prefix)
        self._predictions = PREDICTIONS.full_name(settings.topic_prefix)
        self._drift = DRIFT.full_name(settings.topic_prefix)
        self._reviews = REVIEWS.full_name(settings.topic_prefix)
        self._desk = ReviewDesk(settings.epoch, settings.partitions)
        self._positions: dict[int, Position] = {}
        self._gathered: list[Record] = []
        self._told: list[DriftEvent] = []
        self._gapped: set[str] = set()

    def run(self, stopping: Callable[[], bool]) -> None:
        """Score until `stopping()`.

        Raises:
            Stop: the worker must be started again.
            StateError, ClusterError: the operator must act first.
        """
        self._consumer.subscribe([self._log], on_assign=self._assigned, on_revoke=self._revoked)
        while not stopping():
            batch = self._accepted(self._gather())
            if batch.reached:
                self._settle(batch)

    def _gather(self) -> list[Record]:
        """Return what waits, up to a batch; a rebalance meanwhile empties what was gathered."""
        self._gathered = []
        wait_s = self._settings.poll_ms / 1000
        room_bytes = self._settings.rows_max * FEATURE_ROW_BYTES
        while room_bytes > 0 and (message := self._consumer.poll(wait_s)) is not None:
            wait_s = 0.0
            error = message.error()
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
        for record in records:
            old = reached.get(record.partition) or self._positions[record.partition]
            if record.offset < old.offset:
                continue  # fetched before the worker went back
            lanes = dict(old.lanes)
            reached[record.partition] = Position(record.offset + 1, lanes, old.cut, old.sampled)
            frame = self._frame(record)
            if frame is None:
                continue
            if old.cut:
                lanes.setdefault(frame.src, frame.frm)
            rows = accept(frame, lanes, self._gap)
            if frame.kind == Kind.FEATURE and length(rows):
                parts.append(for_scoring(rows, self._meanings))
        return Batch(concat(parts) if parts else {}, reached)

    def _settle(self, batch: Batch) -> None:
        """Score the batch and commit all that comes of it, or nothing.

        The transaction has an end: a coordinator that does not come back ends the worker, and its successor
        asks what was committed.
        """
        scored = self._core.score(batch.rows, self._clock.now_ms())
        opened = self._opened(batch, scored)
        reached = {
            number: at._replace(sampled=opened.spent.get(number, at.sampled))
            for number, at in batch.reached.items()
        }
        began_ms = self._clock.elapsed_ms()
        try:
            with self._watchdog.watching(1.5 * self._settings.transaction_timeout_ms / 1000):
                self._commit(scored, opened.records, reached)
        except KafkaException as error:
            self._abort(error)
            return
        self._positions.update(reached)
        self._metrics.committed(scored, self._clock.elapsed_ms() - began_ms)
        self._metrics.cases_opened(opened.whys)
        self._told = []
        self._lag(reached)

    def _opened(self, batch: Batch, scored: Scored) -> Opened:
        """Return the cases for people that come of the batch."""
        if scored.judged is None or scored.engine is None or scored.timing is None or scored.arms is None:
            return Opened([], {}, {})
        spent = {number: at.sampled for number, at in batch.reached.items()}
        decided_at_ms = int(scored.timing.scored_at_ms)
        return self._desk.open(batch.rows, scored.judged, scored.engine, scored.arms, decided_at_ms, spent)

    def _commit(self, scored: Scored, cases: list[dict[str, bytes]], reached: dict[int, Position]) -> None:
        wait_s = self._settings.transaction_timeout_ms / 1000
        self._producer.begin_transaction()
        self._produce(scored)
        self._send(self._reviews, cases)
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

    def _send(self, topic: str, records: list[dict[str, bytes]]) -> None:
        queued = self._producer.produce_batch(topic, records) if records else 0
        if queued != len(records):
            raise Stop(71, "E_SCORER_PRODUCE", f"{queued} of {len(records)} records queued", topic)

    def _offsets(self, reached: dict[int, Position]) -> list[TopicPartition]:
        return [
            TopicPartition(
                self._log, number, at.offset, encode_lanes(at.lanes, f"{self._log}/{number}", at.sampled)
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
        self._gathered.clear()
        self._positions = committed_positions(consumer, partitions)
        self._begin("the partition was taken over")
        consumer.assign([TopicPartition(self._log, n, at.offset) for n, at in self._positions.items()])
        log.info("assigned", offsets={number: at.offset for number, at in self._positions.items()})

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Let go; called by poll, so never while a transaction is open."""
        self._gathered.clear()
        self._positions.clear()
        self._core.drift.drop([part.partition for part in partitions])
        log.info("revoked", partitions=[part.partition for part in partitions])

    def _stuck(self) -> None:
        """End the process from the watchdog's thread: the thread that waits will not be back."""
        stop = Stop(74, "E_SCORER_STUCK", "a transaction does not end", self._settings.worker)
        log.error("stopped", code=stop.code, reason=str(stop))
        os._exit(stop.exit_code)

    def _begin(self, why: str) -> None:
        """Start the detectors of all partitions anew; the next transaction tells so."""
        self._gapped.clear()
        self._told = self._core.drift.restart(list(self._positions), why)

    def _frame(self, record: Record) -> Frame | None:
        """Return the record's frame, None for bytes that are none: not ours, and lanes show if it was."""
        try:
            return decode(record.value)
        except FrameError as error:
            self._metrics.refused_frames.inc()
            log.error("frame_refused", code=error.code, offset=record.offset, partition=record.partition)
            return None

    def _gap(self, frame: Frame) -> None:
        """Count a record beyond its lane; told once a lane, as those that follow fall away too."""
        self._metrics.gaps.inc()
        if frame.src not in self._gapped:
            self._gapped.add(frame.src)
            log.error("lane_gap", src=frame.src, frm=frame.frm, to=frame.to)

    def _lag(self, reached: dict[int, Position]) -> None:
        for number, at in reached.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._log, number), cached=True)
            self._metrics.lag.labels(str(number)).set(max(0, high - at.offset))
