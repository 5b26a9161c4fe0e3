"""One gate worker on real Kafka: gather, judge, align, send, and note how far everything is acknowledged.

Sends are plain idempotent produces. Offsets are committed a few times a second, never beyond a record
whose outcome is not acknowledged; a delivery error ends the worker, whose successor goes on from the
committed offsets. A record batch that Kafka's client cannot unpack is given a few tries and then passed
over, with a pointer in the dead letters, since it would hold up its partition for ever.
"""

import time
from collections.abc import Callable, Iterator
from itertools import compress

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from contracts.crash_points import reach
from contracts.errors import ClusterError, Stop
from contracts.frame import ROW_BITS, length
from contracts.hashed_fields import HashKeys
from contracts.pipeline import Pipeline
from contracts.raw import RawBatch
from contracts.verdict import Verdict
from runtime.health import Health
from runtime.input_record import InputRecord, logical, physical
from runtime.kafka_clients import new_consumer, new_producer, static_member
from runtime.kafka_errors import is_end, is_transient, meaning_of
from runtime.log_ends import log_ends
from runtime.message_headers import headers_of
from runtime.unreadable import CODE, Passer, is_unreadable
from streams.gate.acknowledgements import Acknowledgements, Places
from streams.gate.alignment import Alignment, AlignmentBounds, Place
from streams.gate.core import GateCore
from streams.gate.metrics import GateMetrics
from streams.gate.outgoing import Outgoing
from streams.gate.settings import BUSY_RECORDS_MAX, GateSettings

log = structlog.get_logger("headrace.gate")
IDLE_WAIT_S = 0.05
GATHERED_BYTES = 262_144  # a backlog: nothing more is gathered
STOP_FLUSH_S = 3.0
CLUSTER_TIMEOUT_S = 10.0
TOPICS_LOOK_MS = 5_000  # how soon partitions that were added are read
LOOP_LIMIT_S = 30.0  # the longest a turn waits for Kafka, at an assignment or a rebalance, and as much again
CHECKPOINT_LIMIT_S = 60.0


class GateWorker:
    """Owns the clients; several workers share the partitions through the consumer group."""

    def __init__(
        self, pipeline: Pipeline, settings: GateSettings, metrics: GateMetrics, health: Health | None = None,
        keys: HashKeys | None = None,
    ) -> None:  # fmt: skip
        self._pipeline = pipeline
        health = health or Health()
        self._settings = settings
        self._metrics = metrics
        self._loop_part = health.part("loop", LOOP_LIMIT_S)
        self._checkpoint_part = health.part("checkpoint", CHECKPOINT_LIMIT_S)
        self._acks = Acknowledgements()
        self._passer = Passer(settings.kafka)
        self._committed_at = 0.0
        self._behind, self._gathered = False, 0
        self._refused = False  # the newest commit
        self._fresh: list[TopicPartition] = []
        self._producer = new_producer(
            settings.kafka,
            "gate",
            {
                "linger.ms": 0,
                "message.max.bytes": 2_000_000,
                "queue.buffering.max.kbytes": 262_144,
                "delivery.timeout.ms": settings.delivery_timeout_ms,
            },
        )
        self._check_targets()
        self._core = GateCore(pipeline, settings.partitions, keys)
        self._alignment = Alignment(pipeline.sources, _bounds(settings))
        self._paused: set[Place] = set()
        self._input = InputRecord(settings.lake)
        self._generations: dict[str, int] = {}
        self._reached: Places = {}
        self._consumer = new_consumer(
            settings.kafka,
            "gate",
            f"{settings.topic_prefix}gate",
            {
                **static_member(settings.member),
                "topic.metadata.refresh.interval.ms": TOPICS_LOOK_MS,
                "session.timeout.ms": settings.session_timeout_ms,
                "heartbeat.interval.ms": settings.session_timeout_ms // 4,
                "on_commit": self._on_commit,
                "check.crcs": True,
                # The broker gathers: an answer is what came while it waited, and a backlog comes at once.
                "fetch.min.bytes": GATHERED_BYTES,
                "fetch.wait.max.ms": max(1, round(settings.gather_ms)),
                "fetch.queue.backoff.ms": 20,
                "fetch.error.backoff.ms": 100,
                "queued.max.messages.kbytes": 32_768,
            },
        )

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until `stopping`; then finish what was taken, commit and leave the group.

        Raises:
            Stop: 70 the consumer failed, 71 a delivery failed, 75 the committed offsets cannot be read.
        """
        topics = [self._settings.topic_prefix + topic for topic in self._pipeline.by_topic]
        self._consumer.subscribe(
            topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        while not stopping():
            self._turn(self._gather())
        self._finish()
        self._consumer.close()  # only at a clean end: leaving a group that has fenced us would wait for ever

    def _turn(self, messages: list[Message]) -> None:
        started = time.perf_counter()
        reach("gate.turn")
        if messages or not self._alignment.is_idle:
            self._send(messages)
        if messages and messages[0].error() is None:
            self._metrics.batch_records.observe(len(messages))
            self._metrics.batch_seconds.observe(time.perf_counter() - started)
        self._producer.poll(0)
        while self._acks.unacknowledged > self._settings.unacknowledged_max and not self._acks.error:
            self._producer.poll(IDLE_WAIT_S)
            self._loop_part.moved()  # it waits for Kafka, which has until the delivery timeout
        if (time.monotonic() - self._committed_at) * 1000 >= self._settings.commit_interval_ms:
            self._commit(self._acks.safe(), asynchronous=True)
            self._committed_at = time.monotonic()
            self._lag()
            self._loop_part.moved()
            if not (self._acks.open_boundaries or self._refused):
                self._checkpoint_part.moved()

    def _gather(self) -> list[Message]:
        """Wait for a first record, then take all that the broker gathered with it."""
        settings = self._settings
        if settings.busy_records <= self._gathered < BUSY_RECORDS_MAX:
            time.sleep(settings.gather_busy_ms / 1e3)
        most = settings.records_a_backlog_batch if self._behind else settings.records_a_batch
        messages = self._consumer.consume(1, IDLE_WAIT_S)
        if messages:
            messages += self._consumer.consume(most - 1, 0)
        if self._fresh:  # assigned while gathering: what was gathered may be from before
            self._consumer.assign(self._fresh)
            self._consumer.resume(self._fresh)  # whom an earlier assignment has not read for a while
            self._fresh, messages = [], []
        self._behind, self._gathered = len(messages) >= most, len(messages)
        return messages

    def _send(self, messages: list[Message]) -> None:
        """Judge a gathered batch, topic by topic; produce what may go, and open its boundary."""
        failed = [message for message in messages if message.error() is not None]
        touched: set[Place] = set()
        records: list[Outgoing] = []
        for topic, batch in self._by_topic(
            [m for m in messages if m.error() is None] if failed else messages
        ):
            records += self._receive(topic, batch, touched)
        for message in failed:  # behind the readable ones: a wedged partition gives nothing more
            if is_end(message.error()):
                self._at_end(message, touched)
            else:
                records += self._failed(message, touched)
        records += self._release(touched)
        if touched or records:
            self._produce(records, {place: self._sent_upto(place) for place in touched})
        reach("gate.after_produce")

    def _receive(self, topic: str, batch: RawBatch, touched: set[Place]) -> list[Outgoing]:
        """Judge a batch and hold its good rows; return its dead letters."""
        received = self._core.receive(topic, batch)
        self._count(topic, received.verdict)
        now_ms = time.monotonic() * 1000
        for partition, rows in received.rows.items():
            self._alignment.put((topic, partition), rows, now_ms)
            touched.add((topic, partition))
        return received.letters

    def _release(self, touched: set[Place]) -> list[Outgoing]:
        """Return the frames of all rows that need not be held any longer."""
        if self._alignment.is_idle:
            return []
        self._alignment.look({place: self._to_come(place) for place in self._reached})
        released = self._alignment.release(time.monotonic() * 1000)
        records = []
        for (topic, partition), rows, upto in released.pieces:
            frames = self._core.route(topic, partition, rows, upto)
            self._metrics.frames.labels(topic).inc(len(frames))
            self._metrics.aligned.labels(released.why).inc(length(rows))
            records += frames
            touched.add((topic, partition))
        self._pause(self._alignment.ahead())
        return records

    def _pause(self, ahead: set[Place]) -> None:
        """Read no more, for now, of partitions that are far ahead of others."""
        for places, change in (
            (ahead - self._paused, self._consumer.pause),
            (self._paused - ahead, self._consumer.resume),
        ):
            if places:
                change([TopicPartition(self._settings.topic_prefix + topic, n) for topic, n in places])
        self._paused = ahead

    def _to_come(self, place: Place) -> int | None:
        """Return how many records of a partition are known to lie behind those that were read."""
        topic, partition = place
        full = TopicPartition(self._settings.topic_prefix + topic, partition)
        _, high = self._consumer.get_watermark_offsets(full, cached=True)
        return high - physical(self._core.next_offset(topic, partition)) if high >= 0 else None

    def _sent_upto(self, place: Place) -> int:
        """Return the offset before which all records of a partition were sent on."""
        first = self._alignment.first_held(place)
        return self._core.next_offset(*place) if first is None else first >> ROW_BITS

    def _by_topic(self, messages: list[Message]) -> Iterator[tuple[str, RawBatch]]:
        """Yield what was gathered of each topic, in log order, less partitions that are no longer ours."""
        names: list[str] = list(map(Message.topic, messages))  # type: ignore[arg-type]  # a consumed record has one
        found = sorted(set(names))
        for name in found:
            some = messages if len(found) == 1 else list(compress(messages, map(name.__eq__, names)))
            topic = name.removeprefix(self._settings.topic_prefix)
            batch = _raw(some, self._generation(topic))
            lost = {partition for partition in set(batch.partitions) if not self._core.owns(topic, partition)}
            if lost:
                batch = batch.pick(
                    row for row, partition in enumerate(batch.partitions) if partition not in lost
                )
            if batch.offsets:
                yield topic, batch

    def _produce(self, records: list[Outgoing], places: Places) -> None:
        delivered = self._acks.expect(places, len(records))
        prefix = self._settings.topic_prefix
        for record in records:
            while True:
                try:
                    self._producer.produce(
                        prefix + record.topic, record.value, record.key, record.partition,
                        on_delivery=delivered, headers=record.headers,  # type: ignore[arg-type]  # list is invariant
                    )  # fmt: skip
                    break
                except BufferError:  # the client's queue is full: let it drain
                    self._producer.poll(IDLE_WAIT_S)

    def _failed(self, message: Message, touched: set[Place]) -> list[Outgoing]:
        """Deal with an error that took a record's place; a pointer for one that can never be read."""
        error = message.error()
        assert error is not None
        if is_unreadable(message):
            return self._pass_over(message, touched)
        where = f"{message.topic()}/{message.partition()}"
        if meaning_of(error) == "hole":  # the next start says which offsets, and what goes on from there
            raise Stop(73, "E_INPUT_HOLE", error.str(), where)
        if is_transient(error):
            log.warning("Kafka's client reports", error=error.str())
            return []
        raise Stop(70, "E_GATE_CONSUME", error.str(), where)

    def _pass_over(self, message: Message, touched: set[Place]) -> list[Outgoing]:
        topic, partition = self._plain(message), message.partition() or 0
        generation = self._generation(topic)
        offset = logical(message.offset() or 0, generation)
        if not self._core.owns(topic, partition) or offset < self._core.next_offset(topic, partition):
            return []
        self._metrics.unreadable.labels(topic).inc()
        passed = self._passer.look(message)
        if passed is None:
            return []
        behind = logical(passed.behind, generation)
        log.warning(
            "passing over unreadable records", topic=topic, partition=partition, frm=offset, to=behind
        )
        self._consumer.seek(passed.next)
        touched.add((topic, partition))
        self._metrics.refused.labels(topic, CODE).inc()
        return [self._core.unreadable(topic, partition, (offset, behind))]

    def _at_end(self, message: Message, touched: set[Place]) -> None:
        """Move on behind the partition's last offsets where they hold nothing to read."""
        topic, partition = self._plain(message), message.partition() or 0
        upto = logical(message.offset() or 0, self._generation(topic))
        self._alignment.ended((topic, partition))
        if self._core.pass_by(topic, partition, upto):
            touched.add((topic, partition))

    def _count(self, topic: str, verdict: Verdict) -> None:
        self._metrics.records.labels(topic).inc(len(verdict.good_index) + len(verdict.bad))
        self._metrics.accepted.labels(topic).inc(len(verdict.good_index))
        self._metrics.extra_fields.labels(topic).inc(verdict.extra_fields)
        self._metrics.forged_headers.labels(topic).inc(verdict.forged_headers)
        for refused in verdict.bad:
            self._metrics.refused.labels(topic, refused.code).inc()

    def _commit(self, places: Places, *, asynchronous: bool) -> None:
        if not places:
            return
        prefix = self._settings.topic_prefix
        offsets = [
            TopicPartition(prefix + topic, partition, physical(offset), metadata=self._metadata(topic))
            for (topic, partition), offset in places.items()
        ]
        reach("gate.before_commit")
        try:
            if asynchronous:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            log.warning("commit refused; the records will be judged again", error=str(error))
        self._reached |= places

    def _lag(self) -> None:
        """Tell how far the log has grown beyond what is acknowledged, whether anything moves or not."""
        self._metrics.held_bytes.set(self._alignment.held_bytes)
        for topic, ahead_ms in self._alignment.ahead_ms().items():
            self._metrics.ahead_seconds.labels(topic).set(ahead_ms / 1000)
        for (topic, partition), offset in self._reached.items():
            place = TopicPartition(self._settings.topic_prefix + topic, partition)
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
            if high >= 0:
                lag = max(0, high - physical(offset))
                self._metrics.lag_records.labels(topic, partition).set(lag)

    def _on_commit(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """Try again what the coordinator did not take: without new records nobody else would."""
        reach("gate.on_commit")
        prefix = self._settings.topic_prefix
        missed = {
            (place.topic.removeprefix(prefix), place.partition): place.offset
            for place in places
            if error is not None or place.error is not None
        }
        self._refused = bool(missed)
        if missed:
            log.warning("commit refused; it is tried again", error=str(error), places=len(missed))
            again = {
                place: logical(at, self._generation(place[0]))
                for place, at in missed.items()
                if self._core.owns(*place)
            }
            self._acks.again(again)
        else:
            self._checkpoint_part.moved()

    def _finish(self) -> None:
        """Wait for the acknowledgements of everything sent, then commit."""
        self._producer.flush(STOP_FLUSH_S)
        self._commit(self._acks.safe(), asynchronous=False)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        reach("gate.on_assign")
        try:
            committed = consumer.committed(partitions, CLUSTER_TIMEOUT_S)
            begins = [self._begin(consumer, place) for place in committed]
        except KafkaException as error:
            raise Stop(75, "E_GATE_COMMITTED", str(error)) from error
        for place, base in zip(committed, begins, strict=True):
            topic = place.topic.removeprefix(self._settings.topic_prefix)
            self._core.assign(topic, place.partition, base)
            self._alignment.assign((topic, place.partition))
            self._reached[topic, place.partition] = base
        consumer.assign(committed)
        self._paused.clear()
        self._fresh = committed
        self._metrics.rebalances.inc()
        log.info("assigned", partitions=[f"{p.topic}/{p.partition}@{p.offset}" for p in committed])

    def _begin(self, consumer: Consumer, place: TopicPartition) -> int:
        """Return the offset, as the run names it, at which a partition goes on; the place says it to Kafka.

        Raises:
            StateError: E_INPUT_HOLE, records were deleted unread, and nobody has accepted that.
            Stop: E_OFFSET_AHEAD (72), the log ends before what was read.
        """
        topic = place.topic.removeprefix(self._settings.topic_prefix)
        generation = self._generations[topic] = self._input.generation(topic)
        if place.offset < 0 or (place.metadata or "") != self._metadata(topic):
            place.offset = OFFSET_BEGINNING  # never read, or read when it was another topic of this name
            return logical(0, generation)
        low, high = log_ends(consumer, place, CLUSTER_TIMEOUT_S)
        if place.offset > high:
            what = f"read up to offset {place.offset}, the log ends before {high}"
            raise Stop(72, "E_OFFSET_AHEAD", what, f"{topic}/{place.partition}")
        at, begins = logical(place.offset, generation), logical(low, generation)
        at = self._input.go_on("gate", (topic, place.partition), at, begins)
        place.offset = physical(at)
        return at

    def _generation(self, topic: str) -> int:
        return self._generations.get(topic, 0)

    def _metadata(self, topic: str) -> str:
        """Return what is committed beside an offset: the generation of the topic that it is an offset of."""
        generation = self._generation(topic)
        return str(generation) if generation else ""

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._finish()
        self._lost(consumer, partitions)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        reach("gate.on_revoke")
        for place in partitions:
            topic = place.topic.removeprefix(self._settings.topic_prefix)
            self._core.revoke(topic, place.partition)
            self._alignment.revoke((topic, place.partition))
            self._paused.discard((topic, place.partition))
            self._acks.forget((topic, place.partition))
            self._reached.pop((topic, place.partition), None)
            self._passer.forget(place.topic, place.partition)
        self._fresh = []

    def _plain(self, message: Message) -> str:
        return (message.topic() or "").removeprefix(self._settings.topic_prefix)

    def _check_targets(self) -> None:
        """Ask the cluster whether the frames' topics have the run's partitions; more than those stay empty.

        Raises:
            Stop: E_CLUSTER_UNREACHABLE, Kafka does not answer: it may be restarting.
            ClusterError: E_TOPIC_MISSING, E_TOPIC_PARTITIONS.
        """
        wanted = self._settings.partitions
        try:
            topics = self._producer.list_topics(timeout=CLUSTER_TIMEOUT_S).topics
        except KafkaException as error:
            servers = self._settings.kafka.bootstrap_servers
            raise Stop(75, "E_CLUSTER_UNREACHABLE", str(error), servers) from error
        for topic in (self._pipeline.stage_inputs[self._pipeline.chain.first.name],):
            full = topic.full_name(self._settings.topic_prefix)
            if full not in topics or not topics[full].partitions:
                raise ClusterError(
                    "E_TOPIC_MISSING", "no such topic", full, "`headrace up` creates the topics"
                )
            if len(topics[full].partitions) < wanted:
                what = f"{len(topics[full].partitions)} partitions, the run has {wanted}"
                raise ClusterError("E_TOPIC_PARTITIONS", what, full, "run `headrace topics grow`")


def _bounds(settings: GateSettings) -> AlignmentBounds:
    return AlignmentBounds(
        wait_ms=settings.align_wait_ms,
        bytes_max=settings.align_bytes,
        behind_records=settings.align_behind_records,
        slice_ms=settings.align_slice_ms,
        run_rows=settings.align_run_rows,
        targets=settings.partitions,
    )


def _raw(messages: list[Message], generation: int) -> RawBatch:
    offsets: list[int] = list(map(Message.offset, messages))  # type: ignore[arg-type]  # a consumed record has one
    if generation:
        offsets = [logical(offset, generation) for offset in offsets]
    return RawBatch(
        list(map(Message.partition, messages)),  # type: ignore[arg-type]
        offsets,
        [stamp for _, stamp in map(Message.timestamp, messages)],
        list(map(Message.key, messages)),
        list(map(Message.value, messages)),
        headers_of(messages),
    )
