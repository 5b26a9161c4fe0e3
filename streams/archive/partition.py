"""One partition of one topic on its way to the lake: rows read but not yet in a file."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
from confluent_kafka import Message, TopicPartition

from contracts import topics
from contracts.frame import Columns, Frame, FrameError, Kind, decode, length
from contracts.lanes import Lanes, accept
from contracts.meaning import Meanings
from streams.archive.frames import OWN, feature_table
from streams.archive.rows import (
    DeadLetterRows,
    JsonRows,
    RawDrift,
    RawLabel,
    RawPrediction,
    RawQuality,
    RawReview,
    RawTransaction,
    RawVerdict,
)

DATASET_OF_KIND = {Kind.FEATURE: "features", Kind.LABEL: "label_log"}
OnBad = Callable[[str, str], None]  # what happened ("refused" or "gap"), where


class Holder(Protocol):
    """Rows of one partition since its last flush."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """Datasets this topic fills."""

    def add(self, messages: Sequence[Message]) -> int:
        """Take records in and return how many rows they brought."""

    def drain(self) -> Mapping[str, pa.Table]:
        """Return the rows held, by dataset (none for a dataset without rows), and hold none."""

    def metadata(self) -> str:
        """Return what must be committed beside the offset."""


class RecordHolder:
    """Holds the records of a topic whose dataset has one row a record."""

    def __init__(self, dataset: str, rows: JsonRows | DeadLetterRows) -> None:
        self.datasets = (dataset,)
        self._rows = rows
        self._messages: list[Message] = []

    def add(self, messages: Sequence[Message]) -> int:
        self._messages += messages
        return len(messages)

    def drain(self) -> Mapping[str, pa.Table]:
        messages, self._messages = self._messages, []
        return {self.datasets[0]: self._rows.table(messages)} if messages else {}

    def metadata(self) -> str:
        return ""


class FrameHolder:
    """Holds the accepted rows of the feature log; its lane numbers are committed with the offset."""

    datasets = tuple(DATASET_OF_KIND.values())

    def __init__(self, metadata: str, on_bad: OnBad, meanings: Meanings = OWN) -> None:
        self._meanings = meanings
        self._lanes: Lanes = json.loads(metadata) if metadata else {}
        self._on_bad = on_bad
        self._parts: dict[Kind, list[Columns]] = {kind: [] for kind in DATASET_OF_KIND}

    def add(self, messages: Sequence[Message]) -> int:
        return sum(map(self._add, messages))

    def _add(self, message: Message) -> int:
        try:
            frame = decode(message.value() or b"")
        except FrameError as error:
            self._on_bad(
                "refused",
                f"{message.topic()}/{message.partition()}@{message.offset()}: {error}",
            )
            return 0
        kind = Kind(frame.kind)
        if frame.kind not in DATASET_OF_KIND:
            where = f"{message.topic()}/{message.partition()}@{message.offset()}"
            self._on_bad("refused", f"{where}: rows of kind {frame.kind}")
            return 0
        kind = Kind(frame.kind)
        rows = accept(frame, self._lanes, self._gap)
        if length(rows):
            offset = np.full(length(rows), message.offset(), np.int64)
            self._parts[kind].append({"offset": offset, **rows})
        return length(rows)

    def drain(self) -> Mapping[str, pa.Table]:
        tables = {
            DATASET_OF_KIND[kind]: feature_table(parts, kind, self._meanings)
            for kind, parts in self._parts.items()
            if parts
        }
        self._parts = {kind: [] for kind in DATASET_OF_KIND}
        return tables

    def metadata(self) -> str:
        return json.dumps(self._lanes, separators=(",", ":"))

    def _gap(self, frame: Frame) -> None:
        self._on_bad("gap", frame.src)


_RECORDS: dict[str, tuple[str, type | None]] = {
    topics.TRANSACTIONS.name: ("transactions", RawTransaction),
    topics.LABELS.name: ("labels", RawLabel),
    topics.PREDICTIONS.name: ("predictions", RawPrediction),
    topics.DRIFT.name: ("drift", RawDrift),
    topics.REVIEWS.name: ("reviews", RawReview),
    topics.VERDICTS.name: ("verdicts", RawVerdict),
    topics.QUALITY.name: ("quality", RawQuality),
    topics.TRANSACTIONS_DLQ.name: ("transactions_dlq", None),
    topics.LABELS_DLQ.name: ("labels_dlq", None),
}
ARCHIVED = (*_RECORDS, topics.FEATURES_LOG.name)


def holder_for(topic: str, metadata: str, on_bad: OnBad, meanings: Meanings = OWN) -> Holder:
    """Return the holder of a topic (its name without prefix), going on from committed `metadata`."""
    if topic == topics.FEATURES_LOG.name:
        return FrameHolder(metadata, on_bad, meanings)
    dataset, fields = _RECORDS[topic]
    return RecordHolder(dataset, JsonRows(fields) if fields else DeadLetterRows())


class PartitionBuffer:
    """What one partition brought since its last flush, and where in the log that is."""

    def __init__(self, topic: str, partition: int, holder: Holder) -> None:
        self.topic = topic
        self.partition = partition
        self.holder = holder
        self.rows = 0
        self.first_offset: int | None = None
        self.next_offset = 0
        self.since_ms = 0.0
        self._metadata = holder.metadata()

    @property
    def begin(self) -> TopicPartition:
        """Return where what is held begins: what is committed by now."""
        return TopicPartition(self.topic, self.partition, self.first_offset or 0, metadata=self._metadata)

    def add(self, messages: Sequence[Message], now_ms: float) -> None:
        """Take records in, at least one, in log order."""
        if self.first_offset is None:
            self.first_offset, self.since_ms = messages[0].offset() or 0, now_ms
        self.rows += self.holder.add(messages)
        self.next_offset = (messages[-1].offset() or 0) + 1

    def drain(self) -> tuple[int, Mapping[str, pa.Table]]:
        """Return the first offset and the rows by dataset, and begin anew."""
        first = self.first_offset if self.first_offset is not None else self.next_offset
        tables = self.holder.drain()
        self.rows, self.first_offset, self._metadata = 0, None, self.holder.metadata()
        return first, tables
