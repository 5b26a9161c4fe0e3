"""Fields of events that predictions do not record, for rules that read them: from the lake."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from contracts.frame import Columns, strings
from contracts.keys import NULL
from inference.offline.lake.lake import Lake

_PLACE = ("raw_partition", "raw_offset")


class EventFields:
    """Some fields of every event of the lake, by the event's place.

    Args:
        names: the fields; nothing is read where there are none.
    """

    def __init__(self, lake: Lake, names: Collection[str]) -> None:
        self._names = tuple(sorted(names))
        self._columns: Columns = {}
        self._at: dict[tuple[int, int], int] = {}
        if not self._names:
            return
        table = lake.read("features", [*_PLACE, *self._names])
        places = (table[name].to_pylist() for name in _PLACE)
        self._at = {place: row for row, place in enumerate(zip(*places, strict=True))}
        self._columns = {name: _column(table[name]) for name in self._names}

    def of(self, predictions: Sequence[Mapping[str, Any]]) -> Columns:
        """Return the fields of n predictions' events, (n,) each; null where the lake has no such event."""
        sources = [one["source"] for one in predictions]
        rows = np.array([self._at.get((one["partition"], one["offset"]), -1) for one in sources], np.int64)
        return {name: _taken(column, rows) for name, column in self._columns.items()}


def _column(column: pa.ChunkedArray) -> Any:
    if pa.types.is_string(column.type):
        return strings(column.fill_null("").to_pylist())
    if pa.types.is_integer(column.type):
        return column.fill_null(NULL).to_numpy()
    return column.fill_null(np.nan).to_numpy()


def _taken(column: Any, rows: Any) -> Any:
    """Return rows of a column; of those that are not there null."""
    null = {"S": b"", "i": NULL, "u": 0}.get(column.dtype.kind, np.nan)
    if not len(column):
        return np.full(len(rows), null, column.dtype)
    return np.where(rows >= 0, column[rows], np.array(null, column.dtype))
