"""A summary: what every simple aggregation needs to know of some rows, as ten integers in a row of words.

[count, sum, squares low, squares high, least, greatest, first time, first value, last time, last value]. The
parts of a view keep summaries (of a tile, a session, a lifetime) or make one from the rows they keep, and all
finalise them here, by the formulas of the pages in `features.aggregations`.
"""

import numpy as np
from numpy.typing import NDArray

from features.aggregations.base import Op
from features.aggregations.std import add, finalise_std, square
from features.compiled import compiled_part

Ints = NDArray[np.int64]
COUNT, SUM, LOW, HIGH, LEAST, GREATEST, FIRST_MS, FIRST, LAST_MS, LAST = range(10)
WORDS = 10
NEVER, EVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max
_COUNT, _SUM, _MEAN, _STD, _MIN, _MAX = (
    int(op) for op in (Op.COUNT, Op.SUM, Op.MEAN, Op.STD, Op.MIN, Op.MAX)
)
_LAST, _SINCE_LAST, _FIRST = int(Op.LAST), int(Op.SINCE_LAST), int(Op.FIRST)
SUMMED = frozenset(
    {Op.COUNT, Op.SUM, Op.MEAN, Op.STD, Op.MIN, Op.MAX, Op.LAST, Op.SINCE_LAST, Op.FIRST, Op.SINCE_FIRST}
)


@compiled_part()
def clear(words: Ints, at: int) -> None:
    """Make the summary at `at` that of no rows."""
    for i in range(WORDS):
        words[at + i] = 0
    words[at + LEAST] = words[at + FIRST_MS] = EVER
    words[at + GREATEST] = words[at + LAST_MS] = NEVER


@compiled_part()
def fold(words: Ints, at: int, time_ms: int, value: int) -> None:
    """Add one row, the latest in the log so far."""
    words[at + COUNT] += 1
    words[at + SUM] += value
    high, low = square(value)
    high, low = add(np.uint64(words[at + HIGH]), np.uint64(words[at + LOW]), high, low)
    words[at + HIGH], words[at + LOW] = np.int64(high), np.int64(low)
    words[at + LEAST] = min(words[at + LEAST], value)
    words[at + GREATEST] = max(words[at + GREATEST], value)
    if time_ms < words[at + FIRST_MS]:
        words[at + FIRST_MS], words[at + FIRST] = time_ms, value
    if time_ms >= words[at + LAST_MS]:
        words[at + LAST_MS], words[at + LAST] = time_ms, value


@compiled_part()
def merge(words: Ints, at: int, other: Ints, other_at: int) -> None:
    """Add the rows of another summary, no row of which has the time of one in this."""
    words[at + COUNT] += other[other_at + COUNT]
    words[at + SUM] += other[other_at + SUM]
    high, low = np.uint64(other[other_at + HIGH]), np.uint64(other[other_at + LOW])
    high, low = add(np.uint64(words[at + HIGH]), np.uint64(words[at + LOW]), high, low)
    words[at + HIGH], words[at + LOW] = np.int64(high), np.int64(low)
    words[at + LEAST] = min(words[at + LEAST], other[other_at + LEAST])
    words[at + GREATEST] = max(words[at + GREATEST], other[other_at + GREATEST])
    if other[other_at + FIRST_MS] < words[at + FIRST_MS]:
        words[at + FIRST_MS], words[at + FIRST] = other[other_at + FIRST_MS], other[other_at + FIRST]
    if other[other_at + LAST_MS] > words[at + LAST_MS]:
        words[at + LAST_MS], words[at + LAST] = other[other_at + LAST_MS], other[other_at + LAST]


@compiled_part()
def finalise(op: int, words: Ints, at: int, now_ms: int) -> float:
    """Return what the aggregation `op` says of the summarised rows at `now_ms`."""
    n, total = words[at + COUNT], words[at + SUM]
    if op == _COUNT:
        return float(n)
    if op == _SUM:
        return float(total)
    if n == 0:
        return np.nan
    if op == _MEAN:
        return float(total) / float(n)
    if op == _STD:
        return float(finalise_std(n, total, np.uint64(words[at + LOW]), np.uint64(words[at + HIGH])))
    if op == _MIN:
        return float(words[at + LEAST])
    if op == _MAX:
        return float(words[at + GREATEST])
    if op == _LAST:
        return float(words[at + LAST])
    if op == _SINCE_LAST:
        return float(now_ms - words[at + LAST_MS])
    return float(words[at + FIRST]) if op == _FIRST else float(now_ms - words[at + FIRST_MS])
