"""How far whole days of training are apart, beyond what chance explains: the limits allow for as much.

The limits of chance take rows to be independent. Those of one key, or of one burst of positives, are not,
and days have their own ways, so a day differs from others by more. What is more is estimated as the variance
of a random effect by day (its mean over days and two standard errors), and stored with the baseline.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.definition import DAY_MS
from inference.drift.baseline import Baseline
from inference.drift.reference import Counts, Reference
from inference.drift.sample import Chunk
from inference.drift.season import slots
from inference.drift.statistics import psi

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DAYS_MIN = 3  # fewer days say nothing of how days differ
ROWS_MIN = 100  # of a day


def with_spread(
    baseline: Baseline, names: Sequence[str], rows: Chunk, shares: Mapping[str, Floats] | None = None,
    from_ms: Sequence[int] | None = None,
) -> Baseline:  # fmt: skip
    """Return a baseline with the spread of the rows that it was measured on.

    Args:
        names: of the columns of `rows`.
        shares: (n,) values whose means by slot the baseline has.
        from_ms: as `inference.drift.baseline.measure` was given it.

    >>> from inference.drift.baseline import measure
    >>> chance, times = np.random.default_rng(1), np.arange(5000) * 86400
    >>> quiet, moody = chance.normal(size=5000), chance.normal(size=5000) + times // DAY_MS % 2
    >>> rows = Chunk(np.column_stack([quiet, moody]), times)
    >>> found = with_spread(measure("ab", rows.matrix, times), "ab", rows).columns
    >>> found[0].spread < 0.001, found[1].spread > 0.01
    (True, True)
    """
    reference = Reference(baseline.columns)
    which = [list(names).index(name) for name in reference.names]
    begins = np.zeros(len(which)) if from_ms is None else np.array(from_ms, np.float64)[which]
    day, slot = rows.event_ms // DAY_MS, slots(rows.event_ms)
    numbers, count = np.unique(day, return_counts=True)
    days = [number for number, n in zip(numbers.tolist(), count.tolist(), strict=True) if n >= ROWS_MIN]
    parts = [reference.count(rows.matrix[day == n][:, which], slot[day == n]) for n in days]
    known = np.array([[n * DAY_MS >= begin_ms for begin_ms in begins] for n in days], np.bool_)
    spread, null, mean = _spreads(reference, parts, known) if parts else np.zeros((3, len(which)))
    columns = [
        msgspec.structs.replace(
            column, spread=float(spread[i]), null_spread=float(null[i]), mean_spread=float(mean[i])
        )
        for i, column in enumerate(baseline.columns)
    ]
    told = {
        name: _of_share(values, np.array(baseline.shares[name])[slot], day, days)
        for name, values in (shares or {}).items()
    }
    return msgspec.structs.replace(baseline, columns=columns, share_spreads=told)


def _spreads(reference: Reference, parts: Sequence[Counts], known: NDArray[np.bool_]) -> Floats:
    """Return the spreads of bins, null values and mean ranks, (3, k); `known` (days, k) are to count."""
    found = np.array([_beyond_chance(reference, part) for part in parts])
    return np.array([_upper(found[:, i, :], known) for i in range(found.shape[1])])


def _beyond_chance(reference: Reference, part: Counts) -> Floats:
    """Return by how much a day's squared distances are more than chance lets expect, (3, k)."""
    expected = reference.expected(part)
    observed = reference.observed(part, expected.shares)
    rows, free = np.maximum(part.rows - part.nulls, 1), np.maximum(reference.bins - 1, 1)
    bins = psi(observed, expected.shares) / free - 1 / rows
    share = expected.nulls
    null = (part.nulls / max(1, part.rows) - share) ** 2 - share * (1 - share) / max(1, part.rows)
    ranks = expected.shares, reference.middles
    middle = (ranks[0] * ranks[1]).sum(axis=1)
    variance = (ranks[0] * ranks[1] ** 2).sum(axis=1) - middle**2
    mean = ((observed - expected.shares) * reference.middles).sum(axis=1) ** 2 - variance / rows
    return np.array([bins, null, mean])


def _of_share(values: Floats, usual: Floats, day: Ints, days: Sequence[int]) -> float:
    apart, finite = values - usual, np.isfinite(values)
    found = []
    for number in days:
        part = apart[(day == number) & finite]
        if len(part) >= ROWS_MIN:
            found.append(float(part.mean() ** 2 - part.var() / len(part)))
    each = np.array(found)[:, None]
    return float(_upper(each, np.ones(each.shape, np.bool_))[0]) if found else 0.0


def _upper(each: Floats, known: NDArray[np.bool_]) -> Floats:
    """Return the mean by column over the days that count, and two standard errors; 0 of too few."""
    days = known.sum(axis=0)
    mean = np.where(known, each, 0.0).sum(axis=0) / np.maximum(days, 1)
    squares = (np.where(known, each - mean, 0.0) ** 2).sum(axis=0) / np.maximum(days - 1, 1)
    upper = mean + 2 * np.sqrt(squares / np.maximum(days, 1))
    return np.where(days >= DAYS_MIN, np.maximum(upper, 0.0), 0.0)
