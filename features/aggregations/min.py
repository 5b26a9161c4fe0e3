"""Min: the least value.

State: the value m.
Formula: float64(m).
Empty: null.
Bound: exact to 2^53.
Error: none.
Order: any order of the rows gives the same bits.
Source: plain comparing.
"""

from features.aggregations.base import NULL, Aggregation, Op, State


class Min(Aggregation):
    """The least value.

    >>> Min().finalise(Min().merge((3,), (7,)))
    3.0
    """

    op = Op.MIN
    in_tiles = True
    unit = "the measure's"

    def prepare(self, value: int) -> State:
        return (value,)

    def merge(self, left: State, right: State) -> State:
        return (min(left[0], right[0]),)

    def finalise(self, state: State | None) -> float:
        return float(state[0]) if state else NULL
