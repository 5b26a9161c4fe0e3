"""What a model's inputs and scores looked like when it was trained: `baseline.json` beside its text.

Bins are cut at quantiles of the training rows, closer together in the tails. A value that many rows have
(all values, where there are few; the one value of a constant column) has a bin of its own, and what training
never saw has bins too: below, above, and between the values of a category. Shares of bins, and of null
values, are kept by slot of the week, so that a window of any hours can be held against what is usual for
those hours.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError
from inference.drift.season import SLOTS, slots

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

QUANTILES = np.array([0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
REPEATED_SHARE = 0.1  # a value that so many of the rows have is a bin of its own
ROWS_MIN = 500  # fewer rows are no baseline
VALUES_MAX = 10  # a column of at most as many values is a category: a bin for each
FORMAT = 1
_LEAST = float(np.finfo(np.float64).tiny)  # the next number above 0 that no processor takes for 0


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column: values from `edges[i - 1]` (included) to `edges[i]` are in bin i.

    `counts` are rows by slot and bin, `nulls` and `rows` rows by slot, null ones included in `rows`. A bin
    without a row is for what training never saw. The spreads are how far days are apart beyond chance
    (`inference.drift.spread`): of the shares of bins, of the null share, of the mean rank.
    """

    name: str
    edges: list[float]
    counts: list[list[int]]
    nulls: list[int]
    rows: list[int]
    category: bool = False
    spread: float = 0.0
    null_spread: float = 0.0
    mean_spread: float = 0.0


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """The columns, and the mean of some shares by slot of the week (null_share, refused), with its spread."""

    format: int = FORMAT
    from_ms: int
    to_ms: int
    rows: int
    columns: list[Column]
    shares: dict[str, list[float]] = {}
    share_spreads: dict[str, float] = {}


def measure(
    names: Sequence[str], matrix: Floats, event_ms: Ints, shares: Mapping[str, Floats] | None = None,
    from_ms: Sequence[int] | None = None, *, computed: bool = False,
) -> Baseline:  # fmt: skip
    """Return the baseline of n rows.

    Args:
        matrix: (n, k), NaN is null and what is not finite counts as null.
        shares: columns (n,) of which only the mean by slot is kept.
        from_ms: (k,) from which event time on a column says something; one without `ROWS_MIN` such rows is
            left out. All rows say something without it.
        computed: values are not exactly those that will be held against them, as a model's scores are not
            those of the same trees grown on more rows: no value has a bin of its own.

    >>> found = measure(["a"], np.array([[1.0], [2.0], [2.0], [np.nan]]), np.arange(4))
    >>> [value for value in found.columns[0].edges if value in (1.0, 2.0)]
    [1.0, 2.0]
    >>> found.columns[0].counts[1], found.columns[0].nulls
    ([0, 1, 0, 2, 0], [0, 1, 0, 0])
    """
    slot = slots(event_ms)
    if from_ms is None:
        columns = [_column(name, matrix[:, i], slot, computed) for i, name in enumerate(names)]
    else:
        known = [event_ms >= begin_ms for begin_ms in from_ms]
        columns = [
            _column(name, matrix[known[i], i], slot[known[i]], computed)
            for i, name in enumerate(names) if known[i].sum() >= ROWS_MIN
        ]  # fmt: skip
    return Baseline(
        from_ms=int(event_ms.min(initial=0)) if len(event_ms) else 0,
        to_ms=int(event_ms.max()) if len(event_ms) else 0,
        rows=len(matrix),
        columns=columns,
        shares={name: _means(values, slot) for name, values in (shares or {}).items()},
    )


def with_columns(baseline: Baseline, other: Baseline) -> Baseline:
    """Return a baseline with another's columns and shares behind its own, as of other rows.

    >>> one, two = (measure([name], np.ones((2, 1)), np.arange(2)) for name in "ab")
    >>> [column.name for column in with_columns(one, two).columns]
    ['a', 'b']
    """
    return msgspec.structs.replace(
        baseline, columns=[*baseline.columns, *other.columns], shares=baseline.shares | other.shares,
        share_spreads=baseline.share_spreads | other.share_spreads,
    )  # fmt: skip


def decode(data: bytes, where: str) -> Baseline:
    """Return the baseline in a file's bytes.

    Raises:
        ModelError: E_MODEL_BASELINE, it is none, or its numbers do not fit together.
    """
    try:
        found = msgspec.json.decode(data, type=Baseline)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(str(error), where) from error
    if found.format != FORMAT:
        raise _refused(f"format {found.format}, not {FORMAT}", where)
    for column in found.columns:
        edges = np.array(column.edges, np.float64)
        whole = len(column.counts) == len(column.nulls) == len(column.rows) == SLOTS
        if not whole or any(len(row) != len(edges) + 1 for row in column.counts):
            raise _refused(f"{column.name}: not {SLOTS} slots of {len(edges) + 1} bins", where)
        if not np.isfinite(edges).all() or not all(a < b for a, b in pairwise(edges)):
            raise _refused(f"{column.name}: edges do not rise", where)
        spreads = column.spread, column.null_spread, column.mean_spread
        if not all(isfinite(spread) and spread >= 0 for spread in spreads):
            raise _refused(f"{column.name}: a spread below 0", where)
        if any(number < 0 for row in [*column.counts, column.nulls] for number in row):
            raise _refused(f"{column.name}: a count below 0", where)
        for slot in range(SLOTS):
            if sum(column.counts[slot]) + column.nulls[slot] != column.rows[slot]:
                raise _refused(f"{column.name}: the counts of slot {slot} are not its rows", where)
    if any(len(means) != SLOTS for means in found.shares.values()):
        raise _refused(f"shares: not {SLOTS} slots", where)
    return found


def edges_of(values: Floats) -> tuple[list[float], bool]:
    """Return the inner edges of finite values' bins, and whether there is a bin for each value.

    A bin of one value reaches from it to the next number. The first bin lies below all values, the last
    above, by a tenth of their range where they are no category: no row of training is in them.

    >>> edges_of(np.array([0.0, 1.0, 1.0]))[0][::2], edges_of(np.zeros(9))[0][0]
    ([0.0, 1.0], 0.0)
    >>> edges_of(np.arange(1001.0))[0][:4]
    [-100.0, 10.0, 50.0, 100.0]
    """
    distinct, rows = np.unique(values, return_counts=True)
    category = len(distinct) <= VALUES_MAX
    repeated = distinct if category else distinct[rows >= REPEATED_SHARE * len(values)]
    edges = [repeated, _next(repeated)]
    others = values[~np.isin(values, repeated)]
    if len(others):
        tenth = distinct[-1] / 10 - distinct[0] / 10
        with np.errstate(over="ignore"):  # there is no room beyond the greatest numbers, and no edge
            edges.append(distinct[:1][distinct[:1] < repeated.min(initial=np.inf)] - tenth)
            edges.append(distinct[-1:][distinct[-1:] > repeated.max(initial=-np.inf)] + tenth)
        edges.append(np.quantile(others, _quantiles(len(others) / len(values))))
    found = np.unique(np.concatenate(edges))
    return found[np.isfinite(found)].tolist(), category


def _quantiles(share: float) -> Floats:
    """Return where to cut the values that are not repeated, which are that share of all."""
    return QUANTILES if share > 0.5 else QUANTILES[[1, 6, 11]] if share > 0.1 else QUANTILES[[6]]


def _next(values: Floats) -> Floats:
    """Return the next number above each."""
    with np.errstate(over="ignore"):  # there is none above the greatest
        return np.where(values == 0, _LEAST, np.nextafter(values, np.inf))


def _between(values: Floats) -> list[float]:
    """Return edges half way between quantiles, where values near one another are alike."""
    if not len(values):
        return []
    found = np.unique(np.quantile(values, QUANTILES, method="inverted_cdf"))
    if len(found) == 1:
        far = max(abs(float(found[0])) / 10, 1e-6)
        return [float(found[0]) - far, float(found[0]) + far]
    return [float(edge) for edge in found[1:] / 2 + found[:-1] / 2]


def _column(name: str, values: Floats, slot: Ints, computed: bool) -> Column:
    finite = np.isfinite(values)
    edges, category = (_between(values[finite]), False) if computed else edges_of(values[finite])
    at = np.searchsorted(np.array(edges, np.float64), values[finite], side="right")
    counts = np.zeros((SLOTS, len(edges) + 1), np.int64)
    np.add.at(counts, (slot[finite], at), 1)
    return Column(
        name=name, edges=edges, counts=counts.tolist(), category=category,
        nulls=np.bincount(slot[~finite], minlength=SLOTS).tolist(),
        rows=np.bincount(slot, minlength=SLOTS).tolist(),
    )  # fmt: skip


def _means(values: Floats, slot: Ints) -> list[float]:
    """Return the mean by slot; of a slot without rows, of all."""
    finite = np.isfinite(values)
    rows = np.bincount(slot[finite], minlength=SLOTS)
    sums = np.bincount(slot[finite], weights=values[finite], minlength=SLOTS)
    mean = float(values[finite].mean()) if finite.any() else 0.0
    return [float(total / count) if count else mean for total, count in zip(sums, rows, strict=True)]


def _refused(what: str, where: str) -> ModelError:
    return ModelError("E_MODEL_BASELINE", what, where, "train the model again")
