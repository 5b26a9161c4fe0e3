"""Last, and since last: the newest value, and the time since it.

State: event time and value (ts, v) of the newest row.
Formula: float64(v), or float64(t - ts) at the moment t asked for.
Empty: null; also when the newest row is older than the longest window of the view, so that an idle key can be
forgotten.
Bound: exact to 2^53.
Error: none.
Order: any order of rows with different event times; of two rows of one time the later in the log is newer.
Source: plain comparing.
"""

from features.aggregations.base import NULL, Aggregation, Op, State


class Last(Aggregation):
    """Value of the newest row; rows come as (event_ms, value).

    >>> Last().finalise(Last().merge((10, 5), (12, 7)))
    7.0
    """

    op = Op.LAST
    unit = "the measure's"
    kept_over = frozenset({None, "delayed", "lifetime", "session"})

    def prepare(self, value: int, event_ms: int = 0) -> State:
        return (event_ms, value)

    def merge(self, left: State, right: State) -> State:
        return right if right[0] >= left[0] else left

    def finalise(self, state: State | None) -> float:
        return float(state[1]) if state else NULL


class SinceLast(Last):
    """Milliseconds from the newest row to the moment asked for.

    >>> SinceLast().since((10, 5), 12)
    2.0
    """

    op = Op.SINCE_LAST
    unit = "ms"
    of_rows = True

    def since(self, state: State | None, at_ms: int) -> float:
        """Return the age at `at_ms`; null when there was no row."""
        return float(at_ms - state[0]) if state else NULL
