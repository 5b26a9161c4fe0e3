"""The gate's core: raw records in, frames and dead letters out; no broker, no clock.

Good payments go to events.customer by customer, good labels to events.terminal by terminal, as frames on
placed lanes. A refused record goes to the dead letters of its topic, bytes unchanged, with its code and
origin in headers. The gate has no state but its lanes: it may be ended anywhere and started again from the
committed offset, and readers drop what comes twice.
"""

from typing import NamedTuple

import numpy as np

from contracts.errors import Stop
from contracts.event_columns import KINDS
from contracts.frame import groups_of, length, position, take
from contracts.keys import partition_of
from contracts.lanes import LaneWriter
from contracts.raw import RawBatch
from contracts.verdict import Verdict, judge
from streams.gate.letters import LetterLane, pointer_letter
from streams.gate.outgoing import Outgoing

ROUTES = {"transactions": ("events.customer", "customer_id"), "labels": ("events.terminal", "terminal_id")}


class Gated(NamedTuple):
    """What one batch came to: records to produce in order, the verdict, and the offsets to read next."""

    records: list[Outgoing]
    verdict: Verdict
    upto: dict[int, int]


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
        partitions: how many partitions events.customer and events.terminal have.

    >>> core = GateCore({"events.customer": 4, "events.terminal": 4})
    >>> core.assign("transactions", 0, base_offset=0)
    >>> gated = core.process("transactions", RawBatch.of([(0, 0, 1_700_000_000_000, b"c1", b"{", None)]))
    >>> gated.records[0].topic
    'transactions.dlq'
    """

    def __init__(self, partitions: dict[str, int]) -> None:
        self._partitions = partitions
        self._places: dict[tuple[str, int], _Place] = {}
        self._next: dict[tuple[str, int], int] = {}

    def assign(self, topic: str, partition: int, base_offset: int) -> None:
        """Begin an incarnation on an input partition: all below `base_offset` is acknowledged."""
        src = f"{topic}/{partition}"
        base = position(base_offset)
        self._places[topic, partition] = _Place(LaneWriter(src, base), LetterLane(src, base))
        self._next[topic, partition] = base_offset

    def revoke(self, topic: str, partition: int) -> None:
        """End the incarnation on an input partition; its lanes are the next owner's."""
        self._places.pop((topic, partition), None)

    def owns(self, topic: str, partition: int) -> bool:
        """Return whether the partition is assigned."""
        return (topic, partition) in self._places

    def process(self, topic: str, batch: RawBatch) -> Gated:
        """Judge a batch of one topic, in log order inside each assigned partition, and route all of it.

        Raises:
            Stop: E_GATE_ORDER (72), a record comes before one already routed.
        """
        spans = spans_of(batch)
        self._check_order(topic, spans)
        verdict = judge(topic, batch)
        records = self._frames(topic, verdict, spans)
        for refused in verdict.bad:
            place = self._places[topic, batch.partitions[refused.row]]
            records.append(place.letters.letter(topic, batch, refused))
        return Gated(records, verdict, {partition: span.last + 1 for partition, span in spans.items()})

    def unreadable(self, topic: str, partition: int, span: tuple[int, int]) -> Outgoing:
        """Return the pointer left in place of records [first, behind) that cannot be read from the log."""
        self._next[topic, partition] = span[1]
        return pointer_letter(self._places[topic, partition].letters, topic, partition, span)

    def _check_order(self, topic: str, spans: dict[int, Span]) -> None:
        """Lanes cannot go back: rows behind one already sent would fall away at every reader."""
        for partition, span in spans.items():
            if span.first < self._next[topic, partition] or not span.ascending:
                raise Stop(72, "E_GATE_ORDER", f"offset {span.first} again", f"{topic}/{partition}")
            self._next[topic, partition] = span.last + 1

    def _frames(self, topic: str, verdict: Verdict, spans: dict[int, Span]) -> list[Outgoing]:
        if not length(verdict.good):
            return []
        target_topic, key = ROUTES[topic]
        kind, _ = KINDS[topic]
        targets = partition_of(verdict.good[key], self._partitions[target_topic])
        return [
            Outgoing(target_topic, target, None, data, None)
            for partition, rows in groups_of(verdict.good["raw_partition"])
            for target, data in self._places[topic, partition].frames.emit(
                kind, take(verdict.good, rows), targets[rows], position(spans[partition].last + 1)
            )
        ]


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
