"""Mean. State: count and sum. Formula: float64(sum) / float64(count). Empty window: null."""

from features.aggregations.base import NULL, Aggregation, Op, State


class Mean(Aggregation):
    """Arithmetic mean.

    >>> Mean().finalise((4, 10))
    2.5
    """

    op = Op.MEAN
    words = 3
    unit = "the measure's"

    def prepare(self, value: int) -> State:
        return (1, value)

    def merge(self, left: State, right: State) -> State:
        return (left[0] + right[0], left[1] + right[1])

    def finalise(self, state: State | None) -> float:
        return float(state[1]) / float(state[0]) if state else NULL
