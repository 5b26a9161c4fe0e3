"""Quantile: the value that a share q of the rows does not exceed, approximately.

State: a count for each bucket of the values in a tile. A value under 64 is a bucket of its own; above, each
octave is cut into 32 equal buckets. With e = bit_length(v) - 6 (0 for v < 64) the bucket of v is 32*e + (v >>
e), and holds the 2^e values from (v >> e) << e on.
Formula: of the n rows of the window, in order of value, the r-th, r = max(1, ceil(n * per_mille / 1000)),
lies in a bucket of least value a and width 2^e: float64(2*a + 2^e - 1) / 2, the middle of the bucket's
values.
Empty: null.
Bound: values under 2^62; at most min(rows, 1,856) counts a tile, whatever the number of rows.
Error: the rank is exact; the value is off by at most 1/64 (1.6 %) of the true one, and not at all under 64.
Order: any order of the rows gives the same bits, and tiles merge by adding counts.
Source: log-linear buckets as of HDR Histogram (Tene, 2012); relative error of a merged quantile sketch as of
DDSketch (Masson, Rim and Lee, VLDB 2019).
"""

from contracts.errors import ConfigError
from features.aggregations.base import NULL, TILES, Aggregation, Op, State
from features.compiled import compiled_part

BUCKETS = 2048  # numbers of buckets stay under it
_BITS = 5


class Quantile(Aggregation):
    """The per_mille/1000 quantile; a state is (bucket, count) pairs one after another, by bucket.

    Raises:
        ConfigError: E_AGGREGATION_QUANTILE.

    >>> median = Quantile(per_mille=500)
    >>> median.name, median.finalise(median.merge(median.prepare(7), median.prepare(9)))
    ('quantile_500', 7.0)
    >>> median.finalise(median.prepare(1_000_000))  # 1.6 % at most
    1007615.5
    """

    op = Op.QUANTILE
    unit = "the measure's"
    kept_over = TILES

    def __init__(self, *, per_mille: int) -> None:
        if not 1 <= per_mille <= 1000:
            raise ConfigError(
                "E_AGGREGATION_QUANTILE", f"a quantile of {per_mille}/1000", "Quantile", "give 1 to 1000"
            )
        self.per_mille = per_mille

    @property
    def name(self) -> str:
        return f"quantile_{self.per_mille}"

    def prepare(self, value: int) -> State:
        return (bucket_of(value), 1)

    def merge(self, left: State, right: State) -> State:
        counts: dict[int, int] = {}
        for state in (left, right):
            for bucket, count in zip(state[::2], state[1::2], strict=True):
                counts[bucket] = counts.get(bucket, 0) + count
        return tuple(number for pair in sorted(counts.items()) for number in pair)

    def finalise(self, state: State | None) -> float:
        if not state:
            return NULL
        rank = rank_of(sum(state[1::2]), self.per_mille)
        for bucket, count in zip(state[::2], state[1::2], strict=True):
            rank -= count
            if rank <= 0:
                return float(middle_of(bucket))
        raise AssertionError("a rank is within the rows")


@compiled_part()
def bucket_of(value: int) -> int:
    """Return the number of the bucket that holds `value`."""
    e = 0
    while value >> e >= 2 << _BITS:
        e += 1
    return (e << _BITS) + (value >> e)


@compiled_part()
def middle_of(bucket: int) -> float:
    """Return the middle of the values of a bucket."""
    e = max((bucket >> _BITS) - 1, 0)
    least = (bucket - (e << _BITS)) << e
    return float(2 * least + (1 << e) - 1) / 2.0


@compiled_part()
def rank_of(rows: int, per_mille: int) -> int:
    """Return which row, counted from 1 by value, is the quantile."""
    return max(1, (rows * per_mille + 999) // 1000)
