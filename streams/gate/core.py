"""The gate's core: raw records in, frames and dead letters out; no broker, no clock.

Good records of every source go to the chain's first stage, by its entity's key or, where they have none, by
what names them, as frames on placed lanes. A refused record goes to the dead letters of its topic, bytes
unchanged, with its code and origin in headers. The gate has no state but its lanes: it may be ended anywhere
and started again from the committed offset, and readers drop what comes twice.
"""

from typing import NamedTuple

import numpy as np

from contracts.errors import Stop
from contracts.frame import Columns, groups_of, length, position, take
from contracts.hashed_fields import HashKeys
from contracts.keys import targets_of
from contracts.lanes import LaneWriter
from contracts.pipeline import Pipeline
from contracts.raw import RawBatch
from contracts.verdict import Verdict, judge
from streams.gate.letters import LetterLane, pointer_letter
from streams.gate.outgoing import Outgoing


class Gated(NamedTuple):
    """What one batch came to: records to produce in order, the verdict, and the offsets to read next."""

    records: list[Outgoing]
    verdict: Verdict
    upto: dict[int, int]


class Received(NamedTuple):
    """A judged batch: dead letters to produce in order, the verdict, and each partition's good rows."""

    letters: list[Outgoing]
    verdict: Verdict
    rows: dict[int, Columns]  # of every partition of the batch, also where none was good


class Span(NamedTuple):
    """The offsets of one partition in a batch; `ascending` when they come in log order."""

    first: int
    last: int
    ascending: bool


class _Place(NamedTuple):
    """The lanes that leave one input partition."""

    frames: LaneWriter
    letters: LetterLane


class GateCore:
    """Judges and routes; topics are named without a run's prefix.

    Args:
        pipeline: whose records they are.
        partitions: of the run, by which frames and letters are placed.
        keys: with which personal keys are hashed; None where nothing is.

    >>> from features.project.running import project_at
    >>> core = GateCore(project_at("examples/logins").pipeline, partitions=4)
    >>> core.assign("resets", 0, base_offset=0)
    >>> gated = core.process("resets", RawBatch.of([(0, 0, 1_700_000_000_000, None, b"{", None)]))
    >>> gated.records[0].topic
    'resets.dlq'
    """

    def __init__(self, pipeline: Pipeline, partitions: int, keys: HashKeys | None = None) -> None:
        self._pipeline, self._keys = pipeline, keys
        self._partitions = partitions
        self._places: dict[tuple[str, int], _Place] = {}
        self._next: dict[tuple[str, int], int] = {}

    def assign(self, topic: str, partition: int, base_offset: int) -> None:
        """Begin an incarnation on an input partition: all below `base_offset` is acknowledged."""
        src = f"{topic}/{partition}"
        base = position(base_offset)
        self._places[topic, partition] = _Place(
            LaneWriter(src, base), LetterLane(src, base, self._partitions)
        )
        self._next[topic, partition] = base_offset

    def revoke(self, topic: str, partition: int) -> None:
        """End the incarnation on an input partition; its lanes are the next owner's."""
        self._places.pop((topic, partition), None)

    def owns(self, topic: str, partition: int) -> bool:
        """Return whether the partition is assigned."""
        return (topic, partition) in self._places

    def process(self, topic: str, batch: RawBatch) -> Gated:
        """Judge a batch of one topic as `receive` does, and route all of it; raises as that does."""
        received = self.receive(topic, batch)
        records = [
            record
            for partition, rows in received.rows.items()
            for record in self.route(topic, partition, rows)
        ]
        upto = {partition: self._next[topic, partition] for partition in received.rows}
        return Gated(records + received.letters, received.verdict, upto)

    def receive(self, topic: str, batch: RawBatch) -> Received:
        """Judge a batch of one topic, in log order inside each assigned partition.

        Raises:
            Stop: E_GATE_ORDER (72), a record comes before one already judged.
        """
        spans = spans_of(batch)
        self._check_order(topic, spans)
        verdict = judge(self._pipeline.by_topic[topic], batch, self._keys)
        rows: dict[int, Columns] = {partition: {} for partition in spans}
        for partition, which in groups_of(verdict.good["raw_partition"]) if length(verdict.good) else ():
            rows[partition] = take(verdict.good, which)
        letters = [
            self._places[topic, batch.partitions[refused.row]].letters.letter(topic, batch, refused)
            for refused in verdict.bad
        ]
        return Received(letters, verdict, rows)

    def route(self, topic: str, partition: int, rows: Columns, upto: int | None = None) -> list[Outgoing]:
        """Return the frames of a partition's next good rows, in order.

        Args:
            upto: the position behind them; None: all that was judged so far is routed with them.
        """
        if not length(rows):
            return []
        first, source = self._pipeline.chain.first, self._pipeline.by_topic[topic]
        targets = targets_of(rows, first, source, self._partitions)
        end = position(self._next[topic, partition]) if upto is None else upto
        frames = self._places[topic, partition].frames.emit(source.number, rows, targets, end)
        return [Outgoing(first.input, target, None, data, None) for target, data in frames]

    def next_offset(self, topic: str, partition: int) -> int:
        """Return the offset behind all that was judged of a partition."""
        return self._next[topic, partition]

    def unreadable(self, topic: str, partition: int, span: tuple[int, int]) -> Outgoing:
        """Return the pointer left in place of records [first, behind) that cannot be read from the log."""
        self._next[topic, partition] = span[1]
        return pointer_letter(self._places[topic, partition].letters, topic, partition, span)

    def pass_by(self, topic: str, partition: int, upto: int) -> bool:
        """Move on over offsets below `upto` that hold nothing to read; False where that is no news.

        Ends of Kafka's transactions, and what was sent in an aborted one, have offsets and are no records.
        """
        if not self.owns(topic, partition) or upto <= self._next[topic, partition]:
            return False
        self._next[topic, partition] = upto
        return True

    def _check_order(self, topic: str, spans: dict[int, Span]) -> None:
        """Lanes cannot go back: rows behind one already sent would fall away at every reader."""
        for partition, span in spans.items():
            if span.first < self._next[topic, partition] or not span.ascending:
                raise Stop(72, "E_GATE_ORDER", f"offset {span.first} again", f"{topic}/{partition}")
            self._next[topic, partition] = span.last + 1


def spans_of(batch: RawBatch) -> dict[int, Span]:
    """Return what a batch holds of each partition.

    >>> spans_of(RawBatch.of([(0, 5, 0, None, None, None), (0, 6, 0, None, None, None)]))
    {0: Span(first=5, last=6, ascending=True)}
    """
    offsets = np.array(batch.offsets, np.int64)
    spans = {}
    for partition, rows in groups_of(np.array(batch.partitions, np.int32)):
        own = offsets[rows]
        spans[partition] = Span(int(own[0]), int(own[-1]), bool((np.diff(own) > 0).all()))
    return spans
