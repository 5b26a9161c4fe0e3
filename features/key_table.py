"""Which slot a key has: an open-addressing table over fixed-width names, filled and asked in bulk.

A dictionary of bytes objects costs ~0.15 µs and ~200 bytes a key; here a million keys take some 40 bytes
each and are asked in one compiled pass. Slots of removed keys are given out again, newest first.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.keys import hash64
from features.compiled import compiled

Ints = NDArray[np.int64]
UNKNOWN = -1
_SMALLEST = 1 << 10
_SLOTS, _FREE = range(2)


class Table(NamedTuple):
    """Arrays by slot, the probing table, and two counts."""

    names: NDArray[np.uint8]  # (capacity, width), padded with NUL
    hashes: NDArray[np.uint64]  # (capacity,)
    free: Ints  # (capacity,) a stack of slots given back
    places: NDArray[np.int32]  # (a power of two,) slot + 1, 0 for none
    counts: Ints  # (2,) slots ever given out; how many of them are free


class KeyTable:
    """Keys and their slots.

    >>> table = KeyTable()
    >>> table.add(np.array([b"a", b"b", b"a"])).tolist(), len(table)
    ([0, 1, 0], 2)
    >>> table.remove(np.array([0]))
    >>> table.find(np.array([b"a", b"b"])).tolist(), table.add(np.array([b"longer"])).tolist()
    ([-1, 1], [0])
    >>> table.names(np.array([1, 0]))
    [b'b', b'longer']
    """

    def __init__(self) -> None:
        self._table = _empty(_SMALLEST, 8)

    def __len__(self) -> int:
        return int(self._table.counts[_SLOTS] - self._table.counts[_FREE])

    @property
    def slots(self) -> int:
        """Slots ever given out: every slot is under this."""
        return int(self._table.counts[_SLOTS])

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return int(sum(array.nbytes for array in self._table))

    @property
    def slot_bytes(self) -> int:
        """Bytes of the arrays for each slot there is room for, rounded up."""
        return -(-self.nbytes // len(self._table.names))

    def find(self, keys: NDArray[np.bytes_]) -> Ints:
        """Return the slot of each key, UNKNOWN for one that has none."""
        slots = np.empty(len(keys), np.int64)
        _find(self._table, _rows_of(keys), hash64(keys), slots)
        return slots

    def add(self, keys: NDArray[np.bytes_]) -> Ints:
        """Return the slot of each key, giving one to the new ones."""
        self._make_room(len(keys), keys.dtype.itemsize)
        slots = np.empty(len(keys), np.int64)
        _add(self._table, _rows_of(keys), hash64(keys), slots)
        return slots

    def remove(self, slots: Ints) -> None:
        """Forget the keys of these slots, which are given out again later."""
        _remove(self._table, slots)

    def names(self, slots: Ints) -> list[bytes]:
        """Return the keys of these slots."""
        names = self._table.names[slots]
        found: list[bytes] = names.view(f"S{names.shape[1]}").ravel().tolist()
        return found

    def hashes(self, slots: Ints) -> NDArray[np.uint64]:
        """Return the hash of the key of each of these slots."""
        found: NDArray[np.uint64] = self._table.hashes[slots]
        return found

    def live(self) -> Ints:
        """Return the slots of all keys, in order of slot."""
        is_free = np.zeros(self.slots, np.bool_)
        is_free[self._table.free[: self._table.counts[_FREE]]] = True
        return np.flatnonzero(~is_free)

    def _make_room(self, more: int, width: int) -> None:
        t = self._table
        needed = self.slots + more
        capacity, old_width = t.names.shape
        if needed <= capacity and width <= old_width:
            return
        while capacity < needed:
            capacity *= 2
        grown = _empty(capacity, max(old_width, (width + 7) // 8 * 8))
        count = self.slots
        grown.names[:count, :old_width] = t.names[:count]
        grown.hashes[:count] = t.hashes[:count]
        grown.free[:count] = t.free[:count]
        grown.counts[:] = t.counts
        _place_all(grown, self.live())
        self._table = grown


def _empty(capacity: int, width: int) -> Table:
    return Table(
        np.zeros((capacity, width), np.uint8), np.empty(capacity, np.uint64), np.empty(capacity, np.int64),
        np.zeros(2 * capacity, np.int32), np.zeros(2, np.int64),
    )  # fmt: skip


def _rows_of(keys: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    contiguous = np.ascontiguousarray(keys)
    return contiguous.view(np.uint8).reshape(len(contiguous), contiguous.dtype.itemsize)


@compiled
def _place_of(table: Table, key: NDArray[np.uint8], hashed: np.uint64) -> int:
    """Return the place that holds the key, or the empty one where it belongs."""
    mask = np.uint64(len(table.places) - 1)
    place = hashed & mask
    while True:
        slot = np.int64(table.places[place]) - 1
        if slot < 0 or (table.hashes[slot] == hashed and _is_same(table.names[slot], key)):
            return int(place)
        place = (place + np.uint64(1)) & mask


@compiled
def _is_same(name: NDArray[np.uint8], key: NDArray[np.uint8]) -> bool:
    """Compare two names, the shorter one padded with NUL."""
    width = min(len(name), len(key))
    for i in range(width):
        if name[i] != key[i]:
            return False
    for i in range(width, len(name)):
        if name[i] != 0:
            return False
    for i in range(width, len(key)):  # noqa: SIM110  # no generators in compiled code
        if key[i] != 0:
            return False
    return True


@compiled
def _find(table: Table, keys: NDArray[np.uint8], hashes: NDArray[np.uint64], slots: Ints) -> None:
    for i in range(len(keys)):
        slots[i] = np.int64(table.places[_place_of(table, keys[i], hashes[i])]) - 1


@compiled
def _add(table: Table, keys: NDArray[np.uint8], hashes: NDArray[np.uint64], slots: Ints) -> None:
    counts = table.counts
    for i in range(len(keys)):
        place = _place_of(table, keys[i], hashes[i])
        slot = np.int64(table.places[place]) - 1
        if slot < 0:
            if counts[_FREE] > 0:
                counts[_FREE] -= 1
                slot = table.free[counts[_FREE]]
            else:
                slot = counts[_SLOTS]
                counts[_SLOTS] += 1
            table.places[place] = slot + 1
            table.hashes[slot] = hashes[i]
            for j in range(table.names.shape[1]):
                table.names[slot, j] = keys[i, j] if j < keys.shape[1] else 0
        slots[i] = slot


@compiled
def _remove(table: Table, slots: Ints) -> None:
    """Empty the places, moving back what had been pushed on by them."""
    places, mask = table.places, np.uint64(len(table.places) - 1)
    for i in range(len(slots)):
        slot = slots[i]
        hole = np.uint64(_place_of(table, table.names[slot], table.hashes[slot]))
        table.free[table.counts[_FREE]] = slot
        table.counts[_FREE] += 1
        place = hole
        while True:
            places[hole] = 0
            while True:
                place = (place + np.uint64(1)) & mask
                if places[place] == 0:
                    break
                home = table.hashes[places[place] - 1] & mask
                if ((place - home) & mask) >= ((place - hole) & mask):
                    break
            if places[place] == 0:
                break
            places[hole] = places[place]
            hole = place


@compiled
def _place_all(table: Table, slots: Ints) -> None:
    for i in range(len(slots)):
        slot = slots[i]
        table.places[_place_of(table, table.names[slot], table.hashes[slot])] = slot + 1
