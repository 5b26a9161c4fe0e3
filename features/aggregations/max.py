"""Max: the greatest value.

State: the value m.
Formula: float64(m).
Empty: null.
Bound: exact to 2^53.
Error: none.
Order: any order of the rows gives the same bits.
Source: plain comparing.
"""

from features.aggregations.base import NULL, Aggregation, Op, State


class Max(Aggregation):
    """The greatest value.

    >>> Max().finalise(Max().merge((3,), (7,)))
    7.0
    """

    op = Op.MAX
    in_tiles = True
    unit = "the measure's"

    def prepare(self, value: int) -> State:
        return (value,)

    def merge(self, left: State, right: State) -> State:
        return (max(left[0], right[0]),)

    def finalise(self, state: State | None) -> float:
        return float(state[0]) if state else NULL
