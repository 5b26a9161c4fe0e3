"""From an entity's state to where it goes: entries of the changelog, rows of the online store."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from contracts.frame import strings
from features.feast_tiles import Tiles
from features.state import Applied, EntityState
from streams.stage.core import Entry
from streams.store.rows import StoreRows, newest_rows

KEY = b"k"  # before an entity's key in the changelog, where chunks and markers have letters of their own
CLOCK = b"c"  # the partition's clock


def entity_entries(state: EntityState) -> list[Entry]:
    """Return copies of the rows changed since the last call, and of the partition's clock."""
    keys, blobs = state.take_dirty()
    rows: list[Entry] = [(KEY + key, blob) for key, blob in zip(keys, blobs, strict=True)]
    return [*rows, (CLOCK, state.clock.pack())]


def load_entities(state: EntityState, entries: Mapping[bytes, bytes]) -> None:
    """Take over the entity rows among a changelog's entries, and the partition's clock.

    Raises:
        StateError: E_STATE_DEFINITIONS, E_STATE_BYTES.
    """
    if CLOCK in entries:
        state.clock.load(entries[CLOCK])
    rows = {key[1:]: blob for key, blob in entries.items() if key[:1] == KEY}
    state.load(list(rows), list(rows.values()))


def entity_bytes(state: EntityState, entries: Mapping[bytes, bytes]) -> int:
    """Return how many bytes the entity rows among a changelog's entries take at least, once loaded."""
    lengths = [len(blob) for key, blob in entries.items() if key[:1] == KEY]
    return state.loaded_bytes(len(lengths), sum(lengths))


def changed_rows(
    state: EntityState, keys: NDArray[np.bytes_], applied: Applied, positions: NDArray[np.int64], tiles: bool
) -> StoreRows:
    """Return the store's rows after a batch that `state` has just folded in, with tiles if they are kept."""
    rows = StoreRows(keys, applied.values, applied.as_of_ms, positions)
    return with_tiles(state, newest_rows(rows)) if tiles else rows


def latest_rows(state: EntityState, tiles: bool) -> StoreRows:
    """Return the store's row of every key, as of the key's last event."""
    newest = state.latest()
    rows = StoreRows(strings(newest.keys), newest.values, newest.as_of_ms, newest.position)
    return with_tiles(state, rows) if tiles else rows


def with_tiles(state: EntityState, rows: StoreRows) -> StoreRows:
    """Return the rows, each the newest of its key, with the key's packed state and how long the row holds."""
    packed = np.empty(len(rows.keys), np.object_)
    packed[:] = state.export(rows.keys)
    return rows._replace(tiles=Tiles(packed, state.valid_until_ms(rows.keys, rows.event_time_ms)))
