"""One partition of one topic on its way to the lake: rows read but not yet in a file."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message, TopicPartition

from contracts import topics
from contracts.frame import Columns, Frame, FrameError, length
from contracts.frame_check import FrameReader, InputEnds, bounded, rules_of
from contracts.lanes import Lanes, accept, rejoin
from contracts.meaning import Meanings
from contracts.pipeline import Pipeline
from runtime.input_record import logical, physical
from runtime.unreadable import CODE, REASON
from streams.archive.frames import feature_table
from streams.archive.rows import (
    DeadLetterRows,
    JsonRows,
    RawDrift,
    RawPrediction,
    RawQuality,
    RawReview,
    RawVerdict,
    fields_of,
)
from streams.archive.set_aside import SetAside, dataset_of, table_of

OnBad = Callable[[str, str], None]  # what happened (a code, or "gap"), where
OnLost = Callable[[tuple[str, int, int]], None]  # what an accepted hole held of a lane: src, from, to


class Holder(Protocol):
    """Rows of one partition since its last flush."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """Datasets this topic fills."""

    def add(self, messages: Sequence[Message]) -> int:
        """Take records in and return how many rows they brought."""

    def drain(self) -> Mapping[str, pa.Table]:
        """Return the rows held, by dataset (none for a dataset without rows), and hold none."""

    def take_aside(self) -> list[SetAside]:
        """Return, once, what was set aside since the last call, in log order."""

    def metadata(self) -> str:
        """Return what must be committed beside the offset."""

    def rejoin(self) -> None:
        """Go on behind records that are gone."""


class RecordHolder:
    """Holds the records of a topic whose dataset has one row a record."""

    def __init__(self, dataset: str, rows: JsonRows | DeadLetterRows, generation: int = 0) -> None:
        self.datasets = (dataset,)
        self._rows, self._generation = rows, generation
        self._messages: list[Message] = []

    def add(self, messages: Sequence[Message]) -> int:
        self._messages += messages
        return len(messages)

    def drain(self) -> Mapping[str, pa.Table]:
        messages, self._messages = self._messages, []
        return {self.datasets[0]: self._as_named(self._rows.table(messages))} if messages else {}

    def _as_named(self, table: pa.Table) -> pa.Table:
        """Return the rows with the offsets by which the run names them."""
        if not self._generation:
            return table
        offsets = pc.add(table["offset"], logical(0, self._generation))
        return table.set_column(table.column_names.index("offset"), "offset", offsets)

    def take_aside(self) -> list[SetAside]:
        return []

    def metadata(self) -> str:
        return str(self._generation) if self._generation else ""

    def rejoin(self) -> None:
        """Nothing is kept between two records."""


class FrameHolder:
    """Holds the accepted rows of the feature log; its lane numbers are committed with the offset.

    So are the lanes met since the last hole, where there was one: behind it each lane goes on where it can.
    """

    def __init__(
        self, pipeline: Pipeline, metadata: str, on_bad: OnBad, meanings: Meanings,
        ends: InputEnds | None = None, on_lost: OnLost = lambda _lane: None,
    ) -> None:  # fmt: skip
        self._meanings, self._on_lost = meanings, on_lost
        self._pipeline, self._specified = pipeline, rules_of(pipeline).specified
        self.datasets = log_datasets(pipeline)
        self._frames = FrameReader(topics.FEATURES_LOG.name, pipeline, ends=ends, meanings=meanings)
        kept = json.loads(metadata) if metadata else {}
        self._joined: set[str] | None = set(kept["joined"]) if "joined" in kept else None
        self._lanes: Lanes = kept["lanes"] if "joined" in kept else kept
        self._on_bad = on_bad
        self._parts: dict[int, list[Columns]] = {number: [] for number in self._pipeline.by_number}
        self._aside: list[SetAside] = []

    def add(self, messages: Sequence[Message]) -> int:
        return sum(map(self._add, messages))

    def take_aside(self) -> list[SetAside]:
        aside, self._aside = self._aside, []
        return aside

    def _add(self, message: Message) -> int:
        value, offset = message.value() or b"", message.offset() or 0
        try:
            frame = self._frames.read(value, self._lanes)
        except FrameError as error:
            self._on_bad(bounded(error.code), f"{message.topic()}/{message.partition()}@{offset}: {error}")
            self._aside.append(SetAside(offset, offset, error.code, str(error), value))
            return 0
        if self._joined is not None and (lost := rejoin(frame, self._lanes, self._joined)):
            self._on_lost(lost)
        rows = accept(frame, self._lanes, self._gap)
        if length(rows):
            offsets = np.full(length(rows), offset, np.int64)
            known = {name: column for name, column in rows.items() if name in self._specified}
            self._parts[frame.kind].append({"offset": offsets, **known})
        return length(rows)

    def drain(self) -> Mapping[str, pa.Table]:
        tables = {
            self._pipeline.log_dataset(source): feature_table(parts, source, self._meanings)
            for source in self._pipeline.sources
            if (parts := self._parts[source.number])
        }
        self._parts = {number: [] for number in self._pipeline.by_number}
        return tables

    def metadata(self) -> str:
        if self._joined is None:
            return json.dumps(self._lanes, separators=(",", ":"))
        kept = {"lanes": self._lanes, "joined": sorted(self._joined)}
        return json.dumps(kept, separators=(",", ":"))

    def rejoin(self) -> None:
        """Take each lane's next record beyond its number as the one that goes on behind what is gone."""
        self._joined = set()

    def _gap(self, frame: Frame) -> None:
        self._on_bad("gap", frame.src)


_RECORDS: dict[str, type] = {
    topics.PREDICTIONS.name: RawPrediction,
    topics.DRIFT.name: RawDrift,
    topics.REVIEWS.name: RawReview,
    topics.VERDICTS.name: RawVerdict,
    topics.QUALITY.name: RawQuality,
}


def archived(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the topics that go to the lake, without a run's prefix."""
    return (*(topic.name for topic in pipeline.source_topics), *_RECORDS, topics.FEATURES_LOG.name)


def log_datasets(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the datasets of the log of features, one a source."""
    return tuple(map(pipeline.log_dataset, pipeline.sources))


def datasets_of(pipeline: Pipeline, topic: str) -> tuple[str, ...]:
    """Return the datasets that a topic (its name without prefix) fills."""
    return log_datasets(pipeline) if topic == topics.FEATURES_LOG.name else (topic.replace(".", "_"),)


def holder_for(
    pipeline: Pipeline, topic: str, metadata: str, on_bad: OnBad, meanings: Meanings,
    ends: InputEnds | None = None, on_lost: OnLost = lambda _lane: None, generation: int = 0,
) -> Holder:  # fmt: skip
    """Return the holder of a topic (its name without prefix), going on from committed `metadata`."""
    if topic == topics.FEATURES_LOG.name:
        return FrameHolder(pipeline, metadata, on_bad, meanings, ends, on_lost)
    (dataset,) = datasets_of(pipeline, topic)
    return RecordHolder(dataset, _rows_of(pipeline, topic), generation)


def _rows_of(pipeline: Pipeline, topic: str) -> JsonRows | DeadLetterRows:
    """Return what makes rows of a topic's records."""
    if topic in _RECORDS:
        return JsonRows(_RECORDS[topic], pipeline.chain)
    source = pipeline.by_topic.get(topic)
    return JsonRows(fields_of(source)) if source else DeadLetterRows()


class Drained(NamedTuple):
    """What a flush writes: the first offset, the rows by dataset, and what was set aside."""

    first: int
    tables: Mapping[str, pa.Table]
    aside: pa.Table | None


class PartitionBuffer:
    """What one partition brought since its last flush, and where in the log that is.

    Offsets are those by which the run names records, but for what is committed. `passed` says that the
    partition moved over offsets that hold no record, with nothing to write; `plain` is the topic's name
    without a run's prefix.
    """

    def __init__(
        self, topic: str, partition: int, holder: Holder, plain: str = "", next_offset: int = 0,
        generation: int = 0,
    ) -> None:  # fmt: skip
        self.topic = topic
        self.partition = partition
        self.holder = holder
        self.aside_dataset = dataset_of(plain or topic)
        self.rows = 0
        self.passed = False
        self.first_offset: int | None = None
        self.next_offset = next_offset
        self._generation = generation
        self.since_ms = 0.0
        self._aside: list[SetAside] = []
        self._metadata = holder.metadata()

    @property
    def begin(self) -> TopicPartition:
        """Return where what is held begins: what is committed by now."""
        at = physical(self.first_offset or 0)
        return TopicPartition(self.topic, self.partition, at, metadata=self._metadata)

    def add(self, messages: Sequence[Message], now_ms: float) -> None:
        """Take records in, at least one, in log order."""
        self._begin(self._named(messages[0].offset()), now_ms)
        self.rows += self.holder.add(messages)
        self.next_offset = self._named(messages[-1].offset()) + 1

    def pass_by(self, end: int | None, now_ms: float) -> None:
        """Move on to an offset of the log behind which there is nothing yet."""
        upto = self._named(end)
        if upto <= self.next_offset:
            return
        self.next_offset = upto
        if self.first_offset is None and not self.passed:
            self.passed, self.since_ms = True, now_ms

    def is_ahead(self, offset: int) -> bool:
        """Return whether an offset of the log is none that was taken already."""
        return self._named(offset) >= self.next_offset

    def _named(self, offset: int | None) -> int:
        return logical(offset or 0, self._generation)

    def pass_over(self, first: int, behind: int, now_ms: float) -> None:
        """Note that records [first, behind) cannot be read."""
        begin, end = self._named(first), self._named(behind)
        self._begin(begin, now_ms)
        self._aside.append(SetAside(begin, end - 1, CODE, REASON, None))
        self.next_offset = end

    def drain(self) -> Drained:
        """Return what is held, and begin anew."""
        first = self.first_offset if self.first_offset is not None else self.next_offset
        tables = self.holder.drain()
        aside = sorted(self._aside + self.holder.take_aside(), key=lambda one: one.offset)
        self.rows, self.first_offset, self.passed = 0, None, False
        self._metadata = self.holder.metadata()
        self._aside = []
        return Drained(first, tables, table_of(aside) if aside else None)

    def _begin(self, offset: int, now_ms: float) -> None:
        if self.first_offset is None:
            self.first_offset, self.since_ms = offset, now_ms
