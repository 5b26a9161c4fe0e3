"""The changelog of one stage partition: fenced checkpoints out, one bulk read back at take-over.

A checkpoint is one Kafka transaction of the changed rows and the marker that makes them true, under an id
that is the stage and partition. A take-over fences first and reads afterwards, so that no predecessor can
add to what has been read. The marker names the definitions: state of others is refused, never reinterpreted.
"""

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from contracts.connections import KafkaConnection
from contracts.crash_points import reach
from contracts.errors import StateError, Stop
from streams.stage.core import Entry, Marker, Snapshot

MARKER = b"M"
RECORDS_A_READ = 10_000
RECORDS_A_CALL = 10_000
# A take-over waits for this reader, so it asks for much at once and keeps much; a worker has one of it.
FETCH_MUCH = {
    "fetch.message.max.bytes": 16 << 20,
    "fetch.max.bytes": 64 << 20,
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 131_072,
}
QUICK_RETRY = {"retry.backoff.ms": 2, "retry.backoff.max.ms": 20}  # the default's 100 ms is most of a commit


class Restored(NamedTuple):
    """What a take-over found: the marker to go on from, and the live entries."""

    marker: Marker
    entries: Mapping[bytes, bytes]


class ChangelogReader:
    """One warm consumer a worker: the first use of a client costs half a second, the next ones do not."""

    def __init__(self, kafka: KafkaConnection, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._consumer = Consumer(
            {
                **kafka.librdkafka(),
                "group.id": "headrace-changelog-reader",  # never joined: it only assigns
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "log_level": 2,  # a broker that is away would fill the log, twenty lines a second
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
                "fetch.error.backoff.ms": 5,
                "topic.metadata.refresh.fast.interval.ms": 10,
                **FETCH_MUCH,
                **QUICK_RETRY,
            }
        )

    def warm(self, topic: str) -> int:
        """Connect, and return how many partitions the topic has (0 when it is not there).

        Raises:
            Stop: E_CLUSTER_UNREACHABLE, Kafka does not answer: it may be restarting.
        """
        try:
            found = self._consumer.list_topics(topic, self._timeout_s).topics[topic]
        except KafkaException as error:
            raise Stop(75, "E_CLUSTER_UNREACHABLE", str(error), topic) from error
        return len(found.partitions)

    def read(self, topic: str, partition: int) -> dict[bytes, bytes]:
        """Return the last committed value of every key, to the end of the log.

        Raises:
            Stop: E_TAKE_OVER, the changelog could not be read.
        """
        live: dict[bytes, bytes] = {}
        with self._lock:
            self._consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
            try:
                while not self._read_some(live, f"{topic}/{partition}"):
                    pass
            finally:
                self._consumer.unassign()
        return live

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _read_some(self, live: dict[bytes, bytes], where: str) -> bool:
        """Read a batch; return whether that was the end."""
        first = self._consumer.poll(self._timeout_s)
        if first is None:
            raise Stop(75, "E_TAKE_OVER", f"no answer in {self._timeout_s:g} s", where)
        # a read of many waits until there are many, or its time is over: take only what is here
        messages = [first, *self._consumer.consume(RECORDS_A_READ, 0)]
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    return True
                raise Stop(75, "E_TAKE_OVER", str(error), where)
            key, value = message.key() or b"", message.value()
            if value is None:
                live.pop(key, None)
            else:
                live[key] = value
        return False


class Changelog:
    """The transactional writer of one partition, for one incarnation."""

    def __init__(
        self, kafka: KafkaConnection, topic: str, partition: int, transactional_id: str,
        timeout_s: float = 10.0,
    ) -> None:  # fmt: skip
        self._timeout_s = timeout_s
        self._topic = topic
        self._partition = partition
        self._producer = Producer(
            {
                **kafka.librdkafka(),
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(timeout_s * 1000),
                "linger.ms": 20,  # a checkpoint comes at once, and its commit ends the waiting
                "compression.type": "lz4",
                **QUICK_RETRY,
            }
        )

    def take_over(self, reader: ChangelogReader, definitions_hash: str) -> Restored:
        """Fence every predecessor, then return what they committed.

        Raises:
            Stop: E_TAKE_OVER, Kafka did not let us.
            StateError: E_STATE_DEFINITIONS, the state was made under other definitions.
        """
        return restored(self.fence_and_read(reader), definitions_hash, self._where)

    def fence_and_read(self, reader: ChangelogReader) -> dict[bytes, bytes]:
        """Fence every predecessor, then return the live entries, whatever definitions made them.

        Raises:
            Stop: E_TAKE_OVER, Kafka did not let us.
        """
        try:
            self._producer.init_transactions(30)
            reach("stage.take_over")
            return reader.read(self._topic, self._partition)
        except KafkaException as error:
            raise Stop(75, "E_TAKE_OVER", str(error), self._where) from error

    def commit(self, snapshot: Snapshot) -> None:
        """Write a checkpoint; it is durable, whole, when this returns.

        Raises:
            Stop: E_CHECKPOINT, another incarnation owns the partition or the outcome is not known.
        """
        try:
            self._producer.begin_transaction()
            marker = (MARKER, msgspec.json.encode(snapshot.marker))
            self._produce([*snapshot.entries, marker])
            reach("stage.in_checkpoint")
            self._producer.commit_transaction(max(30.0, self._timeout_s))
        except KafkaException as error:
            raise Stop(74, "E_CHECKPOINT", str(error), self._where) from error

    def _produce(self, entries: list[Entry]) -> None:
        """Hand entries over; which of them come first does not matter inside a transaction."""
        records: list[dict[str, Any]] = [{"key": key, "value": value} for key, value in entries]
        for begin in range(0, len(records), RECORDS_A_CALL):
            left = records[begin : begin + RECORDS_A_CALL]
            while left:
                queued = self._producer.produce_batch(self._topic, left, self._partition)
                if queued == len(left):
                    break
                left = [record for record in left if self._refused(record)]
                self._producer.poll(0.05)  # the client's own queue is full: let it send

    def _refused(self, record: dict[str, Any]) -> bool:
        """Tell whether the client had no room for a record.

        Raises:
            KafkaException: it refused the record for another reason.
        """
        error = record.pop("_error", None)
        if error is not None and error.code() != KafkaError._QUEUE_FULL:
            raise KafkaException(error)
        return error is not None

    @property
    def _where(self) -> str:
        return f"{self._topic}/{self._partition}"


def restored(entries: dict[bytes, bytes], definitions_hash: str, where: str) -> Restored:
    """Return marker and state of a changelog's live entries; an empty one starts at offset 0.

    Raises:
        StateError: E_STATE_DEFINITIONS, the state was made under other definitions.

    >>> restored({}, "0123456789abcdef", "changelog.customer/0").marker.input_offset
    0
    """
    text = entries.pop(MARKER, None)
    if text is None:
        return Restored(Marker(input_offset=0, lanes={}, definitions_hash=definitions_hash), entries)
    marker = msgspec.json.decode(text, type=Marker)
    if marker.definitions_hash != definitions_hash:
        raise StateError(
            "E_STATE_DEFINITIONS",
            f"state was made under definitions {marker.definitions_hash}, this code has {definitions_hash}",
            where,
            "run `headrace backfill --warm` to rebuild it, or go back to the code that wrote it",
        )
    return Restored(marker, entries)
