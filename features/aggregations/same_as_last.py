"""Same as last: whether a row has the item of the key's newest row before it.

State: event time and hash64 of the item (ts, h) of the newest row that has an item.
Formula: 1 where the row's own hash is h, else 0.
Empty: null; also when the newest row is older than the longest window of the view, where the row itself has
no item, and at a moment without a row.
Bound: 16 bytes a key.
Error: none, but for items of one hash64.
Order: any order of rows with different event times; of two rows of one time the later in the log is newer.
Source: plain comparing.
"""

from features.aggregations.base import NO_WINDOW, NULL, Aggregation, Op, State


class SameAsLast(Aggregation):
    """Whether a row has the item of the newest row before it; rows come as (event_ms, hash).

    >>> same = SameAsLast()
    >>> same.compared((10, 5), 5), same.compared((10, 5), 7), same.compared(None, 7)
    (1.0, 0.0, nan)
    """

    op = Op.SAME_AS_LAST
    unit = "truth"
    kept_over = NO_WINDOW
    of_item = True
    of_before = True

    def prepare(self, value: int, event_ms: int = 0) -> State:
        return (event_ms, value)

    def merge(self, left: State, right: State) -> State:
        return right if right[0] >= left[0] else left

    def finalise(self, state: State | None) -> float:
        return NULL  # without a row there is nothing to compare

    def compared(self, state: State | None, item: int) -> float:
        """Return what a row of that item is answered, given the rows before it."""
        return float(state[1] == item) if state else NULL
