"""Sum: the values added up.

State: the sum S.
Formula: float64(S).
Empty: 0.
Bound: |S| stays under 2^63; it is exact as a float to 2^53 and rounded once beyond.
Error: none in the state.
Order: any order of the rows gives the same bits.
Source: plain adding of integers.
"""

from features.aggregations.base import Aggregation, Op, State


class Sum(Aggregation):
    """Sum of the values.

    >>> Sum().finalise(Sum().update((250,), 199))
    449.0
    """

    op = Op.SUM
    in_tiles = True
    unit = "the measure's"
    replaces = True

    def prepare(self, value: int) -> State:
        return (value,)

    def merge(self, left: State, right: State) -> State:
        return (left[0] + right[0],)

    def finalise(self, state: State | None) -> float:
        return float(state[0]) if state else 0.0
