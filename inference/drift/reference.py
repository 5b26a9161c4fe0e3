"""A baseline as arrays: which bin a value is in, what a window of given hours should hold, a value's rank."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.drift.baseline import Baseline, Column
from inference.drift.season import SLOTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UNSEEN_ROWS = 3.0  # the rule of three
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

    `bins` (k,) counts bins for the limits of chance, `one_way` (k,) says of which columns training knew
    only null values or none; the spreads (k,) are the columns'.

    >>> from inference.drift.baseline import measure
    >>> values = np.arange(1000.0)[:, None]
    >>> reference = Reference(measure(["a"], values, np.zeros(1000, np.int64)).columns)
    >>> reference.count(values[:500], np.zeros(500, np.int64)).bins[0].tolist()
    [0, 10, 40, 50, 100, 100, 100, 100, 0, 0, 0, 0, 0, 0, 0, 0]
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
        self._bins = np.array([len(column.edges) + 1 for column in columns], np.int64)
        self._there = np.arange(width + 1) < self._bins[:, None]
        seen = counts.sum(axis=0) > 0
        self.bins = seen.sum(axis=1) + 1  # those that training never saw count as one
        self.one_way = (nulls.sum(axis=0) == 0) | (nulls.sum(axis=0) == rows.sum(axis=0))
        self.spread = np.array([column.spread for column in columns], np.float64)
        self.null_spread = np.array([column.null_spread for column in columns], np.float64)
        self.mean_spread = np.array([column.mean_spread for column in columns], np.float64)
        whole = self._smoothed(counts.sum(axis=0), seen)
        known = counts.sum(axis=2, keepdims=True)
        rare = np.where(self._there, whole, 1.0).min(axis=1, keepdims=True)  # no slot makes a bin rarer still
        shares = np.maximum(
            (counts + SLOT_PRIOR_ROWS * whole) / (known + SLOT_PRIOR_ROWS), self._there * rare
        )
        self._shares = shares / shares.sum(axis=2, keepdims=True)
        null = nulls.sum(axis=0) / np.maximum(rows.sum(axis=0), 1.0)
        self._slot_rows, self._slot_rows_all = known[:, :, 0] + SLOT_PRIOR_ROWS, rows + SLOT_PRIOR_ROWS
        self._nulls = (nulls + SLOT_PRIOR_ROWS * null) / (rows + SLOT_PRIOR_ROWS)
        self.middles = np.cumsum(whole, axis=1) - whole / 2  # a bin's mean rank
        self._usual = (self._shares * self.middles).sum(axis=2)  # mean rank by slot and column

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

    def observed(self, counts: Counts, expected: Floats) -> Floats:
        """Return a window's shares of bins, (k, bins), with some rows as expected among them.

        They are half a row a bin. Dealt out evenly they would look like a change where a bin is expected to
        be empty.
        """
        more = 0.5 * self.bins[:, None]
        return np.asarray((counts.bins + more * expected) / (counts.bins.sum(axis=1, keepdims=True) + more))

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
        edges = self.edges[column, : self._bins[column] - 1]
        at = np.searchsorted(edges, values, side="right")
        return np.asarray(self.middles[column][at] - self._usual[slot, column] + 0.5)

    def _smoothed(self, counts: Floats, seen: NDArray[np.bool_]) -> Floats:
        """Return training's shares: half a row more in each bin that it saw, three in all others together.

        What n rows never showed has a share of at most 3 / n, with 95 % certainty.
        """
        others = self._there & ~seen
        more = np.where(seen, 0.5, others * UNSEEN_ROWS / np.maximum(others.sum(axis=1, keepdims=True), 1))
        return np.asarray((counts + more) / (counts.sum(axis=1) + more.sum(axis=1))[:, None])


def against(baseline: Baseline, names: Sequence[str]) -> Reference:
    """Return the reference of the columns that a baseline has of these names, in their order."""
    known = {column.name: column for column in baseline.columns}
    return Reference([known[name] for name in names if name in known])
