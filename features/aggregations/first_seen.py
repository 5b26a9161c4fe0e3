"""First seen: whether the key has no earlier row with the row's item in the window.

State: a list of (newest event time at which it was seen, hash64 of the item), and the newest time p of an
item that the list had no room for. When it would grow past `ITEMS_KEPT` = 256 items that the longest window
sees, the item that was seen longest ago is left out (of equal times the least hash).
Formula: 0 where the item was seen in the window; else 1, but null where p is in the window: the item may be
one that was left out.
Empty: 1; null where the row itself has no item, and at a moment without a row.
Bound: 256 items a key, 16 bytes each.
Error: none, but for items of one hash64: what the list cannot say is null.
Order: any order of the rows before it while the list has room; past that the same order gives the same bits.
Source: a list kept in order.
"""

from features.aggregations.base import NULL, Aggregation, Op, State

ITEMS_KEPT = 256


class FirstSeen(Aggregation):
    """Whether no earlier row has the row's item; a state is a sorted tuple of hashes (the exact part).

    >>> seen = FirstSeen()
    >>> seen.compared((3, 9), 9), seen.compared((3, 9), 4), seen.compared(None, 4)
    (0.0, 1.0, 1.0)
    """

    op = Op.FIRST_SEEN
    unit = "truth"
    kept_over = frozenset({"sawtooth", "lifetime"})
    of_item = True
    of_before = True

    def prepare(self, value: int) -> State:
        return (value,)

    def merge(self, left: State, right: State) -> State:
        return tuple(sorted(set(left) | set(right)))

    def finalise(self, state: State | None) -> float:
        return NULL  # without a row there is nothing to look for

    def compared(self, state: State | None, item: int) -> float:
        """Return what a row of that item is answered, given the items before it."""
        return float(item not in (state or ()))
