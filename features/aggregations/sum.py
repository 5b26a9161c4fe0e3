"""Sum of minor units. State: the sum; it must stay under 2^63, and is exact as a float to 2^53. Empty: 0."""

from features.aggregations.base import Aggregation, Op, State


class Sum(Aggregation):
    """Sum of the values.

    >>> Sum().finalise(Sum().update((250,), 199))
    449.0
    """

    op = Op.SUM
    words = 3
    unit = "the measure's"

    def prepare(self, value: int) -> State:
        return (value,)

    def merge(self, left: State, right: State) -> State:
        return (left[0] + right[0],)

    def finalise(self, state: State | None) -> float:
        return float(state[0]) if state else 0.0
