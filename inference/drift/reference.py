"""A baseline as arrays: which bin a value is in, what a window of given hours should hold, a value's rank."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.drift.baseline import Baseline, Column
from inference.drift.season import SLOTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SLOT_PRIOR_ROWS = 50.0  # a slot of fewer rows leans on the whole week


class Counts:
    """Rows of a window by column and bin, its null values by column, its rows by slot."""

    __slots__ = ("bins", "nulls", "rows", "slots")

    def __init__(self, bins: Ints, nulls: Ints, slots: Ints, rows: int) -> None:
        self.bins, self.nulls, self.slots, self.rows = bins, nulls, slots, rows

    @staticmethod
    def none(columns: int, bins: int) -> "Counts":
        """Return counts of no rows."""
        kinds = np.zeros((columns, bins), np.int64), np.zeros(columns, np.int64)
        return Counts(*kinds, np.zeros(SLOTS, np.int64), 0)

    def add(self, other: "Counts", times: int = 1) -> None:
        """Put another window's rows in, or with -1 take them out."""
        self.bins += times * other.bins
        self.nulls += times * other.nulls
        self.slots += times * other.slots
        self.rows += times * other.rows


class Expected(NamedTuple):
    """What rows of some hours should hold, and how many rows of the baseline say so.

    Shares of bins (k, bins) among values, of null values (k,); `rows` (k,) that are not null and `rows_all`
    are the sizes of a plain sample that would be as sure: a slot of few rows in a window of many counts.
    """

    shares: Floats
    nulls: Floats
    rows: Floats
    rows_all: Floats


class Reference:
    """What k columns of a baseline are expected to hold.

    >>> from inference.drift.baseline import measure
    >>> values = np.arange(1000.0)[:, None]
    >>> reference = Reference(measure(["a"], values, np.zeros(1000, np.int64)).columns)
    >>> reference.count(values[:500], np.zeros(500, np.int64)).bins[0].tolist()
    [100, 100, 100, 100, 100, 0, 0, 0, 0, 0]
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.names = tuple(column.name for column in columns)
        k, width = len(columns), max([len(column.edges) for column in columns], default=0)
        self.edges = np.full((k, width), np.inf)
        counts = np.zeros((SLOTS, k, width + 1))
        nulls, rows = np.zeros((SLOTS, k)), np.zeros((SLOTS, k))
        for i, column in enumerate(columns):
            self.edges[i, : len(column.edges)] = column.edges
            counts[:, i, : len(column.edges) + 1] = column.counts
            nulls[:, i], rows[:, i] = column.nulls, column.rows
        self.bins = np.array([len(column.edges) + 1 for column in columns], np.int64)
        self._there = np.arange(width + 1) < self.bins[:, None]
        whole = self._smoothed(counts.sum(axis=0))
        known = counts.sum(axis=2, keepdims=True)
        self._shares = (counts + SLOT_PRIOR_ROWS * whole) / (known + SLOT_PRIOR_ROWS)
        null = nulls.sum(axis=0) / np.maximum(rows.sum(axis=0), 1.0)
        self._slot_rows, self._slot_rows_all = known[:, :, 0] + SLOT_PRIOR_ROWS, rows + SLOT_PRIOR_ROWS
        self._nulls = (nulls + SLOT_PRIOR_ROWS * null) / (rows + SLOT_PRIOR_ROWS)
        self._middles = np.cumsum(whole, axis=1) - whole / 2
        self._usual = (self._shares * self._middles).sum(axis=2)  # mean rank by slot and column

    def count(self, matrix: Floats, slot: Ints) -> Counts:
        """Return rows (m, k) as counts; what is not finite is null."""
        return self.count_each(matrix, slot, np.zeros(len(matrix), np.int64), 1)[0]

    def count_each(self, matrix: Floats, slot: Ints, group: Ints, groups: int) -> list[Counts]:
        """Return the counts of each group of rows; `group` (m,) says which a row is in."""
        columns, width = self.edges.shape[0], self.edges.shape[1] + 2  # bins, and one for null values
        values = np.ascontiguousarray(matrix.T)
        at = (values[:, None, :] >= self.edges[:, :, None]).sum(axis=1, dtype=np.uint16).astype(np.int64)
        at[~np.isfinite(values)] = width - 1
        at += np.arange(0, columns * width, width)[:, None] + group * (columns * width)
        cells = np.bincount(at.ravel(), minlength=groups * columns * width).reshape(groups, columns, width)
        hours = np.bincount(group * SLOTS + slot, minlength=groups * SLOTS).reshape(groups, SLOTS)
        return [
            Counts(cells[i, :, :-1], cells[i, :, -1], hours[i], int(hours[i].sum())) for i in range(groups)
        ]

    def observed(self, counts: Counts) -> Floats:
        """Return a window's shares of bins, (k, bins), with half a row in every bin."""
        return self._smoothed(counts.bins.astype(np.float64))

    def expected(self, counts: Counts) -> "Expected":
        """Return what rows of these hours should hold."""
        weight = counts.slots[:, None] / max(1, counts.rows)
        known = weight * (1 - self._nulls)
        whole = known.sum(axis=0)
        known = np.where(whole > 0, known / np.where(whole > 0, whole, 1.0), weight)
        return Expected(
            (known[:, :, None] * self._shares).sum(axis=0), (weight * self._nulls).sum(axis=0),
            1 / np.maximum((known**2 / self._slot_rows).sum(axis=0), 1e-12),
            1 / np.maximum((weight**2 / self._slot_rows_all).sum(axis=0), 1e-12),
        )  # fmt: skip

    def ranks(self, column: int, values: Floats, slot: Ints) -> Floats:
        """Return finite values' ranks among the baseline's, about one half, less what is usual in their slot.

        Ranks know no unit, no outlier and no hour of the day; a value has that of the middle of its bin.
        """
        edges = self.edges[column, : self.bins[column] - 1]
        at = np.searchsorted(edges, values, side="right")
        return np.asarray(self._middles[column][at] - self._usual[slot, column] + 0.5)

    def _smoothed(self, counts: Floats) -> Floats:
        shares = (counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 0.5 * self.bins[:, None])
        return np.where(self._there, shares, 0.0)


def against(baseline: Baseline, names: Sequence[str]) -> Reference:
    """Return the reference of the columns that a baseline has of these names, in their order."""
    known = {column.name: column for column in baseline.columns}
    return Reference([known[name] for name in names if name in known])
