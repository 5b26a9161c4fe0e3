"""The learner's Kafka clients: what is set on them and why, and what their errors mean."""

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from contracts.errors import Stop
from contracts.topics import CHANGELOG_LEARNER
from inference.learner.settings import LearnerSettings

ANSWER_S = 30.0
FETCH_WAIT_MS = 250


def make_consumer(settings: LearnerSettings) -> Consumer:
    """Return the reader of predictions, features.log and drift; it is assigned, not subscribed.

    One learner reads all, since a label is found by its terminal and a prediction by its customer. Nobody
    waits for it, so few large fetches leave the broker to those who wait.
    """
    conf: dict[str, Any] = settings.kafka.librdkafka() | {
        "client.id": "learner",
        "group.id": settings.group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.min.bytes": 262_144,
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "queued.max.messages.kbytes": 16_384,
        "allow.auto.create.topics": False,
        "log_level": 3,
    }
    return Consumer(conf)


def make_producer(settings: LearnerSettings) -> Producer:
    """Return the transactional producer of the run's learner, its predecessor fenced.

    Raises:
        Stop: E_LEARNER_FENCE, the coordinator did not answer.
    """
    conf: dict[str, Any] = settings.kafka.librdkafka() | {
        "client.id": "learner",
        "transactional.id": settings.group,
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        "message.timeout.ms": settings.transaction_timeout_ms - 1000,
        "partitioner": "murmur2_random",
        "retry.backoff.ms": 2,
        "retry.backoff.max.ms": 20,
        "compression.type": "lz4",
        "log_level": 3,
    }
    producer = Producer(conf)
    try:
        producer.init_transactions(ANSWER_S)
    except KafkaException as error:
        raise Stop(75, "E_LEARNER_FENCE", str(error.args[0]), settings.group) from error
    return producer


def last_state(settings: LearnerSettings) -> bytes | None:
    """Return the newest committed value of the learner's changelog, None when there is none.

    Raises:
        Stop: E_LEARNER_STATE, it cannot be read.
    """
    topic = CHANGELOG_LEARNER.full_name(settings.topic_prefix)
    reader = make_consumer(settings)
    try:
        reader.assign([TopicPartition(topic, 0, 0)])
        value: bytes | None = None
        while True:
            message = reader.poll(ANSWER_S)
            if message is None:
                raise Stop(75, "E_LEARNER_STATE", f"no answer within {ANSWER_S:.0f} s", topic)
            error = message.error()
            if error is None:
                value = message.value()
            elif error.code() == KafkaError._PARTITION_EOF:
                return value
            elif not error.retriable():
                raise Stop(75, "E_LEARNER_STATE", error.str(), topic)
    finally:
        reader.close()


def low_offset(consumer: Consumer, topic: str, partition: int) -> int:
    """Return where the retained log of a partition begins.

    Raises:
        Stop: E_LEARNER_OFFSETS.
    """
    try:
        low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_S)
    except KafkaException as error:
        raise Stop(75, "E_LEARNER_OFFSETS", str(error.args[0]), f"{topic}/{partition}") from error
    return int(low)
