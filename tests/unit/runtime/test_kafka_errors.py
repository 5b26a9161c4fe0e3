"""What each code of librdkafka that we may meet means: one table, against all codes that the client knows."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from runtime.kafka_errors import Meaning, is_end, is_transient, may_appear, meaning_of

# as the Kafka protocol's own table of errors and librdkafka's header say; whatever is not named here is final
TABLE: dict[Meaning, str] = {
    "transient": """
        _TRANSPORT _ALL_BROKERS_DOWN _RESOLVE _DESTROY_BROKER NETWORK_EXCEPTION BROKER_NOT_AVAILABLE
        REBOOTSTRAP_REQUIRED _TIMED_OUT _TIMED_OUT_QUEUE _RETRY REQUEST_TIMED_OUT THROTTLING_QUOTA_EXCEEDED
        LEADER_NOT_AVAILABLE NOT_LEADER_FOR_PARTITION REPLICA_NOT_AVAILABLE OFFSET_NOT_AVAILABLE
        KAFKA_STORAGE_ERROR FENCED_LEADER_EPOCH UNKNOWN_LEADER_EPOCH PREFERRED_LEADER_NOT_AVAILABLE
        ELIGIBLE_LEADERS_NOT_AVAILABLE LISTENER_NOT_FOUND _WAIT_CACHE _WAIT_COORD COORDINATOR_NOT_AVAILABLE
        NOT_COORDINATOR COORDINATOR_LOAD_IN_PROGRESS NOT_CONTROLLER UNSTABLE_OFFSET_COMMIT
        CONCURRENT_TRANSACTIONS REBALANCE_IN_PROGRESS _MAX_POLL_EXCEEDED FETCH_SESSION_ID_NOT_FOUND
        INVALID_FETCH_SESSION_EPOCH
    """,
    "missing": "_UNKNOWN_TOPIC _UNKNOWN_PARTITION UNKNOWN_TOPIC_OR_PART UNKNOWN_TOPIC_ID",
    "hole": "_AUTO_OFFSET_RESET OFFSET_OUT_OF_RANGE",
    "forbidden": """
        TOPIC_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED CLUSTER_AUTHORIZATION_FAILED
        TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    """,
    "unreadable": "_BAD_COMPRESSION _BAD_MSG",
    "end": "_PARTITION_EOF",
}
# Kafka's protocol calls these retriable; for us they are not, and why
NOT_FOR_US = {
    "INVALID_MSG": "a record whose checksum is wrong: reported as corrupt, and not read again",
    "NOT_ENOUGH_REPLICAS": "librdkafka has tried until the delivery timeout; we never send a record again",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": "as NOT_ENOUGH_REPLICAS",
    "SHARE_SESSION_NOT_FOUND": "no share groups here", "INVALID_SHARE_SESSION_EPOCH": "no share groups here",
    "SHARE_SESSION_LIMIT_REACHED": "no share groups here",
}  # fmt: skip
RETRIABLE = [
    "INVALID_MSG",
    "UNKNOWN_TOPIC_OR_PART",
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_FOR_PARTITION",
    "REQUEST_TIMED_OUT",
    "REPLICA_NOT_AVAILABLE",
    "NETWORK_EXCEPTION",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "NOT_COORDINATOR",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "NOT_CONTROLLER",
    "KAFKA_STORAGE_ERROR",
    "FETCH_SESSION_ID_NOT_FOUND",
    "INVALID_FETCH_SESSION_EPOCH",
    "LISTENER_NOT_FOUND",
    "FENCED_LEADER_EPOCH",
    "UNKNOWN_LEADER_EPOCH",
    "OFFSET_NOT_AVAILABLE",
    "PREFERRED_LEADER_NOT_AVAILABLE",
    "ELIGIBLE_LEADERS_NOT_AVAILABLE",
    "UNSTABLE_OFFSET_COMMIT",
    "THROTTLING_QUOTA_EXCEEDED",
    "CONCURRENT_TRANSACTIONS",
    "UNKNOWN_TOPIC_ID",
    "SHARE_SESSION_NOT_FOUND",
    "INVALID_SHARE_SESSION_EPOCH",
    "SHARE_SESSION_LIMIT_REACHED",
    "REBOOTSTRAP_REQUIRED",
]


def codes() -> dict[str, int]:
    """Return every code that the client has a name for."""
    names = [name for name in dir(KafkaError) if name.strip("_").isupper()]
    return {name: getattr(KafkaError, name) for name in names if isinstance(getattr(KafkaError, name), int)}


def expected(name: str) -> Meaning:
    return next((meaning for meaning, names in TABLE.items() if name in names.split()), "final")


@pytest.mark.parametrize("name", sorted(codes()))
def test_every_code_of_the_client_means_what_the_table_says(name: str) -> None:
    error = KafkaError(codes()[name])
    assert meaning_of(error) == meaning_of(KafkaException(error)) == expected(name)
    assert is_transient(error) == (expected(name) == "transient")
    assert may_appear(error) == (expected(name) in ("transient", "missing"))
    assert is_end(error) == (name == "_PARTITION_EOF")


def test_the_table_names_codes_that_there_are() -> None:
    named = [name for names in TABLE.values() for name in names.split()]
    assert sorted(set(named) - codes().keys()) == []
    assert len(named) == len(set(named))


@pytest.mark.parametrize("name", sorted(set(RETRIABLE) & codes().keys()))
def test_what_kafka_calls_retriable_is_waited_out_or_there_is_a_reason(name: str) -> None:
    assert may_appear(KafkaError(codes()[name])) or name in NOT_FOR_US


@pytest.mark.parametrize("name", ["_TRANSPORT", "COORDINATOR_NOT_AVAILABLE", "_TIMED_OUT"])
def test_what_librdkafka_calls_fatal_is_final(name: str) -> None:
    assert meaning_of(KafkaError(codes()[name], "fenced meanwhile", True)) == "final"
