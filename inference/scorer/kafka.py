"""The scorer's two Kafka clients: what is set on them and why, and what their errors mean."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from contracts.errors import ClusterError, Stop
from contracts.topics import FEATURES_LOG
from inference.scorer.position import Position, decode_position
from inference.scorer.settings import ScorerSettings
from runtime.input_record import InputRecord
from runtime.kafka_clients import new_consumer, new_transactional, static_member
from runtime.kafka_errors import is_transient, meaning_of
from runtime.log_ends import log_ends
from runtime.transactions import take_transactional_id

OFFSETS_TIMEOUT_S = 30.0  # waits out the open transaction of a predecessor
COORDINATOR_PAUSE_S = 0.1


def make_consumer(settings: ScorerSettings) -> Consumer:
    """Return the reader of features.log.

    Static membership lets a restarted worker have its partitions back at once; a hole in the log (retention
    ran ahead of the scorer) is an error and never skipped.
    """
    own = {
        **static_member(f"{settings.group}-{settings.slot}"),
        "partition.assignment.strategy": "range",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": settings.session_timeout_ms // 4,
        "max.poll.interval.ms": 60_000,
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 16_384,
        "check.crcs": True,
    }
    return new_consumer(settings.kafka, settings.worker, settings.group, own)


def make_producer(settings: ScorerSettings) -> Producer:
    """Return the transactional producer of this slot, its predecessor fenced.

    With librdkafka's own retry backoff of 100 ms every transaction would take 104 ms instead of 4: the
    coordinator is still finishing the one before.

    Raises:
        Stop: E_SCORER_FENCE, the coordinator did not answer.
    """
    own = {
        "message.timeout.ms": settings.transaction_timeout_ms - 1000,
        "linger.ms": 5,
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 1_048_576,
    }
    producer = new_transactional(
        settings.kafka, settings.worker, f"{settings.group}-{settings.slot}", settings.transaction_timeout_ms,
        own,
    )  # fmt: skip
    try:
        take_transactional_id(producer, OFFSETS_TIMEOUT_S)
    except KafkaException as error:
        raise Stop(75, "E_SCORER_FENCE", str(error.args[0]), settings.worker) from error
    return producer


def committed_positions(
    consumer: Consumer, partitions: list[TopicPartition], record: InputRecord
) -> dict[int, Position]:
    """Return where the group stands in each partition, lanes included.

    Raises:
        Stop: E_SCORER_OFFSETS, the coordinator did not answer; E_OFFSET_AHEAD (72), the log ends before.
        StateError: E_SCORER_LANES; E_INPUT_HOLE, records were deleted unread, and nobody has accepted that.
    """
    try:
        committed = committed_offsets(consumer, partitions)
        return {part.partition: _position(consumer, part, record) for part in committed}
    except KafkaException as error:
        raise Stop(75, "E_SCORER_OFFSETS", str(error.args[0]), FEATURES_LOG.name) from error


def committed_offsets(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Return the group's offsets; a coordinator that moves or is still loading is asked again.

    Raises:
        KafkaException: no answer in time, or an error that does not pass.
    """
    deadline_s = time.monotonic() + OFFSETS_TIMEOUT_S
    while True:
        try:
            committed = consumer.committed(partitions, timeout=OFFSETS_TIMEOUT_S)
            errors = [part.error for part in committed if part.error is not None]
            if not errors:
                return committed
            raise KafkaException(errors[0])
        except KafkaException as error:
            if not is_transient(error) or time.monotonic() > deadline_s:
                raise
        time.sleep(COORDINATOR_PAUSE_S)


def _position(consumer: Consumer, part: TopicPartition, record: InputRecord) -> Position:
    low, high = log_ends(consumer, part, OFFSETS_TIMEOUT_S)
    if part.offset < 0:
        return Position(low, {}, joined=frozenset() if low > 0 else None)
    stood = decode_position(part.metadata, f"{part.topic}/{part.partition}", part.offset)
    if stood.offset > high:
        what = f"read up to offset {stood.offset}, the log ends before {high}"
        raise Stop(72, "E_OFFSET_AHEAD", what, f"{part.topic}/{part.partition}")
    at = record.go_on("score", (FEATURES_LOG.name, part.partition), stood.offset, low)
    return stood if at == stood.offset else stood._replace(offset=at, joined=frozenset())


def check_event(error: KafkaError) -> None:
    """Raise for a consumer's error that does not pass by itself; the others are waited out.

    Raises:
        ClusterError: E_TOPIC_MISSING or E_TOPIC_FORBIDDEN.
        Stop: E_INPUT_HOLE (73), records were deleted unread; E_SCORER_CONSUMER, whatever else.
    """
    match meaning_of(error):
        case "transient":
            return
        case "hole":  # the next start says which offsets, and what goes on from there
            raise Stop(73, "E_INPUT_HOLE", error.str(), FEATURES_LOG.name)
        case "missing":
            raise ClusterError(
                "E_TOPIC_MISSING", error.str(), FEATURES_LOG.name, "run `headrace up` or create the topics"
            )
        case "forbidden":
            step = "let this user read the topic and its group"
            raise ClusterError("E_TOPIC_FORBIDDEN", error.str(), FEATURES_LOG.name, step)
        case _:
            raise Stop(70, "E_SCORER_CONSUMER", error.str(), FEATURES_LOG.name)
