"""Decayed sum: values added up, each worth half as much after every half-life.

State: the newest event time, a number k of half-lives since 1970, and a float64 S, the sum as it was k
half-lives after 1970. A row of time ts and value v, with i = ts // H and the growth g(ts % H), first moves k
up to i, when i is greater, and S to S * 2^-(i - k) (exact); then it adds float64(v) * g * 2^(i - k) to S.
Formula: S * 2^(k - t // H) / g(t % H) at the moment t. The growth g(r) = 2^(r/H) is the product of the
constants c_1 = sqrt(2), c_(j+1) = sqrt(c_j) over the set bits j = 1, 2, ... 40 of the binary fraction
floor(2^40 * r/H), multiplied in that order: only correctly rounded operations, so every machine gives the
same bits.
Empty: 0; also when the newest row is more than 20 half-lives old: the key may be forgotten, and the cut is
under a millionth of the sum. A row older than the present by more than that changes nothing.
Bound: half-life from a second to 400 days; the sum stays finite under 2^900.
Error: relative 1e-12 + n * 2^-52 against the real sum of n rows; values are not negative, so nothing cancels.
Order: floating: the same log order gives the same bits; other orders agree to n * 2^-51, relative, unless
rows are more than 20 half-lives apart, and to 2^-20 then.
Source: forward decay (Cormode, Shkapenyuk, Srivastava and Xu, ICDE 2009), with an exact landmark.
"""

import math

import numpy as np

from contracts.errors import ConfigError
from features.aggregations.base import NO_WINDOW, Aggregation, Op, State
from features.compiled import compiled_part

HALF_LIVES = 20
FRACTION_BITS = 40
_SECOND_MS, _DAY_MS = 1000, 86_400_000


def _roots() -> list[float]:
    roots = [math.sqrt(2.0)]
    while len(roots) < FRACTION_BITS:
        roots.append(math.sqrt(roots[-1]))
    return roots


ROOTS = np.array(_roots())


class DecayedSum(Aggregation):
    """Sum that halves every `half_life_ms`; the only state with a float in it.

    A state here is (event_ms, value) pairs in log order: the definition, not what is kept.

    Raises:
        ConfigError: E_AGGREGATION_HALF_LIFE.

    >>> hour = DecayedSum(half_life_ms=3_600_000)
    >>> hour.name, hour.value((0, 100, 3_600_000, 10), at_ms=7_200_000)
    ('decayed_sum_3600s', 30.0)
    """

    op = Op.DECAYED_SUM
    unit = "the measure's"
    kept_over = NO_WINDOW

    def __init__(self, *, half_life_ms: int) -> None:
        if not _SECOND_MS <= half_life_ms <= 400 * _DAY_MS:
            raise ConfigError(
                "E_AGGREGATION_HALF_LIFE", f"a half-life of {half_life_ms} ms", "DecayedSum",
                "give it from a second to 400 days",
            )  # fmt: skip
        self.half_life_ms = half_life_ms
        self.reach_ms = HALF_LIVES * half_life_ms

    @property
    def name(self) -> str:
        seconds, ms = divmod(self.half_life_ms, 1000)
        return f"decayed_sum_{self.half_life_ms}ms" if ms else f"decayed_sum_{seconds}s"

    def prepare(self, value: int, event_ms: int = 0) -> State:
        return (event_ms, value)

    def merge(self, left: State, right: State) -> State:
        return left + right

    def finalise(self, state: State | None) -> float:
        return self.value(state, max(state[::2])) if state else 0.0

    def value(self, state: State, at_ms: int) -> float:
        """Return the sum at `at_ms`, by the real numbers' formula."""
        pairs = zip(state[::2], state[1::2], strict=True)
        return math.fsum(value * 0.5 ** ((at_ms - ms) / self.half_life_ms) for ms, value in pairs)


@compiled_part()
def growth(rest_ms: int, half_life_ms: int) -> float:
    """Return 2^(rest_ms / half_life_ms), `rest_ms` from 0 to the half-life, by the page's product."""
    product, rest = 1.0, rest_ms
    for j in range(FRACTION_BITS):
        if rest == 0:
            break
        rest *= 2
        if rest >= half_life_ms:
            rest -= half_life_ms
            product *= ROOTS[j]
    return product


@compiled_part()
def scaled(value: float, doublings: int) -> float:
    """Return value * 2^doublings, correctly rounded."""
    return math.ldexp(value, min(max(doublings, -4000), 4000))
