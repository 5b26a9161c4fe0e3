"""Rows of the log through the stream's own state, strictly in log order.

A partition's state has a clock of its own, by which idle keys are forgotten, so the order of all its rows
counts and not only that of one key's: rows that are not folded still move the clock.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.frame import Columns, length, take
from contracts.keys import hash64
from features.definition import Entity
from features.state import CLOCK_MS, Applied, EntityState
from inference.offline.fold.ordered import LogRows, Selection, ordered
from inference.offline.lake.beginning import begun, seeded_states, with_clock
from inference.offline.lake.lake import Lake

Ints = NDArray[np.int64]


class Folded(NamedTuple):
    """Rows that were folded, and what the state answered as of each."""

    rows: LogRows
    applied: Applied


class PartitionFold:
    """One partition of an entity's stage: its state, and the rows folded into it so far.

    Args:
        start: what it goes on from, as `seeded_states` or `kept` return it; without rows, from nothing.
        is_kept: `kept` will be asked for, so all keys are noted.
    """

    def __init__(self, entity: Entity, start: pa.Table, is_kept: bool = False) -> None:
        self.state = begun(entity, start)
        self._noted: set[bytes] | None = set(start["key"].to_pylist()) if is_kept else None

    def kept(self) -> pa.Table:
        """Return the packed state of every key that had a row, null for one that is forgotten, and the clock.

        A fold that goes on from it gives the bits that one without a stop gives.
        """
        live, names = set(self.state.latest().keys), sorted(self._noted or ())
        packed = self.state.export(np.array(names, np.bytes_)) if names else []
        states = [blob if name in live else None for name, blob in zip(names, packed, strict=True)]
        table = pa.table({"key": pa.array(names, pa.binary()), "state": pa.array(states, pa.binary())})
        return with_clock(table, self.state.clock.pack())

    def take(self, rows: LogRows) -> Folded:
        """Fold the partition's next rows in."""
        columns, clock = rows.columns, self.state.clock
        if self._noted is not None:
            self._noted.update(columns[self.state.entity.join_key].tolist())
        if rows.clock is None:
            return Folded(rows, in_log_order(self.state, columns))
        shown_ms = clock.advance(hash64(rows.clock.keys), rows.clock.times_ms)
        now_ms = clock.now_ms
        applied = in_log_order(self.state, {**columns, CLOCK_MS: shown_ms[rows.clock.mine]})
        clock.show(now_ms)  # rows that are not folded have moved it on
        return Folded(rows, applied)


def fold(lake: Lake, asked: Selection, **bounds: int) -> Iterator[Folded]:
    """Yield the rows of a selection that are folded, each partition from its beginning.

    Args:
        bounds: of memory, as `inference.offline.fold.ordered.ordered` takes them.

    Raises:
        StateError: as `inference.offline.lake.beginning.beginning`.
    """
    number, partition = -1, None
    for rows in ordered(lake, asked, lake.folder / ".spilled", **bounds):
        if partition is None or rows.partition != number:
            number = rows.partition
            partition = PartitionFold(asked.entity, seeded_states(lake, asked.entity, number))
        yield partition.take(rows)


def in_log_order(state: EntityState, rows: Columns) -> Applied:
    """Return the as-of answers of n rows, in their order; one call of the kernel a run of one kind.

    Args:
        state: takes the rows in.
        rows: in log order, with `kind` beside `pos`, the join key and the columns that the views read; of
            some of a partition's rows alone `clock_ms` too, what its clock showed at each.
    """
    count = length(rows)
    values = np.empty((count, len(state.entity.columns)))
    late = np.zeros(count, np.bool_)
    as_of_ms = np.zeros(count, np.int64)
    edges = [0, *(np.flatnonzero(np.diff(rows["kind"])) + 1).tolist(), count]
    for begin, end in itertools.pairwise(edges):
        if begin == end:
            continue
        run = slice(begin, end)
        applied = state.apply(take(rows, run), int(rows["kind"][begin]))
        values[run], late[run], as_of_ms[run] = applied.values, applied.late, applied.as_of_ms
    return Applied(values, late, as_of_ms)
