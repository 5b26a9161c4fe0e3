"""Rows for the online store, and what of them it must hold: the newest of each key."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.feast_tiles import Tiles


class StoreRows(NamedTuple):
    """Rows for the online store: keys (n,) bytes, values (n, k), event time (n,) ms, positions (n,).

    `tiles` are of the same keys as of the same rows, where the store keeps them.
    """

    keys: NDArray[np.bytes_]
    values: NDArray[np.float64]
    event_time_ms: NDArray[np.int64]
    positions: NDArray[np.int64]
    tiles: Tiles | None = None

    def take(self, which: "NDArray[np.int64] | slice") -> "StoreRows":
        """Return the rows that an index array or a slice names."""
        tiles = None if self.tiles is None else self.tiles.pick(which)
        return StoreRows(
            self.keys[which], self.values[which], self.event_time_ms[which], self.positions[which], tiles
        )


def newest_rows(rows: StoreRows) -> StoreRows:
    """Return the last row of each key: what the store must hold after these rows.

    >>> rows = StoreRows(np.array([b"a", b"a"]), np.array([[1.0], [2.0]]), np.array([5, 6]), np.array([0, 1]))
    >>> newest_rows(rows).values.tolist()
    [[2.0]]
    """
    last = {key: row for row, key in enumerate(rows.keys.tolist())}
    if len(last) == len(rows.keys):
        return rows
    which: NDArray[np.int64] = np.fromiter(last.values(), np.int64, len(last))
    return rows.take(which)


def concat_rows(parts: list[StoreRows]) -> StoreRows:
    """Return all rows, in order."""
    if len(parts) == 1:
        return parts[0]
    tiles = [part.tiles for part in parts if part.tiles is not None]
    return StoreRows(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.event_time_ms for part in parts]),
        np.concatenate([part.positions for part in parts]),
        Tiles(*(np.concatenate(column) for column in zip(*tiles, strict=True))) if tiles else None,
    )
