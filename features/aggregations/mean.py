"""Mean: the sum over the count.

State: count n and sum S.
Formula: float64(S) / float64(n).
Empty: null.
Bound: |S| stays under 2^63.
Error: S and the quotient are each rounded once.
Order: any order of the rows gives the same bits.
Source: the arithmetic mean.
"""

from features.aggregations.base import NULL, Aggregation, Op, State


class Mean(Aggregation):
    """Arithmetic mean.

    >>> Mean().finalise((4, 10))
    2.5
    """

    op = Op.MEAN
    in_tiles = True
    unit = "the measure's"
    replaces = True

    def prepare(self, value: int) -> State:
        return (1, value)

    def merge(self, left: State, right: State) -> State:
        return (left[0] + right[0], left[1] + right[1])

    def finalise(self, state: State | None) -> float:
        return float(state[1]) / float(state[0]) if state else NULL
