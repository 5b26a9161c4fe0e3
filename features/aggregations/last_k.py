"""Last k: the k newest values, one column each.

State: event time and value of each of the k newest rows, in order of time and then of the log.
Formula: float64(v) of the i-th newest row in column name_i; name_1 is the newest.
Empty: null for the columns that no row reaches; a row older than the longest window of the view is gone.
Bound: k is 1 to 64; 16 bytes a row and key; values exact to 2^53.
Error: none.
Order: any order of rows with different event times; of two rows of one time the later in the log is newer.
Source: a list kept in order.
"""

from contracts.errors import ConfigError
from features.aggregations.base import NO_WINDOW, NULL, Aggregation, Op, State

K_MAX = 64


class LastK(Aggregation):
    """The k newest values; a state is (time, value) pairs one after another, oldest first.

    Raises:
        ConfigError: E_AGGREGATION_K.

    >>> last = LastK(k=2)
    >>> state = last.merge((10, 5), (12, 7, 14, 9))
    >>> state, last.finalise_all(state)
    ((12, 7, 14, 9), (9.0, 7.0))
    """

    op = Op.LAST_K
    unit = "the measure's"
    kept_over = NO_WINDOW

    def __init__(self, *, k: int) -> None:
        if not 1 <= k <= K_MAX:
            raise ConfigError("E_AGGREGATION_K", f"the last {k} values", "LastK", f"give k from 1 to {K_MAX}")
        self.width = k

    @property
    def name(self) -> str:
        return f"last_{self.width}"

    def prepare(self, value: int, event_ms: int = 0) -> State:
        return (event_ms, value)

    def merge(self, left: State, right: State) -> State:
        pairs = [*zip(left[::2], left[1::2], strict=True), *zip(right[::2], right[1::2], strict=True)]
        newest = sorted(pairs, key=lambda pair: pair[0])[-self.width :]  # equal times stay in log order
        return tuple(number for pair in newest for number in pair)

    def finalise(self, state: State | None) -> float:
        return float(state[-1]) if state else NULL

    def finalise_all(self, state: State | None) -> tuple[float, ...]:
        """Return the k columns, newest first."""
        values = [float(value) for value in (state or ())[1::2]][::-1]
        return tuple(values + [NULL] * (self.width - len(values)))
