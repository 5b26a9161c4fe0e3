"""What a model's inputs and scores looked like when it was trained: `baseline.json` beside its text.

Bins are cut at quantiles of the training rows (a column of few values gets a bin a value). Shares of bins,
and of null values, are kept by slot of the week, so that a window of any hours can be held against what is
usual for those hours.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError
from inference.drift.season import SLOTS, slots

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 10
VALUES_MAX = 10  # a column of at most as many values is a category: a bin for each
FORMAT = 1


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column: values from `edges[i - 1]` (included) to `edges[i]` are in bin i.

    `counts` are rows by slot and bin, `nulls` and `rows` rows by slot, null ones included in `rows`.
    """

    name: str
    edges: list[float]
    counts: list[list[int]]
    nulls: list[int]
    rows: list[int]
    category: bool = False


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """The columns, and the mean of some shares by slot of the week (null_share, refused)."""

    format: int = FORMAT
    from_ms: int
    to_ms: int
    rows: int
    columns: list[Column]
    shares: dict[str, list[float]] = {}


def measure(
    names: Sequence[str], matrix: Floats, event_ms: Ints, shares: Mapping[str, Floats] | None = None
) -> Baseline:
    """Return the baseline of n rows.

    Args:
        matrix: (n, k), NaN is null and what is not finite counts as null.
        shares: columns (n,) of which only the mean by slot is kept.

    >>> found = measure(["a"], np.array([[1.0], [2.0], [2.0], [np.nan]]), np.arange(4))
    >>> found.columns[0].edges, found.columns[0].counts[1], found.columns[0].nulls
    ([1.5], [1, 2], [0, 1, 0, 0])
    """
    slot = slots(event_ms)
    return Baseline(
        from_ms=int(event_ms.min(initial=0)) if len(event_ms) else 0,
        to_ms=int(event_ms.max()) if len(event_ms) else 0,
        rows=len(matrix),
        columns=[_column(name, matrix[:, i], slot) for i, name in enumerate(names)],
        shares={name: _means(values, slot) for name, values in (shares or {}).items()},
    )


def with_columns(baseline: Baseline, other: Baseline) -> Baseline:
    """Return a baseline with another's columns and shares behind its own, as of other rows.

    >>> one, two = (measure([name], np.ones((2, 1)), np.arange(2)) for name in "ab")
    >>> [column.name for column in with_columns(one, two).columns]
    ['a', 'b']
    """
    return msgspec.structs.replace(
        baseline, columns=[*baseline.columns, *other.columns], shares=baseline.shares | other.shares
    )


def decode(data: bytes, where: str) -> Baseline:
    """Return the baseline in a file's bytes.

    Raises:
        ModelError: E_MODEL_BASELINE, it is none, or its numbers do not fit together.
    """
    try:
        found = msgspec.json.decode(data, type=Baseline)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refused(str(error), where) from error
    if found.format != FORMAT:
        raise _refused(f"format {found.format}, not {FORMAT}", where)
    for column in found.columns:
        edges = np.array(column.edges, np.float64)
        whole = len(column.counts) == len(column.nulls) == len(column.rows) == SLOTS
        if not whole or any(len(row) != len(edges) + 1 for row in column.counts):
            raise _refused(f"{column.name}: not {SLOTS} slots of {len(edges) + 1} bins", where)
        if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            raise _refused(f"{column.name}: edges do not rise", where)
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

    >>> edges_of(np.array([0.0, 1.0, 1.0]))
    ([0.5], True)
    >>> edges_of(np.arange(1000.0))[0][:2]
    [99.9, 199.8]
    """
    distinct = np.unique(values)
    if len(distinct) <= VALUES_MAX:
        return (distinct[1:] / 2 + distinct[:-1] / 2).tolist(), True
    edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    return edges[edges > distinct[0]].tolist(), False  # an edge at the least value would leave a bin empty


def _column(name: str, values: Floats, slot: Ints) -> Column:
    finite = np.isfinite(values)
    edges, category = edges_of(values[finite])
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
