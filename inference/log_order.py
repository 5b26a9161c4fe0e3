"""Fold rows of several kinds into a state, in log order, with few calls of the kernel.

Keys know nothing of each other, so only the order of one key's rows counts. Rows are taken in rounds: a
round holds, for every key, its next run of one kind, and all rounds of a number hold the same kind.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from contracts.frame import Columns, length, take
from contracts.keys import hash64
from features.state import Applied, EntityState

Ints = NDArray[np.int64]


def fold(state: EntityState, rows: Columns) -> Applied:
    """Return the as-of answers of n rows, in their order.

    Args:
        state: takes the rows in.
        rows: in log order, with `kind` beside `pos`, the join key and the columns that the views read.
    """
    count = length(rows)
    values = np.empty((count, len(state.entity.columns)))
    late = np.zeros(count, np.bool_)
    as_of_ms = np.zeros(count, np.int64)
    kinds = np.unique(rows["kind"])
    if not count:
        return Applied(values, late, as_of_ms)
    rounds = _rounds_of(rows[state.entity.join_key], np.searchsorted(kinds, rows["kind"]), len(kinds))
    order = np.argsort(rounds, kind="stable")
    edges = np.flatnonzero(np.diff(rounds[order])) + 1
    for which in np.split(order, edges):
        kind = int(kinds[rounds[which[0]] % len(kinds)])
        applied = state.apply(take(rows, which), kind)
        values[which], late[which], as_of_ms[which] = applied.values, applied.late, applied.as_of_ms
    return Applied(values, late, as_of_ms)


def _rounds_of(keys: NDArray[np.bytes_], kind: NDArray[np.intp], kinds: int) -> Ints:
    """Return each row's round; keys of one hash share theirs, which only makes the order stricter."""
    names, slot = np.unique(hash64(keys), return_inverse=True)
    return np.asarray(_rounds(slot.astype(np.int64), kind.astype(np.int64), kinds, len(names)))


@njit(cache=True)
def _rounds(slot: Ints, kind: Ints, kinds: int, keys: int) -> Ints:
    reached = np.zeros(keys, np.int64)
    rounds = np.empty(len(slot), np.int64)
    for row in range(len(slot)):
        number = reached[slot[row]]
        while number % kinds != kind[row]:
            number += 1
        reached[slot[row]] = rounds[row] = number
    return rounds
