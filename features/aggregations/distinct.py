"""Distinct: an approximate count of different items, exact up to a bound and estimated beyond it.

State: a list of (hash64 of the item, newest event time it was seen at), one list for all windows of the key,
and a threshold. While the list has fewer than `ITEMS_MAX` = 128 live items every item is in it. When it would
grow past that, the threshold falls to the greatest hash in the list, which is dropped; items whose hash is
not under the threshold are passed over from then on. The kept items are then a uniform sample by hash. When
the newest item that was passed over or dropped has left the longest window, the threshold is lifted again.
Formula: float64(k) for k items of the window in the list; with a threshold T, float64(k) / (float64(T) *
2^-64).
Empty: 0.
Bound: 128 items a key, whatever the window.
Error: none up to 128 live items of a key; beyond, a relative standard error of 1/sqrt(127), about 9 %.
Order: the same order gives the same bits; below the bound any order does.
Source: the k minimum values sketch (Bar-Yossef and others, Counting Distinct Elements in a Data Stream,
2002).
"""

from features.aggregations.base import Aggregation, Op, State

ITEMS_MAX = 128
TWO_POW_MINUS_64 = 2.0**-64


class Distinct(Aggregation):
    """How many different items; a state is the set of their hashes as a sorted tuple (the exact part).

    >>> Distinct().finalise(Distinct().merge((3, 9), (9, 11)))
    3.0
    """

    op = Op.DISTINCT
    unit = "items"
    kept_over = frozenset({"sawtooth"})
    of_item = True
    in_tiles = True  # its list of items stands beside the tiles, in the same state

    def prepare(self, value: int) -> State:
        return (value,)

    def merge(self, left: State, right: State) -> State:
        return tuple(sorted(set(left) | set(right)))

    def finalise(self, state: State | None) -> float:
        return float(len(state)) if state else 0.0
