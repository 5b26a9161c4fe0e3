"""Lists of entries, one a (level, slot), in blocks of one arena of integers that grow by doubling.

An entry is `width` words, and the entries of a list are kept in order of their first word (a tile's number).
Folds ask `has_room` before a row; when it says no, Python grows the arena and the fold goes on from that row.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled_part
from features.packed_words import PackedRuns
from features.view_state import grown_to

Ints = NDArray[np.int64]
_CLASSES = 40  # blocks hold 2, 4, 8, ... entries
_ENTRIES_MAX = 1 << 32


class Blocks(NamedTuple):
    """The arena and where each list is in it."""

    words: Ints  # (capacity,)
    at: Ints  # (levels, slots)
    size: Ints  # (levels, slots) class of the block, -1 for none
    used: Ints  # (levels, slots) entries
    free: Ints  # (_CLASSES,) first free block of a class, -1 for none
    top: Ints  # (1,) first word never used


@compiled_part()
def has_room(b: Blocks, width: int, slot: int) -> bool:
    """Say whether one more entry fits into each list of the slot, whatever blocks it needs."""
    need = 0
    for level in range(len(b.at)):
        need += width * (2 << (b.size[level, slot] + 1))
    return bool(b.top[0] + need <= len(b.words))


@compiled_part()
def _take(b: Blocks, width: int, size: int) -> int:
    at = b.free[size]
    if at >= 0:
        b.free[size] = b.words[at]
        return int(at)
    at = b.top[0]
    b.top[0] = at + width * (2 << size)
    return int(at)


@compiled_part()
def _give(b: Blocks, size: int, at: int) -> None:
    b.words[at] = b.free[size]
    b.free[size] = at


@compiled_part()
def open_entry(b: Blocks, width: int, level: int, slot: int, i: int) -> int:
    """Make room for an entry before the i-th and return where its words are; they are not set."""
    used, size = b.used[level, slot], b.size[level, slot]
    if size < 0 or used == 2 << size:
        bigger = _take(b, width, size + 1)
        for j in range(used * width):
            b.words[bigger + j] = b.words[b.at[level, slot] + j]
        if size >= 0:
            _give(b, size, b.at[level, slot])
        b.at[level, slot], b.size[level, slot] = bigger, size + 1
    at = b.at[level, slot]
    for j in range((used + 1) * width - 1, (i + 1) * width - 1, -1):
        b.words[at + j] = b.words[at + j - width]
    b.used[level, slot] = used + 1
    return int(at + i * width)


@compiled_part()
def forget_before(b: Blocks, width: int, level: int, slot: int, first: int) -> None:
    """Drop the entries whose first word is under `first`."""
    at, used, dead = b.at[level, slot], b.used[level, slot], 0
    while dead < used and b.words[at + dead * width] < first:
        dead += 1
    if dead == 0:
        return
    for j in range((used - dead) * width):
        b.words[at + j] = b.words[at + dead * width + j]
    b.used[level, slot] = used - dead


@compiled_part()
def forget_when_full(b: Blocks, width: int, level: int, slot: int, first: int) -> None:
    """Before a list moves to a bigger block, drop the entries whose first word is under `first`."""
    if b.size[level, slot] >= 0 and b.used[level, slot] == 2 << b.size[level, slot]:
        forget_before(b, width, level, slot, first)


@compiled_part()
def drop(b: Blocks, slots: Ints) -> None:
    """Empty the lists of the slots and free their blocks."""
    for slot in slots:
        for level in range(len(b.at)):
            if b.size[level, slot] >= 0:
                _give(b, b.size[level, slot], b.at[level, slot])
            b.size[level, slot], b.used[level, slot] = -1, 0


@compiled_part()
def pack(b: Blocks, width: int, slots: Ints, out: Ints, offsets: Ints) -> None:
    """Write each slot's lists: for each level the number of entries, then their words."""
    for i in range(len(slots)):
        o = offsets[i]
        for level in range(len(b.at)):
            at, words = b.at[level, slots[i]], b.used[level, slots[i]] * width
            out[o] = b.used[level, slots[i]]
            for j in range(words):
                out[o + 1 + j] = b.words[at + j]
            o += 1 + words


@compiled_part()
def unpack(b: Blocks, width: int, slots: Ints, data: Ints, offsets: Ints) -> int:
    """Read what `pack` wrote into empty slots, moving `offsets`; return how many slots there was room for."""
    for i in range(len(slots)):
        need, o = 0, offsets[i]
        for _ in range(len(b.at)):
            need += width * (2 * data[o] + 2)
            o += 1 + width * data[o]
        if b.top[0] + need > len(b.words):
            return i
        for level in range(len(b.at)):
            o = offsets[i]
            _fill(b, width, level, slots[i], (data[o], o + 1), data)
            offsets[i] = o + 1 + width * data[o]
    return len(slots)


@compiled_part()
def _fill(b: Blocks, width: int, level: int, slot: int, what: tuple[int, int], data: Ints) -> None:
    """Give an empty list its entries: (how many, where in data)."""
    count, begin = what
    b.used[level, slot] = count
    if count == 0:
        return
    size = 0
    while 2 << size < count:
        size += 1
    b.at[level, slot], b.size[level, slot] = _take(b, width, size), size
    for j in range(count * width):
        b.words[b.at[level, slot] + j] = data[begin + j]


class BlockStore:
    """The lists of a part: `levels` of them a slot, of entries of `width` words."""

    def __init__(self, levels: int, width: int) -> None:
        self.width = width
        table = np.empty((levels, 0), np.int64)
        self.blocks = Blocks(
            np.empty(1024 * width, np.int64), table, table, table, np.full(_CLASSES, -1, np.int64),
            np.zeros(1, np.int64),
        )  # fmt: skip

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        b = self.blocks
        return int(b.top[0]) * 8 + b.at.nbytes + b.size.nbytes + b.used.nbytes

    def grow_arena(self) -> None:
        """Double the arena."""
        words = self.blocks.words
        self.blocks = self.blocks._replace(words=grown_to(words, 2 * len(words)))

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots; the new ones have empty lists."""
        b, old = self.blocks, self.blocks.at.shape[1]
        at, size, used = (grown_to(array, capacity, axis=1) for array in (b.at, b.size, b.used))
        at[:, old:], size[:, old:], used[:, old:] = 0, -1, 0
        self.blocks = b._replace(at=at, size=size, used=used)

    def packed_words(self, slots: Ints) -> Ints:
        """Return how many words `pack` writes for each slot."""
        used = self.blocks.used[:, slots]
        return np.asarray(len(used) + self.width * used.sum(axis=0, dtype=np.int64), np.int64)

    def pack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Write each slot's lists at its offset."""
        pack(self.blocks, self.width, slots, data, offsets)

    def unpack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Read what `pack` wrote in place of what the slots held, moving `offsets` behind it."""
        self.drop(slots)
        done = 0
        while done < len(slots):
            done += unpack(self.blocks, self.width, slots[done:], data, offsets[done:])
            if done < len(slots):
                self.grow_arena()

    def drop(self, slots: Ints) -> None:
        """Empty the lists of the slots."""
        drop(self.blocks, slots)


class BlockPart:
    """What every part that keeps its rows in a `BlockStore` does with them; see `features.part`."""

    store: BlockStore

    @property
    def form(self) -> PackedRuns:
        """How its packed words are laid out."""
        return PackedRuns(0, len(self.store.blocks.at), self.store.width, _ENTRIES_MAX)

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self.store.nbytes

    def packed_words(self, slots: Ints) -> Ints:
        """Return how many words `pack` writes for each slot."""
        return self.store.packed_words(slots)

    def pack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Write each slot's state at its offset."""
        self.store.pack(slots, data, offsets)

    def unpack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Read what `pack` wrote, moving `offsets` behind it."""
        self.store.unpack(slots, data, offsets)

    def drop(self, slots: Ints) -> None:
        """Forget the slots' state."""
        self.store.drop(slots)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots."""
        self.store.grow(capacity)
