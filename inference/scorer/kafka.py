"""The scorer's two Kafka clients: what is set on them and why, and what their errors mean."""

import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from contracts.errors import ClusterError, StateError, Stop
from contracts.topics import FEATURES_LOG, PREDICTIONS
from inference.scorer.position import Position, decode_position
from inference.scorer.settings import ScorerSettings

OFFSETS_TIMEOUT_S = 30.0  # waits out the open transaction of a predecessor
COORDINATOR_PAUSE_S = 0.1
_TRANSIENT = frozenset(
    {
        KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT,
        KafkaError._WAIT_COORD, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE, KafkaError.REBALANCE_IN_PROGRESS, KafkaError._MAX_POLL_EXCEEDED,
        KafkaError.REQUEST_TIMED_OUT, KafkaError.NETWORK_EXCEPTION, KafkaError._TIMED_OUT_QUEUE,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)  # fmt: skip


def make_consumer(settings: ScorerSettings) -> Consumer:
    """Return the reader of features.log.

    Static membership lets a restarted worker have its partitions back at once; a hole in the log (retention
    ran ahead of the scorer) is an error and never skipped.
    """
    conf: dict[str, Any] = settings.kafka.librdkafka() | {
        "client.id": settings.worker,
        "group.id": settings.group,
        "group.instance.id": f"{settings.group}-{settings.slot}",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": settings.session_timeout_ms // 4,
        "max.poll.interval.ms": 60_000,
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 16_384,
        "check.crcs": True,
        "allow.auto.create.topics": False,
        "log_level": 3,
    }
    return Consumer(conf)


def make_producer(settings: ScorerSettings) -> Producer:
    """Return the transactional producer of this slot, its predecessor fenced.

    With librdkafka's own retry backoff of 100 ms every transaction would take 104 ms instead of 4: the
    coordinator is still finishing the one before.

    Raises:
        Stop: E_SCORER_FENCE, the coordinator did not answer.
    """
    conf: dict[str, Any] = settings.kafka.librdkafka() | {
        "client.id": settings.worker,
        "transactional.id": f"{settings.group}-{settings.slot}",
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        "message.timeout.ms": settings.transaction_timeout_ms - 1000,
        "partitioner": "murmur2_random",
        "retry.backoff.ms": 2,
        "retry.backoff.max.ms": 20,
        "linger.ms": 5,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 1_048_576,
        "log_level": 3,
    }
    producer = Producer(conf)
    try:
        producer.init_transactions(OFFSETS_TIMEOUT_S)
    except KafkaException as error:
        raise Stop(75, "E_SCORER_FENCE", str(error.args[0]), settings.worker) from error
    return producer


def committed_positions(consumer: Consumer, partitions: list[TopicPartition]) -> dict[int, Position]:
    """Return where the group stands in each partition, lanes included.

    Raises:
        Stop: E_SCORER_OFFSETS, the coordinator did not answer.
        StateError: E_SCORER_LANES.
    """
    try:
        return {part.partition: _position(consumer, part) for part in _committed(consumer, partitions)}
    except KafkaException as error:
        raise Stop(75, "E_SCORER_OFFSETS", str(error.args[0]), FEATURES_LOG.name) from error


def _committed(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Return the group's offsets; a coordinator that moves or is still loading is asked again."""
    deadline_s = time.monotonic() + OFFSETS_TIMEOUT_S
    while True:
        try:
            committed = consumer.committed(partitions, timeout=OFFSETS_TIMEOUT_S)
            errors = [part.error for part in committed if part.error is not None]
            if not errors:
                return committed
            raise KafkaException(errors[0])
        except KafkaException as error:
            if error.args[0].code() not in _TRANSIENT or time.monotonic() > deadline_s:
                raise
        time.sleep(COORDINATOR_PAUSE_S)


def _position(consumer: Consumer, part: TopicPartition) -> Position:
    if part.offset >= 0:
        lanes, sampled = decode_position(part.metadata, f"{part.topic}/{part.partition}")
        return Position(part.offset, lanes, sampled=sampled)
    low, _ = consumer.get_watermark_offsets(
        TopicPartition(part.topic, part.partition), timeout=OFFSETS_TIMEOUT_S
    )
    return Position(low, {}, cut=low > 0)


def refuse_lost_offsets(settings: ScorerSettings, partitions: int) -> None:
    """Refuse to begin when the group has no offsets, yet predictions were published: they would come twice.

    Raises:
        StateError: E_SCORER_OFFSETS_LOST.
    """
    log = FEATURES_LOG.full_name(settings.topic_prefix)
    group = Consumer(settings.kafka.librdkafka() | {"group.id": settings.group, "log_level": 3})
    reader = Consumer(_whole_topic(settings))
    try:
        every = [TopicPartition(log, number) for number in range(partitions)]
        if _any_committed(group, every) or not _any_prediction(reader, settings):
            return
        if not _any_committed(group, every):  # another worker may have begun meanwhile
            raise StateError(
                "E_SCORER_OFFSETS_LOST", f"{settings.group} has no offsets, yet predictions are there", log,
                "raise offsets.retention.minutes and begin a new run",
            )  # fmt: skip
    except KafkaException as error:
        raise Stop(75, "E_SCORER_OFFSETS", str(error.args[0]), log) from error
    finally:
        group.close()
        reader.close()


def _whole_topic(settings: ScorerSettings) -> dict[str, Any]:
    return settings.kafka.librdkafka() | {
        "group.id": f"{settings.group}-looks", "enable.auto.commit": False, "auto.offset.reset": "earliest",
        "isolation.level": "read_committed", "log_level": 3,
    }  # fmt: skip


def _any_committed(consumer: Consumer, partitions: list[TopicPartition]) -> bool:
    return any(part.offset >= 0 for part in _committed(consumer, partitions))


def _any_prediction(consumer: Consumer, settings: ScorerSettings) -> bool:
    """Tell whether a committed prediction is there; aborted ones leave offsets and are none."""
    topic = PREDICTIONS.full_name(settings.topic_prefix)
    known = consumer.list_topics(topic, timeout=OFFSETS_TIMEOUT_S).topics[topic].partitions
    filled = []
    for number in known:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=OFFSETS_TIMEOUT_S)
        if high > low:
            filled.append(TopicPartition(topic, number, low))
    if not filled:
        return False
    consumer.assign(filled)
    return any(message.error() is None for message in consumer.consume(1, timeout=5.0))


def check_event(error: KafkaError) -> None:
    """Raise for a consumer's error that does not pass by itself; the others are waited out.

    Raises:
        StateError: E_SCORER_LOG_CUT, retention removed what was not scored yet.
        ClusterError: E_TOPIC_MISSING or E_TOPIC_FORBIDDEN.
        Stop: E_SCORER_CONSUMER, whatever else.
    """
    code = error.code()
    if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise StateError(
            "E_SCORER_LOG_CUT", error.str(), FEATURES_LOG.name, "raise the topic's retention; begin a new run"
        )
    if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        raise ClusterError(
            "E_TOPIC_MISSING", error.str(), FEATURES_LOG.name, "run `headrace up` or create the topics"
        )
    if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
        raise ClusterError(
            "E_TOPIC_FORBIDDEN", error.str(), FEATURES_LOG.name, "let this user read the topic and its group"
        )
    if code not in _TRANSIENT:
        raise Stop(70, "E_SCORER_CONSUMER", error.str(), FEATURES_LOG.name)
