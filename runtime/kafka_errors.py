"""What Kafka's errors mean to whoever reads, writes or asks: one list, for every process.

librdkafka reports an error where a record was expected, raises one from a question, or hands one to a
delivery report, and does not say whether waiting would help (`KafkaError.retriable` is set by transactional
calls alone). Each code stands for one of these:

- transient: a broker, leader or coordinator that is away, moves or is still loading, a name that does not
  resolve yet, a question that was not answered in time. The client goes on trying by itself: wait.
- missing: no such topic or partition. It may have been made a moment ago and not be known everywhere yet, so
  who waits for a topic waits; for who reads one it is an error that only an operator can mend.
- hole: the offset is not in the log: records were deleted unread. Never passed over.
- forbidden: this user may not do that. Waiting does not change it, an operator does.
- unreadable: a record batch that the client cannot unpack; see `runtime.unreadable`.
- end: no error: a partition was read to its present end.
- final: everything else. The process stops with a code, and its successor goes on from what is committed.
  Among them are errors of a fenced producer or member (another incarnation has taken over), of a record that
  was not delivered (sending it again by hand would lose the order), of a corrupt or truncated log, and of
  credentials that a broker did not take (they may be right again when it has started in full).
"""

from typing import Literal

from confluent_kafka import KafkaError, KafkaException

Meaning = Literal["transient", "missing", "hole", "forbidden", "unreadable", "end", "final"]

_CODES: dict[Meaning, tuple[int, ...]] = {
    "transient": (
        # a broker cannot be reached or found, for now
        KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE,
        KafkaError.NETWORK_EXCEPTION, KafkaError.BROKER_NOT_AVAILABLE, KafkaError._DESTROY_BROKER,
        KafkaError.REBOOTSTRAP_REQUIRED,
        # no answer in time; the next one may come
        KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError.REQUEST_TIMED_OUT, KafkaError._RETRY,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        # a partition's leader moves, or has not caught up
        KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE, KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
        KafkaError.ELIGIBLE_LEADERS_NOT_AVAILABLE, KafkaError.LISTENER_NOT_FOUND, KafkaError._WAIT_CACHE,
        # a group's or a transaction's coordinator moves or is loading
        KafkaError._WAIT_COORD, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_CONTROLLER,
        # a predecessor's transaction is being finished
        KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError.CONCURRENT_TRANSACTIONS,
        # the group takes us in again by itself, and says so by its callbacks
        KafkaError.REBALANCE_IN_PROGRESS, KafkaError._MAX_POLL_EXCEEDED,
        # the broker has forgotten a fetch session: the client begins another
        KafkaError.FETCH_SESSION_ID_NOT_FOUND, KafkaError.INVALID_FETCH_SESSION_EPOCH,
    ),
    "missing": (
        KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
    ),
    "hole": (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE),
    "forbidden": (
        KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ),
    "unreadable": (KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG),
    "end": (KafkaError._PARTITION_EOF,),
}  # fmt: skip
_MEANINGS: dict[int, Meaning] = {code: meaning for meaning, codes in _CODES.items() for code in codes}


def meaning_of(error: KafkaError | KafkaException) -> Meaning:
    """Return what an error means; one that librdkafka itself calls fatal is final, whatever its code.

    >>> meaning_of(KafkaError(KafkaError._TRANSPORT)), meaning_of(KafkaError(KafkaError._FENCED))
    ('transient', 'final')
    """
    about: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    return "final" if about.fatal() else _MEANINGS.get(about.code(), "final")


def is_transient(error: KafkaError | KafkaException) -> bool:
    """Return whether waiting helps, by itself: nothing is lost and nobody has to do anything."""
    return meaning_of(error) == "transient"


def may_appear(error: KafkaError | KafkaException) -> bool:
    """Return whether waiting helps who asks about a topic that may have been made a moment ago."""
    return meaning_of(error) in ("transient", "missing")


def is_end(error: KafkaError | None) -> bool:
    """Return whether a message stands for a partition's present end.

    >>> is_end(None), is_end(KafkaError(KafkaError._PARTITION_EOF))
    (False, True)
    """
    return error is not None and error.code() == KafkaError._PARTITION_EOF
