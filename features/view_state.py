"""One view's state on one partition: arrays by slot, two arenas of blocks, and the plan that folds them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns
from contracts.keys import hash64
from features import kernel
from features.definition import View

Ints = NDArray[np.int64]
FOREVER_MS = np.iinfo(np.int64).max
_ITEMS = {"none": kernel.ITEMS_NONE, "distinct": kernel.ITEMS_DISTINCT, "replace": kernel.ITEMS_REPLACE}


class ViewState:
    """Arrays of one view; slots are handed out by the entity; see `features.state.EntityState`."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.plan = _plan(view)
        levels = len(self.plan.hop_ms) + 1
        none = np.empty(0, np.int64)
        table = np.empty((levels, 0), np.int64)
        self.slots = kernel.Slots(none, none, none, table, table, table, np.empty(0, np.uint64), none)
        self.arena = kernel.Arena(
            np.empty(16_384, np.int64), np.empty(1024, np.uint64), np.empty((1024, 2), np.int64),
            np.full((2, kernel.CLASSES), -1, np.int64), np.zeros(2, np.int64),
        )  # fmt: skip

    @property
    def nbytes(self) -> int:
        """Return the bytes in use."""
        tiles, items = self.arena.top.tolist()
        return int(sum(a.nbytes for a in self.slots) + tiles * 8 + items * 24)

    def apply(self, rows: Columns, kind: int, slots: Ints, clock_ms: Ints) -> kernel.Answers:
        """Fold rows of one kind in, in log order; rows of another kind only move the clock."""
        count = len(slots)
        folds = self.view.rows == kind
        none = np.zeros(count if not folds else 0, np.int64)
        batch = kernel.Rows(
            slots,
            np.ascontiguousarray(clock_ms),
            np.ascontiguousarray(rows[self.view.time]) if folds else none,
            rows[self.view.measure].astype(np.int64) if folds else none,
            hash64(rows[self.view.item]) if folds and self.view.item else np.zeros(count, np.uint64),
            np.full(count, folds, np.bool_),
        )
        answers = kernel.Answers(
            np.empty((count, len(self.plan.op))), np.zeros(count, np.bool_), np.empty(count, np.int64)
        )
        done = 0
        while True:
            done = kernel.apply(self.plan, self.slots, self.arena, batch, done, answers)
            if done == count:
                return answers
            self._grow_arena()

    def at(self, slots: Ints, now_ms: Ints) -> NDArray[np.float64]:
        """Return the values of each slot as of a moment (not before its clock), all rows so far counted."""
        values = np.empty((len(slots), len(self.plan.op)))
        kernel.at(self.plan, self.slots, self.arena, slots, now_ms, values)
        return values

    def valid_until_ms(self, slots: Ints, now_ms: Ints) -> Ints:
        """Return the first moment at which `at` may answer otherwise by expiry alone."""
        out = np.full(len(slots), FOREVER_MS, np.int64)
        kernel.valid_until(self.plan, self.slots, self.arena, slots, now_ms, out)
        return out

    def copy_of(self, slots: Ints) -> "ViewState":
        """Return a state of its own whose slot i holds what `slots[i]` holds here."""
        copied = ViewState(self.view)
        copied.grow(len(slots) + 1)
        words = self.packed_words(slots)
        offsets = np.cumsum(words) - words
        data = np.empty(int(words.sum()), np.int64)
        self.pack(slots, data, offsets)
        copied.unpack(np.arange(len(slots)), data, offsets)
        return copied

    def packed_words(self, slots: Ints) -> Ints:
        """Return how many words `pack` writes for each slot."""
        return np.asarray(kernel.packed_words(self.plan, self.slots, slots))

    def pack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Write each slot's state at its offset."""
        kernel.pack(self.plan, self.slots, self.arena, slots, data, offsets)

    def unpack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Read what `pack` wrote, moving `offsets` behind it."""
        done = 0
        while done < len(slots):
            done += kernel.unpack(self.plan, self.slots, self.arena, slots[done:], data, offsets[done:])
            if done < len(slots):
                self._grow_arena()

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots; the new ones are empty."""
        s, old = self.slots, len(self.slots.clock)
        grown = kernel.Slots(*[grown_to(array, capacity, axis=array.ndim - 1) for array in s])
        grown.clock[old:] = kernel.NEVER
        grown.last_ms[old:] = kernel.NEVER
        grown.at[:, old:] = 0
        grown.size[:, old:] = -1
        grown.used[:, old:] = 0
        grown.threshold[old:] = np.iinfo(np.uint64).max
        grown.passed_ms[old:] = kernel.NEVER
        self.slots = grown

    def _grow_arena(self) -> None:
        a = self.arena
        tiles = 2 * len(a.tiles) if a.top[0] * 2 > len(a.tiles) else len(a.tiles)
        items = 2 * len(a.hashes) if a.top[1] * 2 > len(a.hashes) else len(a.hashes)
        if tiles == len(a.tiles) and items == len(
            a.hashes
        ):  # one huge key asks for more than half of an arena
            tiles, items = 2 * tiles, 2 * items
        self.arena = kernel.Arena(
            grown_to(a.tiles, tiles), grown_to(a.hashes, items), grown_to(a.marks, items), a.free, a.top
        )


def _plan(view: View) -> kernel.Plan:
    """Return the view as arrays of numbers: windows ordered by level, then length."""
    hops = sorted({w.hop_ms for w in view.windows})
    windows = sorted(view.windows, key=lambda w: (hops.index(w.hop_ms), w.length_ms))
    return kernel.Plan(
        words=np.array([_words(view, hop) for hop in hops], np.int64),
        items=_ITEMS[view.items],
        hop_ms=np.array(hops, np.int64),
        keep_ms=np.array([max(w.length_ms for w in windows if w.hop_ms == hop) for hop in hops], np.int64),
        window_level=np.array([hops.index(w.hop_ms) for w in windows], np.int64),
        window_ms=np.array([w.length_ms for w in windows], np.int64),
        op=np.array([int(f.aggregation.op) for f in view.features], np.int64),
        window=np.array([windows.index(f.window) if f.window else -1 for f in view.features], np.int64),
        current=np.array([f.current for f in view.features], np.bool_),
        longest_ms=max(w.length_ms for w in windows),
    )


def _words(view: View, hop_ms: int) -> int:
    """Return how many words a tile of this level needs for the aggregations that read it."""
    return max([2, *[f.aggregation.words for f in view.features if f.window and f.window.hop_ms == hop_ms]])


def grown_to(array: NDArray[Any], capacity: int, axis: int = 0) -> NDArray[Any]:
    """Return a copy with room for `capacity` entries along `axis`; what is new is not set."""
    shape = list(array.shape)
    shape[axis] = capacity
    grown = np.empty(shape, array.dtype)
    grown[(slice(None),) * axis + (slice(0, array.shape[axis]),)] = array
    return grown
