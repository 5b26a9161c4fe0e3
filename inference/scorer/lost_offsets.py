"""Whether the group's offsets were lost: without them events that were scored would be scored again.

A partition whose offset is not there begins at its first record. That is right for one that nobody has
scored yet, and wrong where predictions of it were published. So for each such partition that holds records
the predictions are searched, from the time of its first record on, for one of it. No answer in time is an
error: it never reads as "no predictions yet".
"""

from collections.abc import Callable

import msgspec
from confluent_kafka import (
    OFFSET_END,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)

from contracts.errors import StateError, Stop
from contracts.topics import FEATURES_LOG, PREDICTIONS
from inference.scorer.kafka import OFFSETS_TIMEOUT_S, committed_offsets
from inference.scorer.settings import ScorerSettings
from runtime.kafka_clients import new_consumer
from runtime.kafka_metadata import partitions_of
from runtime.topic_reader import read_to_end

SILENCE_S = 30.0
CLOCKS_APART_MS = 3_600_000  # between the machines whose times the records have


class _Source(msgspec.Struct, frozen=True):
    partition: int


class _Made(msgspec.Struct, frozen=True):
    """Of a prediction only which partition its event was in."""

    source: _Source


def refuse_lost_offsets(settings: ScorerSettings) -> None:
    """Refuse to begin where a partition has no offset, yet predictions of it were published.

    Raises:
        StateError: E_SCORER_OFFSETS_LOST.
        ClusterError: E_TOPIC_MISSING or E_KAFKA_UNREACHABLE.
        Stop: E_SCORER_OFFSETS, the cluster did not answer.
    """
    log = FEATURES_LOG.full_name(settings.topic_prefix)
    group = new_consumer(settings.kafka, settings.worker, settings.group)
    reader = new_consumer(settings.kafka, settings.worker, f"{settings.group}-looks")
    try:
        Search(group, reader, settings).refuse_lost()
    except KafkaException as error:
        raise Stop(75, "E_SCORER_OFFSETS", str(error.args[0]), log) from error
    finally:
        group.close()
        reader.close()


class Search:
    """One search for predictions of partitions that have no offset.

    Args:
        group: asks for the group's offsets.
        reader: reads committed records of both topics, and is told where a partition ends.
    """

    def __init__(self, group: Consumer, reader: Consumer, settings: ScorerSettings) -> None:
        self._group, self._reader, self._settings = group, reader, settings
        self._log = FEATURES_LOG.full_name(settings.topic_prefix)
        self._predictions = PREDICTIONS.full_name(settings.topic_prefix)

    def refuse_lost(self) -> None:
        """Raise if predictions of a partition without an offset are there.

        Raises:
            StateError, ClusterError, Stop, KafkaException: as `refuse_lost_offsets`.
        """
        since_ms = self._first_ms(self._without_offset())
        if not since_ms:
            return
        found = self._scored(set(since_ms), min(since_ms.values()) - CLOCKS_APART_MS)
        lost = found & set(self._without_offset())  # another worker may have begun meanwhile
        if lost:
            raise StateError(
                "E_SCORER_OFFSETS_LOST",
                f"{self._settings.group} has no offset in {sorted(lost)}, yet predictions of these are there",
                self._log, "raise offsets.retention.minutes and begin a new run",
            )  # fmt: skip

    def _without_offset(self) -> list[int]:
        every = partitions_of(self._reader, self._log, OFFSETS_TIMEOUT_S)
        asked = [TopicPartition(self._log, number) for number in every]
        return [part.partition for part in committed_offsets(self._group, asked) if part.offset < 0]

    def _first_ms(self, partitions: list[int]) -> dict[int, int]:
        """Return the time of the first record, epoch ms, of those partitions that have any."""
        begin = {number: self._low(self._log, number) for number in partitions}
        first_ms: dict[int, int] = {}

        def take(message: Message) -> bool:
            kind, time_ms = message.timestamp()
            first_ms.setdefault(message.partition() or 0, 0 if kind == TIMESTAMP_NOT_AVAILABLE else time_ms)
            return True

        self._read(self._log, begin, take)
        return first_ms

    def _scored(self, partitions: set[int], since_ms: int) -> set[int]:
        """Return which of the partitions have predictions, among those made since then."""
        every = partitions_of(self._reader, self._predictions, OFFSETS_TIMEOUT_S)
        asked = [TopicPartition(self._predictions, number, max(0, since_ms)) for number in every]
        begin: dict[int, int] = {}
        for part in self._reader.offsets_for_times(asked, timeout=OFFSETS_TIMEOUT_S):
            if part.error is not None:
                raise KafkaException(part.error)
            if part.offset not in (-1, OFFSET_END):  # nothing that new
                begin[part.partition] = part.offset
        found: set[int] = set()

        def take(message: Message) -> bool:
            found.update(partitions & {_source_of(message.value() or b"")})
            return found == partitions  # from then on one record of each other partition ends it

        self._read(self._predictions, begin, take)
        return found

    def _low(self, topic: str, number: int) -> int:
        return int(
            self._reader.get_watermark_offsets(TopicPartition(topic, number), timeout=OFFSETS_TIMEOUT_S)[0]
        )

    def _read(self, topic: str, begin: dict[int, int], enough: Callable[[Message], bool]) -> None:
        """Read each partition until it ends or `enough` of one of its records.

        Raises:
            KafkaException: an error, or nothing was heard for `SILENCE_S` seconds.
        """
        for _ in read_to_end(self._reader, topic, begin, SILENCE_S, enough=enough):
            pass
        self._reader.unassign()


def _source_of(value: bytes) -> int:
    """Return the partition that a prediction's event was in, -1 for bytes that are no prediction."""
    try:
        return msgspec.json.decode(value, type=_Made).source.partition
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return -1
