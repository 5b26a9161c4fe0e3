"""Dead letters as operators see them: each refused record once, whatever copies of it a restart has made.

A letter is known by its origin (topic, partition, offset). Records on a dead-letter topic that are not ours
are passed over.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
)

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, ConfigError
from contracts.header_check import RESERVED
from contracts.pipeline import Pipeline
from contracts.raw import Header, Headers, RawBatch, Unreadable
from contracts.topics import FEATURES_LOG
from contracts.verdict import refused_of
from runtime.kafka_clients import new_consumer, new_producer
from runtime.message_headers import headers_of
from runtime.topic_reader import read_to_end
from runtime.unreadable import Passer
from streams.gate.letters import PREFIX
from streams.gate.replayed import ReplayLedger

TIMEOUT_S = 10.0


def internal_topics(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the topics whose refused records are kept among the scored source's letters.

    A source's own refused records have a dead-letter topic of its own.
    """
    return (*(topic.name for topic in pipeline.stage_inputs.values()), FEATURES_LOG.name)


class Origin(NamedTuple):
    """Where the refused record stands; `topic` is without a run's prefix.

    >>> str(Origin("orders", 3, 1042))
    'orders/3/1042'
    """

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str, pipeline: Pipeline) -> "Origin":
        """Read `TOPIC/PARTITION/OFFSET`, of a topic of a project's.

        Raises:
            ConfigError: E_DLQ_ORIGIN.

        >>> from features.project.running import project_at
        >>> Origin.parse("resets/0/7", project_at("examples/logins").pipeline)
        Origin(topic='resets', partition=0, offset=7)
        """
        topic, _, place = text.partition("/")
        partition, _, offset = place.partition("/")
        known = topic in pipeline.by_topic or topic in internal_topics(pipeline)
        if not known or not partition.isdecimal() or not offset.isdecimal():
            raise ConfigError(
                "E_DLQ_ORIGIN", "not the origin of a dead letter", text, "write TOPIC/PARTITION/OFFSET"
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
    """The dead-letter topics of one run of a project."""

    def __init__(self, kafka: KafkaConnection, topic_prefix: str, pipeline: Pipeline) -> None:
        self._kafka, self._pipeline = kafka, pipeline
        self._prefix = topic_prefix

    def letters(self, topics: Sequence[str] = (), code: str = "") -> Iterator[Letter]:
        """Yield each letter once, in the order of its first copy on each partition.

        Args:
            topics: the sources' topics whose letters are read; all of them if unset.
            code: only letters of this code, if set.

        Raises:
            ClusterError: E_TOPIC_MISSING, E_CLUSTER_UNREACHABLE.
        """
        seen: set[Origin] = set()
        for topic in topics or tuple(self._pipeline.by_topic):
            for message in self._read(f"{self._prefix}{topic}.dlq"):
                letter = letter_of(message, self._pipeline)
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
        home = origin.topic if origin.topic in self._pipeline.by_topic else self._pipeline.scored.topic
        for letter in self.letters((home,)):
            if letter.origin == origin:
                return letter
        raise ConfigError("E_DLQ_NONE", "no dead letter has this origin", str(origin), "`headrace dlq list`")

    def replay(
        self, letters: list[Letter], now_ms: int, ledger: ReplayLedger, *, dry_run: bool, again: bool
    ) -> list[Refusal]:
        """Publish the original records again; returns those that are not, and why.

        Args:
            letters: what to publish, each once.
            now_ms: the present, epoch milliseconds: the contract in force then judges.
            ledger: the run's; what it knows is refused with E_DLQ_REPLAYED, what is published is noted.
            dry_run: judge, and publish nothing.
            again: publish also what the ledger knows.

        Raises:
            ClusterError: E_DLQ_REPLAY, Kafka did not take a record.
        """
        refusals = [
            refusal
            for letter in letters
            if (refusal := would_refuse(letter, now_ms, self._pipeline))
            or (refusal := None if again else _replayed(letter, ledger))
        ]
        refused = {refusal.origin for refusal in refusals}
        chosen = [letter for letter in letters if letter.origin not in refused]
        if chosen and not dry_run:
            names = [str(letter.origin) for letter in chosen]
            ledger.note(names, "begun", now_ms)
            self._publish(chosen)
            ledger.note(names, "done", now_ms)
        return refusals

    def _publish(self, letters: list[Letter]) -> None:
        producer = new_producer(self._kafka, "dlq", {"message.max.bytes": 2_000_000})
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
                "E_DLQ_REPLAY", what, self._kafka.bootstrap_servers,
                "replay again with --again within 24 hours: until then a copy is dropped",
            )  # fmt: skip

    def _read(self, topic: str) -> Iterator[Message]:
        """Yield the records of a topic up to its present end."""
        from_what_is_left = {"auto.offset.reset": "earliest"}  # retention may delete while we read
        consumer = new_consumer(self._kafka, "dlq", "headrace-dlq", from_what_is_left)
        try:
            begin = dict.fromkeys(self._partitions(consumer, topic), OFFSET_BEGINNING)
            yield from read_to_end(consumer, topic, begin, TIMEOUT_S, passer=Passer(self._kafka))
        except KafkaException as error:
            raise ClusterError("E_CLUSTER_SILENT", error.args[0].str(), topic, "is Kafka well?") from error
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


def letter_of(message: Message, pipeline: Pipeline) -> Letter | None:
    """Return the letter of a project that a record is; None when it is not one of ours."""
    headers = headers_of([message])[0]
    if not headers or isinstance(headers, Unreadable):
        return None
    facts = {name.removeprefix(PREFIX): value or b"" for name, value in headers if name.startswith(PREFIX)}
    read: Callable[[str], str] = lambda name: facts.get(name, b"").decode("utf-8", "replace")  # noqa: E731
    try:
        origin = Origin.parse(f"{read('topic')}/{read('partition')}/{read('offset')}", pipeline)
        timestamp_ms = int(read("timestamp") or -1)
    except (ConfigError, ValueError):
        return None
    return Letter(
        origin=origin, code=read("code"), reason=read("reason"), stage=read("stage"),
        contract=f"{read('contract')}/{read('contract_version')}".strip("/"), timestamp_ms=timestamp_ms,
        copied="copied" not in facts and "reconstructed" not in facts,
        key=message.key(), value=message.value(), headers=_own(headers),
    )  # fmt: skip


def would_refuse(letter: Letter, now_ms: int, pipeline: Pipeline) -> Refusal | None:
    """Return why the present contract would refuse the record again, None when it would accept it."""
    if letter.origin.topic in internal_topics(pipeline):
        reason = "a record between the stages; the events in it are published again, not the record"
        return Refusal(letter.origin, "E_DLQ_INTERNAL", reason)
    if not letter.copied:
        reason = f"the letter ({letter.code}) holds no copy of the record's own bytes"
        return Refusal(letter.origin, "E_DLQ_NOT_COPIED", reason)
    record = (letter.origin.partition, letter.origin.offset, now_ms, letter.key, letter.value, letter.headers)
    for refused in refused_of(pipeline.by_topic[letter.origin.topic], RawBatch.of([record])):
        return Refusal(letter.origin, refused.code, refused.reason)
    return None


def _replayed(letter: Letter, ledger: ReplayLedger) -> Refusal | None:
    """Return that a letter was replayed before, None when it was not."""
    when = ledger.replayed(str(letter.origin))
    if not when:
        return None
    return Refusal(letter.origin, "E_DLQ_REPLAYED", f"{when}; --again publishes it once more")


def _own(headers: list[Header]) -> list[Header]:
    """Return the refused record's headers, without ours."""
    return [(name, value) for name, value in headers if not name.startswith(RESERVED)]
