"""Items of a key and when each was seen last, for `first_seen`; see `features.aggregations.first_seen`.

An entry is [newest time, hash64]; entries are in order of time, of equal ones of the hash, and there are at
most `ITEMS_KEPT` that the longest window sees. `passed_ms` is the newest time of an item that was left out.
"""

from typing import NamedTuple

import numpy as np

from features import blocks
from features.aggregations.first_seen import ITEMS_KEPT
from features.blocks import BlockPart, Blocks, BlockStore
from features.compiled import compiled_part
from features.definition import FOREVER_MS, Feature
from features.packed_words import PackedRuns
from features.part import Batch, Columns, Floats, Ints, Told, columns_of
from features.summary import NEVER
from features.view_state import grown_to

_WIDTH = 2


class Windows(NamedTuple):
    """The windows that are asked for, shortest first; a lifetime's hop is FOREVER_MS."""

    hop_ms: Ints
    length_ms: Ints


class SeenPart(BlockPart):
    """The part that keeps when items were seen last; see the module."""

    def __init__(self, features: tuple[Feature, ...]) -> None:
        self.features = features
        spans = [(f.window.length_ms, f.window.hop_ms) for f in features if f.window is not None]
        different = sorted(set(spans))
        self.columns = columns_of(features, [different.index(span) for span in spans], [0] * len(features))
        length, hop = (np.array(column, np.int64) for column in zip(*different, strict=True))
        self.windows = Windows(hop, length)
        self.store = BlockStore(1, _WIDTH)
        self.passed_ms = np.empty(0, np.int64)

    @property
    def form(self) -> PackedRuns:
        """How its packed words are laid out."""
        return PackedRuns(1, 1, _WIDTH, ITEMS_KEPT)

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self.store.nbytes + self.passed_ms.nbytes

    def apply(self, batch: Batch, told: Told) -> None:
        """Answer each row by the rows before it, and note its item."""
        done = 0
        while True:
            plan = (self.windows, self.columns)
            done = _apply(plan, self.store.blocks, self.passed_ms, batch, done, told)
            if done == len(batch.slot):
                return
            self.store.grow_arena()

    def valid_until_ms(self, slots: Ints, at_ms: Ints, out: Ints) -> None:
        """Leave `out` as it is: without a row the answer is null for ever."""

    def packed_words(self, slots: Ints) -> Ints:
        """Return how many words `pack` writes for each slot."""
        return np.asarray(1 + self.store.packed_words(slots))

    def pack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Write each slot's state at its offset: what was passed over, then the items."""
        data[offsets] = self.passed_ms[slots]
        self.store.pack(slots, data, offsets + 1)

    def unpack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Read what `pack` wrote, moving `offsets` behind it."""
        self.passed_ms[slots] = data[offsets]
        offsets += 1
        self.store.unpack(slots, data, offsets)

    def drop(self, slots: Ints) -> None:
        """Forget the slots' state."""
        self.passed_ms[slots] = NEVER
        self.store.drop(slots)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots."""
        old = len(self.passed_ms)
        self.passed_ms = grown_to(self.passed_ms, capacity)
        self.passed_ms[old:] = NEVER
        self.store.grow(capacity)


@compiled_part()
def _begin(windows: Windows, w: int, at_ms: int) -> int:
    """Return the earliest time that is in a window at a moment."""
    hop = windows.hop_ms[w]
    return NEVER if hop == FOREVER_MS else (at_ms - windows.length_ms[w]) // hop * hop


@compiled_part()
def _oldest(windows: Windows, at_ms: int) -> int:
    """Return the earliest time that any window sees."""
    oldest = _begin(windows, 0, at_ms)
    for w in range(1, len(windows.hop_ms)):
        oldest = min(oldest, _begin(windows, w, at_ms))
    return oldest


@compiled_part()
def _find(b: Blocks, slot: int, item: int) -> int:
    """Return the place of an item's entry, -1 for none."""
    at = b.at[0, slot]
    for i in range(b.used[0, slot]):
        if b.words[at + i * _WIDTH + 1] == item:
            return i
    return -1


@compiled_part()
def _answer(plan: tuple[Windows, Columns], seen_ms: int, passed_ms: int, at_ms: int, out: Floats) -> None:
    """Write what a row is answered whose item was seen last at `seen_ms`."""
    windows, c = plan
    for i in range(len(c.op)):
        begin = _begin(windows, c.window[i], at_ms)
        if seen_ms != NEVER and seen_ms >= begin:
            out[i] = 0.0
        else:
            out[i] = np.nan if passed_ms != NEVER and passed_ms >= begin else 1.0


@compiled_part()
def _remove(b: Blocks, slot: int, i: int) -> None:
    at, used = b.at[0, slot], b.used[0, slot]
    for word in range(at + i * _WIDTH, at + (used - 1) * _WIDTH):
        b.words[word] = b.words[word + _WIDTH]
    b.used[0, slot] = used - 1


@compiled_part()
def _is_before(b: Blocks, e: int, time_ms: int, item: int) -> bool:
    """Say whether the entry at `e` comes before (time, item)."""
    if b.words[e] != time_ms:
        return bool(b.words[e] < time_ms)
    return bool(np.uint64(b.words[e + 1]) < np.uint64(item))


@compiled_part()
def _insert(b: Blocks, slot: int, time_ms: int, item: int) -> None:
    """Put an entry in its place."""
    i = b.used[0, slot]
    while i > 0 and not _is_before(b, b.at[0, slot] + (i - 1) * _WIDTH, time_ms, item):
        i -= 1
    e = blocks.open_entry(b, _WIDTH, 0, slot, i)
    b.words[e], b.words[e + 1] = time_ms, item


@compiled_part()
def _note(b: Blocks, passed: Ints, slot: int, found: int, row: tuple[int, int, int]) -> None:
    """Note a sighting (time, item, the earliest time that is seen); `found` is the item's place, or -1."""
    time_ms, item, oldest_ms = row
    if found >= 0:
        seen_ms = b.words[b.at[0, slot] + found * _WIDTH]
        if seen_ms >= time_ms:
            return
        _remove(b, slot, found)
    elif b.used[0, slot] >= ITEMS_KEPT:
        blocks.forget_before(b, _WIDTH, 0, slot, oldest_ms)
        if b.used[0, slot] >= ITEMS_KEPT:
            first = b.at[0, slot]
            if not _is_before(b, first, time_ms, item):
                passed[slot] = max(passed[slot], time_ms)
                return
            passed[slot] = max(passed[slot], b.words[first])
            _remove(b, slot, 0)
    _insert(b, slot, time_ms, item)


@compiled_part(nogil=True)
def _apply(
    plan: tuple[Windows, Columns], b: Blocks, passed: Ints, batch: Batch, begin: int, told: Told
) -> int:
    """Take rows[begin:] in and return how many are done; less than n means that the arena is full."""
    for r in range(begin, len(batch.slot)):
        slot, at_ms = batch.slot[r], batch.at_ms[r]
        if not blocks.has_room(b, _WIDTH, slot):
            return r
        if not batch.folds[r]:
            told.values[r, :] = np.nan
            continue
        time_ms, item = batch.time_ms[r], int(np.int64(batch.item[r]))
        found = _find(b, slot, item)
        seen_ms = b.words[b.at[0, slot] + found * _WIDTH] if found >= 0 else NEVER
        _answer(plan, seen_ms, passed[slot], at_ms, told.values[r])
        oldest_ms = _oldest(plan[0], at_ms)
        told.late[r] = time_ms < oldest_ms
        if not told.late[r]:
            _note(b, passed, slot, found, (time_ms, item, oldest_ms))
    return len(batch.slot)
