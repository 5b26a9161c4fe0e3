"""First, and since first: the oldest value of a window, and the time since it.

State: event time and value (ts, v) of the oldest row.
Formula: float64(v), or float64(t - ts) at the moment t asked for.
Empty: null.
Bound: exact to 2^53.
Error: none.
Order: any order of rows with different event times; of two rows of one time the earlier in the log is first.
Source: plain comparing. Over the lifetime, `since first` is the age of an account; over a session, how long
it has been going on; over the last n rows, how fast they came.
"""

from features.aggregations.base import NULL, Aggregation, Op, State


class First(Aggregation):
    """Value of the oldest row; rows come as (event_ms, value), left before right in the log.

    >>> First().finalise(First().merge((10, 5), (12, 7)))
    5.0
    """

    op = Op.FIRST
    unit = "the measure's"

    def prepare(self, value: int, event_ms: int = 0) -> State:
        return (event_ms, value)

    def merge(self, left: State, right: State) -> State:
        return right if right[0] < left[0] else left

    def finalise(self, state: State | None) -> float:
        return float(state[1]) if state else NULL


class SinceFirst(First):
    """Milliseconds from the oldest row to the moment asked for.

    >>> SinceFirst().since((10, 5), 12)
    2.0
    """

    op = Op.SINCE_FIRST
    unit = "ms"
    of_rows = True

    def since(self, state: State | None, at_ms: int) -> float:
        """Return the age at `at_ms`; null when there was no row."""
        return float(at_ms - state[0]) if state else NULL
