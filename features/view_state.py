"""One group's state on one partition: a record a key in one arena, and the plan that folds rows into it."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError, StateError
from features import kernel, packing, records, tiles
from features.aggregations.base import Op
from features.aggregations.distinct import ITEMS_MAX
from features.definition import FOREVER_MS as ENDLESS_MS
from features.definition import Feature, View, Window
from features.row_reader import Counted

Ints = NDArray[np.int64]
FOREVER_MS = np.iinfo(np.int64).max
_ITEMS = {"none": records.ITEMS_NONE, "distinct": records.ITEMS_DISTINCT, "replace": records.ITEMS_REPLACE}
_UNIT_MS_MIN = 1000  # marks of items count units in 32 bits: seconds last until the year 2106


class ViewState:
    """Records of one group of a view; slots are handed out by the entity; see `features.view_groups`."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.plan = _plan(view)
        self._at = np.full(1, -1, np.int64)
        self._arena = records.Arena(
            np.empty(16_384, np.int64), np.full(records.CLASSES, -1, np.int64), np.zeros(3, np.int64),
            np.empty(len(self.plan.levels) + 1, np.int64),
        )  # fmt: skip
        self._scratch = records.Scratch(
            np.empty((len(self.plan.windows), tiles.WINDOW_WORDS), np.int64),
            np.empty(len(self.plan.levels), np.int64),
            np.empty(records.SECTIONS, np.int64),
        )

    @property
    def nbytes(self) -> int:
        """Return the bytes in use."""
        return int(self._at.nbytes + 8 * self._arena.marks[records.TOP])

    def apply(self, counted: Counted, slots: Ints, clock_ms: Ints, anew: NDArray[np.bool_]) -> kernel.Answers:
        """Fold rows in, in log order; those that do not count only move the clock.

        `anew` (n,) marks rows whose key begins again: what it held before is forgotten.
        """
        count = len(slots)
        batch = kernel.Rows(
            slots,
            anew,
            np.ascontiguousarray(clock_ms),
            counted.time_ms,
            counted.value,
            counted.item,
            counted.folds,
        )
        answers = kernel.Answers(
            np.empty((count, len(self.plan.columns))), np.zeros(count, np.bool_), np.empty(count, np.int64)
        )
        done = 0
        while True:
            done = kernel.apply(self.plan, self._at, self._arena, batch, done, answers, self._scratch)
            if done == count:
                return answers
            self._make_room()

    def at(self, slots: Ints, now_ms: Ints) -> NDArray[np.float64]:
        """Return the values of each slot as of a moment (not before its clock), all rows so far counted."""
        values = np.empty((len(slots), len(self.plan.columns)))
        kernel.values_at(self.plan, self._at, self._arena.words, (slots, now_ms), values, self._scratch)
        return values

    def valid_until_ms(self, slots: Ints, now_ms: Ints) -> Ints:
        """Return the first moment at which `at` may answer otherwise by expiry alone."""
        out = np.full(len(slots), FOREVER_MS, np.int64)
        kernel.valid_until(self.plan, self._at, self._arena.words, slots, now_ms, out)
        return out

    def copy_of(self, slots: Ints) -> "ViewState":
        """Return a state of its own whose slot i holds what `slots[i]` holds here."""
        copied = ViewState(self.view)
        copied.grow(len(slots) + 1)
        bounds = self.pack_bounds(slots)
        begins = np.cumsum(bounds) - bounds
        data = np.empty(int(bounds.sum()), np.uint8)
        self.pack(slots, data, begins.copy())
        copied.unpack(np.arange(len(slots)), data, begins)
        return copied

    def drop(self, slots: Ints) -> None:
        """Forget what these slots hold."""
        records.drop_all(self.plan, self._at, self._arena, slots)

    def pack_bounds(self, slots: Ints) -> Ints:
        """Return how many bytes are enough for `pack` to write each slot."""
        out = np.empty(len(slots), np.int64)
        packing.bounds(self.plan, self._at, self._arena.words, slots, out)
        return out

    def pack(self, slots: Ints, data: NDArray[np.uint8], offsets: Ints) -> None:
        """Write each slot's state at its offset, moving `offsets` behind it."""
        packing.pack(self.plan, self._at, self._arena.words, slots, data, offsets)

    def unpack(self, slots: Ints, data: NDArray[np.uint8], offsets: Ints) -> None:
        """Read what `pack` wrote, moving `offsets` behind it.

        Raises:
            StateError: E_STATE_BYTES, the bytes are no such record.
        """
        done = 0
        while True:
            done = packing.unpack(
                self.plan, self._at, self._arena, slots, (data, offsets), done, self._scratch
            )
            if done == packing.MALFORMED:
                raise StateError(
                    "E_STATE_BYTES", "a packed record says it holds more than there is", self.view.name
                )
            if done == len(slots):
                return
            self._make_room()

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots; the new ones are empty."""
        old = len(self._at)
        self._at = grown_to(self._at, capacity)
        self._at[old:] = -1

    def compact(self) -> None:
        """Move all records together, so that the gaps between them are room again."""
        slots = np.flatnonzero(self._at >= 0)
        slots = slots[np.argsort(self._at[slots])]
        records.compact(self.plan, self._at, self._arena, slots)

    def _make_room(self) -> None:
        """Close the gaps when they are a sixth of the arena; otherwise enlarge it by an eighth.

        Keys that grow together leave blocks behind that none of them fits any more. The arena is resized in
        place, where the operating system can: a copy would hold the state twice.
        """
        words, marks = self._arena.words, self._arena.marks
        if 6 * marks[records.FREE] > marks[records.TOP]:
            self.compact()
            return
        need = 16 * int(self._arena.marks[records.LARGEST]) + 16_384
        words.resize(len(words) + max(len(words) // 8, need), refcheck=False)


def _plan(view: View) -> records.Plan:
    """Return the view as arrays of numbers: windows ordered by level, then length."""
    hops = sorted({w.hop_ms for w in view.windows})
    windows = sorted(view.windows, key=lambda w: (hops.index(w.hop_ms), w.length_ms))
    beside = _levels_beside(view.beside)
    unit_ms = math.gcd(*hops, *(hop for hop, _ in beside))
    if view.items != "none" and unit_ms < _UNIT_MS_MIN:
        raise ConfigError(
            "E_WINDOW_HOP", f"hops that share no unit of {_UNIT_MS_MIN} ms", view.name,
            "give its windows hops that are multiples of a second",
        )  # fmt: skip
    return records.Plan(
        levels=np.array([_level(view, hop) for hop in hops], np.int64),
        windows=np.array([(hops.index(w.hop_ms), w.length_ms) for w in windows], np.int64),
        columns=np.array([_column(f, windows) for f in view.features], np.int64),
        beside=np.array(beside, np.int64).reshape(-1, 2),
        items=_ITEMS[view.items],
        items_max=ITEMS_MAX if view.items == "distinct" else 0,
        unit_ms=unit_ms,
        longest_ms=view.longest_ms,
        tells_last=any(f.window is None for f in view.features) and view.longest_ms < ENDLESS_MS,
    )


def _levels_beside(features: tuple[Feature, ...]) -> list[tuple[int, int]]:
    """Return the hop and the longest window of each level of tiles that other features keep."""
    windows = [f.window for f in features if f.window is not None and f.in_tiles]
    hops = sorted({w.hop_ms for w in windows})
    return [(hop, max(w.length_ms for w in windows if w.hop_ms == hop)) for hop in hops]


def _column(feature: Any, windows: list[Window]) -> tuple[int, int, int]:
    window = windows.index(feature.window) if feature.window else -1
    return int(feature.aggregation.op), window, int(feature.current)


def _level(view: View, hop_ms: int) -> list[int]:
    """Return a level's numbers: a tile's first word holds its number and count, the rest what is read."""
    keep_ms = max(w.length_ms for w in view.windows if w.hop_ms == hop_ms)
    ops = {f.aggregation.op for f in view.features if f.window and f.window.hop_ms == hop_ms}
    level = [0] * records.LEVEL_WORDS
    level[records.HOP], level[records.KEEP] = hop_ms, keep_ms
    level[records.TILES_MAX] = -(-keep_ms // hop_ms) + 1
    size = 1
    for part, words, readers in (
        (records.SUM, 1, {Op.SUM, Op.MEAN, Op.STD}),
        (records.SQUARES, 2, {Op.STD}),
        (records.LEAST, 1, {Op.MIN}),
        (records.GREATEST, 1, {Op.MAX}),
    ):
        if ops & readers:
            level[part] = size
            size += words
    level[records.TILE_WORDS] = size
    return level


def grown_to(array: NDArray[Any], capacity: int, axis: int = 0) -> NDArray[Any]:
    """Return a copy with room for `capacity` entries along `axis`; what is new is not set."""
    shape = list(array.shape)
    shape[axis] = capacity
    grown = np.empty(shape, array.dtype)
    grown[(slice(None),) * axis + (slice(0, array.shape[axis]),)] = array
    return grown
