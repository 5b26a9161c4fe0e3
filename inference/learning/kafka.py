"""The learner's Kafka clients: what is set on them and why, and what their errors mean."""

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

from contracts.errors import Stop
from contracts.topics import CHANGELOG_LEARNER
from inference.learning.settings import LearnerSettings
from runtime.kafka_clients import new_consumer, new_transactional
from runtime.log_ends import log_ends
from runtime.topic_reader import read_to_end
from runtime.transactions import take_transactional_id

ANSWER_S = 30.0
FETCH_WAIT_MS = 250


def make_consumer(settings: LearnerSettings) -> Consumer:
    """Return the reader of predictions, features.log and drift; it is assigned, not subscribed.

    One learner reads all, since a label may be in another partition than its event's prediction. Nobody
    waits for it, so few large fetches leave the broker to those who wait.
    """
    own = {
        "fetch.min.bytes": 262_144,
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "queued.max.messages.kbytes": 16_384,
    }
    return new_consumer(settings.kafka, "learner", settings.group, own)


def make_producer(settings: LearnerSettings) -> Producer:
    """Return the transactional producer of the run's learner, its predecessor fenced.

    Raises:
        Stop: E_LEARNER_FENCE, the coordinator did not answer.
    """
    own = {"message.timeout.ms": settings.transaction_timeout_ms - 1000}
    producer = new_transactional(
        settings.kafka, "learner", settings.group, settings.transaction_timeout_ms, own
    )
    try:
        take_transactional_id(producer, ANSWER_S)
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
        value: bytes | None = None
        for message in read_to_end(reader, topic, {0: OFFSET_BEGINNING}, ANSWER_S):
            value = message.value()
        return value
    except KafkaException as error:
        raise Stop(75, "E_LEARNER_STATE", error.args[0].str(), topic) from error
    finally:
        reader.close()


def partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """Return the partitions that a topic has now: others may have given it more than the run's.

    Raises:
        Stop: E_LEARNER_OFFSETS.
    """
    try:
        return sorted(consumer.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions)
    except KafkaException as error:
        raise Stop(75, "E_LEARNER_OFFSETS", str(error.args[0]), topic) from error


def low_offset(consumer: Consumer, topic: str, partition: int) -> int:
    """Return where the retained log of a partition begins.

    Raises:
        Stop: E_LEARNER_OFFSETS.
    """
    try:
        return log_ends(consumer, TopicPartition(topic, partition), ANSWER_S)[0]
    except KafkaException as error:
        raise Stop(75, "E_LEARNER_OFFSETS", str(error.args[0]), f"{topic}/{partition}") from error
