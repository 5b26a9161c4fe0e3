"""Columns that grow by batches: joined when they are read, dropped when they are old."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, concat, length, take


class Growing:
    """Rows of fixed columns, added by the batch.

    >>> rows = Growing({"key": np.uint64, "score": np.float64})
    >>> rows.add({"key": np.array([1, 2], np.uint64), "score": np.array([0.5, 0.25])})
    >>> rows.add({"key": np.array([3], np.uint64), "score": np.array([1.0])})
    >>> len(rows), rows.columns()["score"].tolist()
    (3, [0.5, 0.25, 1.0])
    """

    def __init__(self, kinds: Mapping[str, type]) -> None:
        self._kinds = kinds
        self._parts: list[Columns] = []
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, rows: Columns) -> None:
        """Take n rows in; every declared column must be there, others are left behind."""
        if length(rows):
            self._parts.append({name: np.array(rows[name], kind) for name, kind in self._kinds.items()})
            self._rows += length(rows)

    def columns(self) -> Columns:
        """Return all rows in the order they came; the arrays may be written to, in place."""
        if not self._parts:
            return {name: np.zeros(0, kind) for name, kind in self._kinds.items()}
        if len(self._parts) > 1:
            self._parts = [concat(self._parts)]
        return self._parts[0]

    def keep(self, which: NDArray[Any]) -> None:
        """Keep the rows that a mask names."""
        rows = self.columns()
        self._parts = [take(rows, which)]
        self._rows = length(self._parts[0])
