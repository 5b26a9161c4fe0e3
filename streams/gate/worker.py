"""One gate worker on real Kafka: gather, judge, send, and note how far everything is acknowledged.

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
    Producer,
    TopicPartition,
)

from contracts.crash_points import reach
from contracts.errors import ClusterError, Stop
from contracts.raw import RawBatch
from streams.gate import unreadable
from streams.gate.acknowledgements import Acknowledgements, Places
from streams.gate.core import ROUTES, GateCore, Gated
from streams.gate.message_headers import headers_of
from streams.gate.metrics import GateMetrics
from streams.gate.outgoing import Outgoing
from streams.gate.settings import GateSettings

log = structlog.get_logger("headrace.gate")
IDLE_WAIT_S = 0.05
GATHERED_BYTES = 262_144  # a backlog: nothing more is gathered
STOP_FLUSH_S = 3.0
CLUSTER_TIMEOUT_S = 10.0
STRIKES_MAX = 3
PASSING_ERRORS = (
    KafkaError._PARTITION_EOF,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._MAX_POLL_EXCEEDED,
)


class GateWorker:
    """Owns the clients; several workers share the partitions through the consumer group."""

    def __init__(self, settings: GateSettings, metrics: GateMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._acks = Acknowledgements()
        self._strikes: dict[tuple[str, int, int], int] = {}
        self._committed_at = 0.0
        self._behind = False
        self._fresh: list[TopicPartition] = []
        self._producer = Producer(
            settings.kafka.librdkafka()
            | {
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 0,
                "message.max.bytes": 2_000_000,
                "queue.buffering.max.kbytes": 262_144,
                "delivery.timeout.ms": settings.delivery_timeout_ms,
            }
        )
        self._core = GateCore(self._target_partitions())
        self._consumer = Consumer(
            settings.kafka.librdkafka()
            | {
                "group.id": f"{settings.topic_prefix}gate",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "session.timeout.ms": settings.session_timeout_ms,
                "heartbeat.interval.ms": settings.session_timeout_ms // 4,
                "allow.auto.create.topics": False,
                "on_commit": self._on_commit,
                "check.crcs": True,
                # The broker gathers: an answer is what came while it waited, and a backlog comes at once.
                "fetch.min.bytes": GATHERED_BYTES,
                "fetch.wait.max.ms": max(1, round(settings.gather_ms)),
                "fetch.queue.backoff.ms": 20,
                "fetch.error.backoff.ms": 100,
                "queued.max.messages.kbytes": 32_768,
                **unreadable.FETCH,
            }
        )

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until `stopping`; then finish what was taken, commit and leave the group.

        Raises:
            Stop: 70 the consumer failed, 71 a delivery failed, 75 the committed offsets cannot be read.
        """
        topics = [self._settings.topic_prefix + topic for topic in ROUTES]
        self._consumer.subscribe(
            topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        while not stopping():
            self._turn(self._gather())
        self._finish()
        self._consumer.close()  # only at a clean end: leaving a group that has fenced us would wait for ever

    def _turn(self, messages: list[Message]) -> None:
        started = time.perf_counter()
        if messages:
            self._send(messages)
            self._metrics.batch_records.observe(len(messages))
            self._metrics.batch_seconds.observe(time.perf_counter() - started)
        self._producer.poll(0)
        while self._acks.unacknowledged > self._settings.unacknowledged_max and not self._acks.error:
            self._producer.poll(IDLE_WAIT_S)
        if (time.monotonic() - self._committed_at) * 1000 >= self._settings.commit_interval_ms:
            self._commit(self._acks.safe(), asynchronous=True)
            self._committed_at = time.monotonic()

    def _gather(self) -> list[Message]:
        """Wait for a first record, then take all that the broker gathered with it."""
        settings = self._settings
        most = settings.records_a_backlog_batch if self._behind else settings.records_a_batch
        messages = self._consumer.consume(1, IDLE_WAIT_S)
        if messages:
            messages += self._consumer.consume(most - 1, 0)
        if self._fresh:  # assigned while gathering: what was gathered may be from before
            self._consumer.assign(self._fresh)
            self._fresh, messages = [], []
        self._behind = len(messages) >= most
        return messages

    def _send(self, messages: list[Message]) -> None:
        """Judge and produce a gathered batch, topic by topic, and open its boundary."""
        failed = [message for message in messages if message.error() is not None]
        places: Places = {}
        records: list[Outgoing] = []
        for topic, batch in self._by_topic(
            [m for m in messages if m.error() is None] if failed else messages
        ):
            gated = self._core.process(topic, batch)
            self._count(topic, gated)
            records += gated.records
            places |= {(topic, partition): offset for partition, offset in gated.upto.items()}
        for message in failed:  # behind the readable ones: a wedged partition gives nothing more
            records += self._failed(message, places)
        self._produce(records, places)
        reach("gate.after_produce")

    def _by_topic(self, messages: list[Message]) -> Iterator[tuple[str, RawBatch]]:
        """Yield what was gathered of each topic, in log order, less partitions that are no longer ours."""
        names: list[str] = list(map(Message.topic, messages))  # type: ignore[arg-type]  # a consumed record has one
        found = sorted(set(names))
        for name in found:
            some = messages if len(found) == 1 else list(compress(messages, map(name.__eq__, names)))
            topic, batch = name.removeprefix(self._settings.topic_prefix), _raw(some)
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

    def _failed(self, message: Message, places: Places) -> list[Outgoing]:
        """Deal with an error that took a record's place; a pointer for one that can never be read."""
        error = message.error()
        assert error is not None
        if error.code() in unreadable.ERRORS and message.offset() is not None:
            return self._strike(message, places)
        if error.code() in PASSING_ERRORS or (error.retriable() and not error.fatal()):
            log.warning("Kafka's client reports", error=error.str())
            return []
        where = f"{message.topic()}/{message.partition()}"
        raise Stop(70, "E_GATE_CONSUME", error.str(), where)

    def _strike(self, message: Message, places: Places) -> list[Outgoing]:
        topic, partition, offset = self._plain(message), message.partition() or 0, message.offset() or 0
        if not self._core.owns(topic, partition) or offset < places.get((topic, partition), 0):
            return []
        self._metrics.unreadable.labels(topic).inc()
        place = (topic, partition, offset)
        self._strikes[place] = self._strikes.get(place, 0) + 1
        if self._strikes[place] != STRIKES_MAX:
            return []
        full_name = message.topic() or ""
        behind = unreadable.find_end(self._settings.kafka, full_name, partition, offset)
        log.warning(
            "passing over unreadable records", topic=topic, partition=partition, frm=offset, to=behind
        )
        self._consumer.seek(TopicPartition(full_name, partition, behind))
        places[topic, partition] = behind
        self._metrics.refused.labels(topic, "E_UNREADABLE").inc()
        return [self._core.unreadable(topic, partition, (offset, behind))]

    def _count(self, topic: str, gated: Gated) -> None:
        verdict = gated.verdict
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
            TopicPartition(prefix + topic, partition, offset) for (topic, partition), offset in places.items()
        ]
        reach("gate.before_commit")
        try:
            if asynchronous:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            log.warning("commit refused; the records will be judged again", error=str(error))
        for place in offsets:
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
            if high >= 0:
                topic = place.topic.removeprefix(prefix)
                self._metrics.lag_records.labels(topic, place.partition).set(max(0, high - place.offset))

    def _on_commit(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """Try again what the coordinator did not take: without new records nobody else would."""
        prefix = self._settings.topic_prefix
        missed = {
            (place.topic.removeprefix(prefix), place.partition): place.offset
            for place in places
            if error is not None or place.error is not None
        }
        if missed:
            log.warning("commit refused; it is tried again", error=str(error), places=len(missed))
            self._acks.again({place: at for place, at in missed.items() if self._core.owns(*place)})

    def _finish(self) -> None:
        """Wait for the acknowledgements of everything sent, then commit."""
        self._producer.flush(STOP_FLUSH_S)
        self._commit(self._acks.safe(), asynchronous=False)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            committed = consumer.committed(partitions, CLUSTER_TIMEOUT_S)
        except KafkaException as error:
            raise Stop(75, "E_GATE_COMMITTED", str(error)) from error
        for place in committed:
            base = max(0, place.offset)
            place.offset = place.offset if place.offset >= 0 else OFFSET_BEGINNING
            self._core.assign(place.topic.removeprefix(self._settings.topic_prefix), place.partition, base)
        consumer.assign(committed)
        self._fresh = committed
        self._metrics.rebalances.inc()
        log.info("assigned", partitions=[f"{p.topic}/{p.partition}@{p.offset}" for p in committed])

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._finish()
        self._lost(consumer, partitions)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self._core.revoke(place.topic.removeprefix(self._settings.topic_prefix), place.partition)
        self._strikes.clear()
        self._fresh = []

    def _plain(self, message: Message) -> str:
        return (message.topic() or "").removeprefix(self._settings.topic_prefix)

    def _target_partitions(self) -> dict[str, int]:
        """Ask the cluster how many partitions the frames' topics have.

        Raises:
            Stop: E_CLUSTER_UNREACHABLE, Kafka does not answer: it may be restarting.
            ClusterError: E_TOPIC_MISSING.
        """
        found = {}
        try:
            topics = self._producer.list_topics(timeout=CLUSTER_TIMEOUT_S).topics
        except KafkaException as error:
            servers = self._settings.kafka.bootstrap_servers
            raise Stop(75, "E_CLUSTER_UNREACHABLE", str(error), servers) from error
        for name, _ in ROUTES.values():
            full = self._settings.topic_prefix + name
            if full not in topics or not topics[full].partitions:
                raise ClusterError(
                    "E_TOPIC_MISSING", "no such topic", full, "`headrace up` creates the topics"
                )
            found[name] = len(topics[full].partitions)
        return found


def _raw(messages: list[Message]) -> RawBatch:
    return RawBatch(
        list(map(Message.partition, messages)),  # type: ignore[arg-type]  # a consumed record has one
        list(map(Message.offset, messages)),  # type: ignore[arg-type]
        [stamp for _, stamp in map(Message.timestamp, messages)],
        list(map(Message.key, messages)),
        list(map(Message.value, messages)),
        headers_of(messages),
    )
