"""From an entity's state to where it goes: entries of the changelog, rows of the online store."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from contracts.frame import strings
from features.state import EntityState
from streams.stage import Entry, StoreRows

KEY = b"k"  # before an entity's key in the changelog, where chunks and markers have letters of their own


def entity_entries(state: EntityState) -> list[Entry]:
    """Return copies of the rows changed since the last call."""
    keys, blobs = state.take_dirty()
    return [(KEY + key, blob) for key, blob in zip(keys, blobs, strict=True)]


def load_entities(state: EntityState, entries: Mapping[bytes, bytes]) -> None:
    """Take over the entity rows among a changelog's entries."""
    rows = {key[1:]: blob for key, blob in entries.items() if key[:1] == KEY}
    state.load(list(rows), list(rows.values()))


def latest_rows(state: EntityState) -> StoreRows:
    """Return the store's row of every key, as of the key's last event."""
    newest = state.latest()
    return StoreRows(strings(newest.keys), newest.values, newest.as_of_ms, newest.position)


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
    return StoreRows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
