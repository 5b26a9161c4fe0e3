"""Dead letters as operators see them: each refused record once, whatever copies of it a restart has made.

A letter is known by its origin (topic, partition, offset). Records on a dead-letter topic that are not ours
are passed over.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, ConfigError
from contracts.header_check import RESERVED
from contracts.raw import Header, Headers, RawBatch, Unreadable
from contracts.verdict import judge
from streams.gate.letters import PREFIX
from streams.gate.message_headers import headers_of
from streams.gate.unreadable import FETCH

TIMEOUT_S = 10.0
ORIGINS = ("transactions", "labels")


class Origin(NamedTuple):
    """Where the refused record stands; `topic` is without a run's prefix.

    >>> str(Origin("transactions", 3, 1042))
    'transactions/3/1042'
    """

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "Origin":
        """Read `TOPIC/PARTITION/OFFSET`.

        Raises:
            ConfigError: E_DLQ_ORIGIN.

        >>> Origin.parse("labels/0/7")
        Origin(topic='labels', partition=0, offset=7)
        """
        topic, _, place = text.partition("/")
        partition, _, offset = place.partition("/")
        if topic not in ORIGINS or not partition.isdecimal() or not offset.isdecimal():
            raise ConfigError(
                "E_DLQ_ORIGIN", "not the origin of a dead letter", text, "write transactions/PARTITION/OFFSET"
            )
        return cls(topic, int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter.

    Args:
        copied: the key, value and headers are the refused record's own, bytes unchanged.
        timestamp_ms: of the refused record; -1 when it could not be read.
        stage: who refused it.
    """

    origin: Origin
    code: str
    reason: str
    stage: str
    contract: str
    timestamp_ms: int
    copied: bool
    key: bytes | None
    value: bytes | None
    headers: Headers = None


class Refusal(NamedTuple):
    """Why a letter was not published again."""

    origin: Origin
    code: str
    reason: str


class DeadLetters:
    """The dead-letter topics of one run."""

    def __init__(self, kafka: KafkaConnection, topic_prefix: str) -> None:
        self._kafka = kafka
        self._prefix = topic_prefix

    def letters(self, topics: tuple[str, ...] = ORIGINS, code: str = "") -> Iterator[Letter]:
        """Yield each letter once, in the order of its first copy on each partition.

        Raises:
            ClusterError: E_TOPIC_MISSING, E_CLUSTER_UNREACHABLE.
        """
        seen: set[Origin] = set()
        for topic in topics:
            for message in self._read(f"{self._prefix}{topic}.dlq"):
                letter = letter_of(message)
                if letter is None or letter.origin in seen:
                    continue
                seen.add(letter.origin)
                if not code or letter.code == code:
                    yield letter

    def find(self, origin: Origin) -> Letter:
        """Return the letter of a refused record.

        Raises:
            ConfigError: E_DLQ_NONE, no letter has this origin.
        """
        for letter in self.letters((origin.topic,)):
            if letter.origin == origin:
                return letter
        raise ConfigError("E_DLQ_NONE", "no dead letter has this origin", str(origin), "`headrace dlq list`")

    def replay(self, letters: list[Letter], now_ms: int, *, dry_run: bool) -> list[Refusal]:
        """Publish the original records again; returns those that would be refused again, which are not.

        Args:
            letters: what to publish.
            now_ms: the present, epoch milliseconds: the contract in force then judges.
            dry_run: judge, and publish nothing.

        Raises:
            ClusterError: E_DLQ_REPLAY, Kafka did not take a record.
        """
        refusals = [refusal for letter in letters if (refusal := would_refuse(letter, now_ms))]
        refused = {refusal.origin for refusal in refusals}
        if not dry_run:
            self._publish([letter for letter in letters if letter.origin not in refused])
        return refusals

    def _publish(self, letters: list[Letter]) -> None:
        settings = {
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.max.bytes": 2_000_000,
        }
        producer = Producer(self._kafka.librdkafka() | settings)
        failures: list[str] = []

        def delivered(error: object, _message: object) -> None:
            failures.extend(() if error is None else (str(error),))

        for letter in letters:
            headers = None if isinstance(letter.headers, Unreadable) else letter.headers
            producer.produce(
                self._prefix + letter.origin.topic, letter.value, letter.key, on_delivery=delivered,
                headers=headers,  # type: ignore[arg-type]  # list is invariant
            )  # fmt: skip
            producer.poll(0)
        left = producer.flush(30)
        if failures or left:
            what = failures[0] if failures else f"{left} records are not acknowledged"
            raise ClusterError(
                "E_DLQ_REPLAY", what, self._kafka.bootstrap_servers, "replay again: copies are dropped"
            )

    def _read(self, topic: str) -> Iterator[Message]:
        """Yield the records of a topic up to its present end."""
        settings = {"group.id": "headrace-dlq", "enable.auto.commit": False, "enable.partition.eof": True}
        consumer = Consumer(self._kafka.librdkafka() | settings | FETCH)
        try:
            left = self._partitions(consumer, topic)
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
            heard = time.monotonic()
            while left and time.monotonic() - heard < TIMEOUT_S:
                for message in consumer.consume(1000, 0.1):
                    heard = time.monotonic()
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard(message.partition() or 0)
            if left:
                raise ClusterError(
                    "E_CLUSTER_SILENT", f"no record within {TIMEOUT_S:g} s", topic, "is Kafka well?"
                )
        finally:
            consumer.close()

    def _partitions(self, consumer: Consumer, topic: str) -> set[int]:
        try:
            found = consumer.list_topics(topic, TIMEOUT_S).topics[topic]
        except KafkaException as error:
            where = self._kafka.bootstrap_servers
            raise ClusterError(
                "E_CLUSTER_UNREACHABLE", str(error), where, "start it, or name another"
            ) from error
        if found.error is not None:
            raise ClusterError("E_TOPIC_MISSING", "no such topic", topic, "`headrace up` creates the topics")
        return set(found.partitions)


def letter_of(message: Message) -> Letter | None:
    """Return the letter that a record is; None when it is not one of ours."""
    headers = headers_of([message])[0]
    if not headers or isinstance(headers, Unreadable):
        return None
    facts = {name.removeprefix(PREFIX): value or b"" for name, value in headers if name.startswith(PREFIX)}
    read: Callable[[str], str] = lambda name: facts.get(name, b"").decode("utf-8", "replace")  # noqa: E731
    try:
        origin = Origin.parse(f"{read('topic')}/{read('partition')}/{read('offset')}")
        timestamp_ms = int(read("timestamp") or -1)
    except (ConfigError, ValueError):
        return None
    return Letter(
        origin=origin, code=read("code"), reason=read("reason"), stage=read("stage"),
        contract=f"{read('contract')}/{read('contract_version')}".strip("/"), timestamp_ms=timestamp_ms,
        copied="copied" not in facts and "reconstructed" not in facts,
        key=message.key(), value=message.value(), headers=_own(headers),
    )  # fmt: skip


def would_refuse(letter: Letter, now_ms: int) -> Refusal | None:
    """Return why the present contract would refuse the record again, None when it would accept it."""
    if not letter.copied:
        reason = f"the letter ({letter.code}) holds no copy of the record's own bytes"
        return Refusal(letter.origin, "E_DLQ_NOT_COPIED", reason)
    record = (letter.origin.partition, letter.origin.offset, now_ms, letter.key, letter.value, letter.headers)
    for refused in judge(letter.origin.topic, RawBatch.of([record])).bad:
        return Refusal(letter.origin, refused.code, refused.reason)
    return None


def _own(headers: list[Header]) -> list[Header]:
    """Return the refused record's headers, without ours."""
    return [(name, value) for name, value in headers if not name.startswith(RESERVED)]
