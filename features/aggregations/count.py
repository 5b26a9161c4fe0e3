"""Count: how many rows there are.

State: the count n.
Formula: float64(n).
Empty: 0.
Bound: exact to n = 2^53.
Error: none.
Order: any order of the rows gives the same bits.
Source: plain counting.
"""

from features.aggregations.base import Aggregation, Op, State


class Count(Aggregation):
    """Number of rows.

    >>> Count().finalise(Count().merge((2,), (3,)))
    5.0
    """

    op = Op.COUNT
    in_tiles = True
    unit = "rows"
    replaces = True
    of_rows = True

    def prepare(self, value: int) -> State:
        return (1,)

    def merge(self, left: State, right: State) -> State:
        return (left[0] + right[0],)

    def finalise(self, state: State | None) -> float:
        return float(state[0]) if state else 0.0
