"""Fold rows of several kinds into a state, strictly in log order.

A partition's state has a clock of its own, by which idle keys are forgotten, so the order of all its rows
counts and not only that of one key's.
"""

import itertools

import numpy as np

from contracts.frame import Columns, Kind, length, take
from features.state import Applied, EntityState


def fold(state: EntityState, rows: Columns) -> Applied:
    """Return the as-of answers of n rows, in their order; one call of the kernel a run of one kind.

    Args:
        state: takes the rows in.
        rows: in log order, with `kind` beside `pos`, the join key and the columns that the views read.
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
        applied = state.apply(take(rows, run), Kind(int(rows["kind"][begin])))
        values[run], late[run], as_of_ms[run] = applied.values, applied.late, applied.as_of_ms
    return Applied(values, late, as_of_ms)
