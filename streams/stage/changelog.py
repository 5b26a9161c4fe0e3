"""The changelog of one stage partition: fenced checkpoints out, one bulk read back at take-over.

A checkpoint is one Kafka transaction of the changed rows and the marker that makes them true, under an id
that is the stage and partition. A take-over fences first and reads afterwards, so that no predecessor can
add to what has been read. The marker names the definitions: state of others is refused, never reinterpreted.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from contracts.connections import KafkaConnection
from contracts.crash_points import reach
from contracts.errors import StateError, Stop
from runtime.kafka_clients import QUICK_RETRY, new_consumer, new_transactional
from runtime.kafka_errors import is_end
from runtime.log_ends import log_ends
from runtime.transactions import take_transactional_id
from streams.stage.core import Entry, Marker, Snapshot

MARKER = b"M"
Look = Callable[[Mapping[bytes, bytes], int], None]  # at the live entries so far, and the bytes read so far
RECORDS_A_READ = 10_000
RECORDS_A_CALL = 10_000
# A take-over waits for this reader, so it asks for much at once and keeps much; a worker has one of it.
FETCH_MUCH = {
    "fetch.message.max.bytes": 16 << 20,
    "fetch.max.bytes": 64 << 20,
    "receive.message.max.bytes": 100_000_000,
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 131_072,
}


class Restored(NamedTuple):
    """What a take-over found: the marker to go on from, and the live entries."""

    marker: Marker
    entries: Mapping[bytes, bytes]


class ChangelogReader:
    """One warm consumer a worker: the first use of a client costs half a second, the next ones do not."""

    def __init__(self, kafka: KafkaConnection, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._consumer = new_consumer(
            kafka,
            "changelog",
            "headrace-changelog-reader",
            {
                "fetch.wait.max.ms": 10,
                "fetch.error.backoff.ms": 5,
                "topic.metadata.refresh.fast.interval.ms": 10,
                **FETCH_MUCH,
                **QUICK_RETRY,
            },
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

    def read(self, topic: str, partition: int, look: Look | None = None) -> dict[bytes, bytes]:
        """Return the last committed value of every key, to the end of the log.

        `look` is called after each batch read, and may raise to end the reading.

        Raises:
            Stop: E_TAKE_OVER, the changelog could not be read.
        """
        live: dict[bytes, bytes] = {}
        read_bytes = 0
        with self._lock:
            self._consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
            try:
                is_end = False
                while not is_end:
                    is_end, size = self._read_some(live, f"{topic}/{partition}")
                    read_bytes += size
                    if look is not None:
                        look(live, read_bytes)
            finally:
                self._consumer.unassign()
        return live

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the first offset that a partition still has, and the one behind its last.

        Raises:
            KafkaException: the cluster does not answer.
        """
        with self._lock:
            return log_ends(self._consumer, TopicPartition(topic, partition), self._timeout_s)

    def first(self, topic: str, partition: int, offset: int) -> int | None:
        """Return the offset of the first committed record from an offset on, None where there is none.

        Raises:
            Stop: E_TAKE_OVER, the partition could not be read.
        """
        where = f"{topic}/{partition}"
        with self._lock:
            self._consumer.assign([TopicPartition(topic, partition, offset)])
            try:
                message = self._consumer.poll(self._timeout_s)
            finally:
                self._consumer.unassign()
        if message is None:
            raise Stop(75, "E_TAKE_OVER", f"no answer in {self._timeout_s:g} s", where)
        error = message.error()
        if error is None:
            return message.offset()
        if is_end(error):
            return None
        raise Stop(75, "E_TAKE_OVER", str(error), where)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _read_some(self, live: dict[bytes, bytes], where: str) -> tuple[bool, int]:
        """Read a batch; return whether that was the end, and how many bytes of values it had."""
        first = self._consumer.poll(self._timeout_s)
        if first is None:
            raise Stop(75, "E_TAKE_OVER", f"no answer in {self._timeout_s:g} s", where)
        # a read of many waits until there are many, or its time is over: take only what is here
        messages = [first, *self._consumer.consume(RECORDS_A_READ, 0)]
        size = 0
        for message in messages:
            error = message.error()
            if error is not None:
                if is_end(error):
                    return True, size
                raise Stop(75, "E_TAKE_OVER", str(error), where)
            key, value = message.key() or b"", message.value()
            if value is None:
                live.pop(key, None)
            else:
                live[key] = value
                size += len(value)
        return False, size


class Changelog:
    """The transactional writer of one partition, for one incarnation."""

    def __init__(
        self, kafka: KafkaConnection, topic: str, partition: int, transactional_id: str,
        timeout_s: float = 10.0,
    ) -> None:  # fmt: skip
        self._timeout_s = timeout_s
        self._topic = topic
        self._partition = partition
        linger = {"linger.ms": 20}  # a checkpoint comes at once, and its commit ends the waiting
        self._producer = new_transactional(
            kafka, "changelog", transactional_id, int(timeout_s * 1000), linger
        )

    def take_over(self, reader: ChangelogReader, definitions_hash: str, look: Look | None = None) -> Restored:
        """Fence every predecessor, then return what they committed; `look` as of `ChangelogReader.read`.

        Raises:
            Stop: E_TAKE_OVER, Kafka did not let us.
            StateError: E_STATE_DEFINITIONS, the state was made under other definitions.
        """
        return restored(self.fence_and_read(reader, look), definitions_hash, self._where)

    def fence_and_read(self, reader: ChangelogReader, look: Look | None = None) -> dict[bytes, bytes]:
        """Fence every predecessor, then return the live entries, whatever definitions made them.

        Raises:
            Stop: E_TAKE_OVER, Kafka did not let us.
        """
        try:
            take_transactional_id(self._producer, 30)
            reach("stage.take_over")
            return reader.read(self._topic, self._partition, look)
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
        """Hand entries over; which of them come first does not matter inside a Kafka transaction."""
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


def marker_of(text: bytes, where: str) -> Marker:
    """Return the marker of a checkpoint.

    Raises:
        StateError: E_STATE_MARKER, it is none that a stage wrote.

    >>> marker_of(b'{"input_offset":7,"lanes":{"a/0":1},"definitions_hash":"00"}', "changelog").lanes
    {'a/0': 1}
    """
    try:
        marker = msgspec.json.decode(text, type=Marker)
        numbers = [marker.input_offset, marker.incarnation, *marker.lanes.values()]
        if min(numbers) < 0 or max(*numbers, *marker.extra.values()) >= 1 << 63:
            raise msgspec.ValidationError(f"numbers {min(numbers)} to {max(numbers)}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StateError(
            "E_STATE_MARKER", f"the checkpoint's marker cannot be read: {error}", where,
            "find what wrote to the changelog besides the stage; `headrace backfill --warm` rebuilds it",
        ) from error  # fmt: skip
    return marker


def restored(entries: dict[bytes, bytes], definitions_hash: str, where: str) -> Restored:
    """Return marker and state of a changelog's live entries; an empty one starts at offset 0.

    Raises:
        StateError: E_STATE_DEFINITIONS, the state was made under other definitions; E_STATE_MARKER.

    >>> restored({}, "0123456789abcdef", "changelog.account/0").marker.input_offset
    0
    """
    text = entries.pop(MARKER, None)
    if text is None:
        return Restored(Marker(input_offset=0, lanes={}, definitions_hash=definitions_hash), entries)
    marker = marker_of(text, where)
    if marker.definitions_hash != definitions_hash:
        raise StateError(
            "E_STATE_DEFINITIONS",
            f"state was made under definitions {marker.definitions_hash}, this code has {definitions_hash}",
            where,
            "run `headrace backfill --warm` to rebuild it, or go back to the code that wrote it",
        )
    return Restored(marker, entries)
