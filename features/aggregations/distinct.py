"""Approximate distinct count: exact up to a bound, estimated beyond it.

State of a key: a list of (hash64 of the item, newest event time it was seen at), one list for all windows
of the key, and a threshold. While the list has fewer than `ITEMS_MAX` live items every item is in it and a
window's count is exact. When it would grow past that, the threshold falls to the greatest hash in the list,
which is dropped; items whose hash is not under the threshold are passed over from then on. The kept items
are then a uniform sample by hash, and a window's value is

    float64(items of the window in the list) / (float64(threshold) * 2^-64)

with a relative standard error of 1/sqrt(ITEMS_MAX - 1), about 9 %. When the newest item that was passed over
or dropped has left the longest window, the threshold is lifted again. Same log order, same bits; below the
bound, any order.
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

    def prepare(self, value: int) -> State:
        return (value,)

    def merge(self, left: State, right: State) -> State:
        return tuple(sorted(set(left) | set(right)))

    def finalise(self, state: State | None) -> float:
        return float(len(state)) if state else 0.0
