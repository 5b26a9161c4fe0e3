"""A group's state as several parts: sawtooth tiles, and whatever else its features need.

A group whose features all read sawtooth tiles is a plain `ViewState`: it costs and packs what it always did.
Every other one is put together here, and behaves alike. Packed, it is the tiles, then the clock and each
part as one run of words.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import StateError
from features import kernel
from features.aggregations import (
    DecayedSum,
    Distinct,
    FirstSeen,
    Last,
    LastK,
    Quantile,
    SameAsLast,
    SinceLast,
    TopShare,
)
from features.decayed_part import DecayedPart
from features.definition import Feature, View
from features.packed_words import VARINT_BYTES, get_counts, get_words, put_words, walk
from features.part import Batch, Floats, Ints, Part, Told, advance
from features.recent_part import RecentPart
from features.row_reader import Counted
from features.seen_part import SeenPart
from features.session_part import SessionPart
from features.sketch_part import SketchPart
from features.span_part import SpanPart
from features.summary import NEVER
from features.view_state import FOREVER_MS, ViewState, grown_to


class _Placed(NamedTuple):
    """A part, and where its columns are among the view's."""

    part: Part
    columns: Ints


def view_state(view: View) -> "ViewState | ViewParts":
    """Return an empty state of a group of a view: features of one measure and one item."""
    return ViewState(view) if _is_of_tiles(view) else ViewParts(view)


def _is_of_tiles(view: View) -> bool:
    """Say whether the records of tiles keep all of it: `last` as far back as the longest of them."""
    homes = {_home(f) for f in view.features}
    if not homes <= {"tiles", "newest"} or not view.windows:
        return False
    tiled = [f.window.length_ms for f in (*view.features, *view.beside) if f.window and f.in_tiles]
    return "newest" not in homes or view.longest_ms <= max(tiled)


class ViewParts:
    """State of one group of a view in parts; slots are handed out by the entity."""

    def __init__(self, view: View) -> None:
        self.view = view
        homes = [_home(f, in_parts=True) for f in view.features]
        tiles = [f for f, home in zip(view.features, homes, strict=True) if home == "tiles"]
        self._tile_columns = _columns(view, tiles)
        self._tiles = ViewState(_tile_view(view)) if tiles else None
        self._placed = []
        for home, make in _PARTS.items():
            features = tuple(f for f, h in zip(view.features, homes, strict=True) if h == home)
            if features:
                part = make(features, view.longest_ms)
                self._placed.append(_Placed(part, _columns(view, part.features)))
        self._clock = np.empty(0, np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        own = self._clock.nbytes + (self._tiles.nbytes if self._tiles else 0)
        return own + sum(placed.part.nbytes for placed in self._placed)

    def apply(self, counted: Counted, slots: Ints, clock_ms: Ints, anew: NDArray[np.bool_]) -> kernel.Answers:
        """Fold rows in, in log order; those that do not count only move the clock.

        `anew` (n,) marks rows whose key begins again: what it held before is forgotten.
        """
        batch = Batch(slots, np.empty(len(slots), np.int64), *counted)
        values = np.empty((len(slots), len(self.view.columns)))
        late = counted.folds.copy()  # late in the group: too old for every part
        if self._tiles is not None:
            told = self._tiles.apply(counted, slots, clock_ms, anew)
            values[:, self._tile_columns] = told.values
            late &= told.late
        cuts = [0, *np.flatnonzero(anew).tolist(), len(slots)]
        for begin, end in pairwise(cuts):
            some = slice(begin, end)
            if begin < end and anew[begin]:
                self._forget(slots[begin : begin + 1])
            advance(self._clock, slots[some], clock_ms[some], batch.at_ms[some])
            self._ask(batch.part(some), values[some], late[some])
        return kernel.Answers(values, late, batch.at_ms)

    def at(self, slots: Ints, now_ms: Ints) -> Floats:
        """Return the values of each slot as of a moment (not before its clock), all rows so far counted."""
        values = np.empty((len(slots), len(self.view.columns)))
        if self._tiles is not None:
            values[:, self._tile_columns] = self._tiles.at(slots, now_ms)
        none, at_ms = np.zeros(len(slots), np.int64), np.maximum(now_ms, self._clock[slots])
        unfolded = np.zeros(len(slots), np.bool_)
        self._ask(Batch(slots, at_ms, none, none, none.view(np.uint64), unfolded), values, unfolded.copy())
        return values

    def valid_until_ms(self, slots: Ints, now_ms: Ints) -> Ints:
        """Return the first moment at which `at` may answer otherwise by expiry alone."""
        out = np.full(len(slots), FOREVER_MS, np.int64)
        if self._tiles is not None:
            out = self._tiles.valid_until_ms(slots, now_ms)
        at_ms = np.maximum(now_ms, self._clock[slots])
        for part, _ in self._placed:
            part.valid_until_ms(slots, at_ms, out)
        return out

    def copy_of(self, slots: Ints) -> "ViewParts":
        """Return a state of its own whose slot i holds what `slots[i]` holds here."""
        copied = ViewParts(self.view)
        copied.grow(len(slots) + 1)
        bounds = self.pack_bounds(slots)
        begins = np.cumsum(bounds) - bounds
        data = np.empty(int(bounds.sum()), np.uint8)
        self.pack(slots, data, begins.copy())
        copied.unpack(np.arange(len(slots)), data, begins)
        return copied

    def drop(self, slots: Ints) -> None:
        """Forget what these slots hold."""
        if self._tiles is not None:
            self._tiles.drop(slots)
        self._forget(slots)

    def pack_bounds(self, slots: Ints) -> Ints:
        """Return how many bytes are enough for `pack` to write each slot."""
        tiles = 0 if self._tiles is None else self._tiles.pack_bounds(slots)
        return np.asarray(tiles + VARINT_BYTES * (1 + self._words(slots)))

    def pack(self, slots: Ints, data: NDArray[np.uint8], offsets: Ints) -> None:
        """Write each slot's state at its offset, moving `offsets` behind it."""
        if self._tiles is not None:
            self._tiles.pack(slots, data, offsets)
        counts = self._words(slots)
        begins = np.cumsum(counts) - counts
        words = np.empty(int(counts.sum()), np.int64)
        words[begins] = self._clock[slots]
        at = begins + 1
        for part, _ in self._placed:
            part.pack(slots, words, at)
            at = at + part.packed_words(slots)
        put_words(words, counts, data, offsets)

    def unpack(self, slots: Ints, data: NDArray[np.uint8], offsets: Ints) -> None:
        """Read what `pack` wrote, moving `offsets` behind it.

        Raises:
            StateError: E_STATE_BYTES, the bytes are no such record.
        """
        if self._tiles is not None:
            self._tiles.unpack(slots, data, offsets)
        counts = np.empty(len(slots), np.int64)
        get_counts(data, offsets, counts)
        if (counts < 1).any():
            raise self._malformed()
        words = np.empty(int(counts.sum()), np.int64)
        get_words(words, counts, data, offsets)
        ends = np.cumsum(counts)
        begins = ends - counts
        self._refuse_misfits(words, ends, begins + 1)
        self._clock[slots] = words[begins]
        begins += 1
        for part, _ in self._placed:
            part.unpack(slots, words, begins)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots; the new ones are empty."""
        old = len(self._clock)
        self._clock = grown_to(self._clock, capacity)
        self._clock[old:] = NEVER
        if self._tiles is not None:
            self._tiles.grow(capacity)
        for part, _ in self._placed:
            part.grow(capacity)

    def compact(self) -> None:
        """Close the gaps between records of tiles; the other parts keep blocks, which close their own."""
        if self._tiles is not None:
            self._tiles.compact()

    def _refuse_misfits(self, words: Ints, ends: Ints, begins: Ints) -> None:
        """Refuse words that the parts did not pack, before any of them takes one."""
        fits = all(walk(words, ends, begins, part.form) for part, _ in self._placed)
        if not fits or not np.array_equal(begins, ends):
            raise self._malformed()

    def _malformed(self) -> StateError:
        return StateError("E_STATE_BYTES", "a packed record's parts do not fit it", self.view.name)

    def _words(self, slots: Ints) -> Ints:
        """Return how many words the clock and the parts pack for each slot."""
        parts = [part.packed_words(slots) for part, _ in self._placed]
        return np.asarray(1 + np.sum(parts, axis=0, dtype=np.int64))

    def _forget(self, slots: Ints) -> None:
        self._clock[slots] = NEVER
        for part, _ in self._placed:
            part.drop(slots)

    def _ask(self, batch: Batch, values: Floats, late: NDArray[np.bool_]) -> None:
        """Let every part fold the rows and write its columns; `late` keeps what is late for all of them."""
        for part, columns in self._placed:
            told = Told(np.empty((len(batch.slot), len(columns))), np.zeros(len(batch.slot), np.bool_))
            part.apply(batch, told)
            values[:, columns] = told.values
            late &= told.late


def _home(feature: Feature, in_parts: bool = False) -> str:
    """Return which part keeps a feature; `last` is the tiles' own where there is nothing but tiles."""
    aggregation, kind = feature.aggregation, feature.window.kind if feature.window else None
    if isinstance(aggregation, LastK | SameAsLast) or kind == "last":
        return "recent"
    if isinstance(aggregation, DecayedSum):
        return "decayed"
    if isinstance(aggregation, FirstSeen):
        return "seen"
    if kind is None:
        assert isinstance(aggregation, Last | SinceLast)
        return "recent" if in_parts else "newest"
    if isinstance(aggregation, Quantile | TopShare):
        return "sketch"
    if kind == "session":
        return "session"
    return "tiles" if feature.in_tiles else "spans"


_PARTS: dict[str, Callable[[tuple[Feature, ...], int], Part]] = {
    "spans": lambda features, _: SpanPart(features),
    "recent": RecentPart,
    "session": SessionPart,
    "sketch": lambda features, _: SketchPart(features),
    "decayed": lambda features, _: DecayedPart(features),
    "seen": lambda features, _: SeenPart(features),
}


def _tile_view(view: View) -> View:
    """Return the view with the features of its sawtooth tiles only; beside them only tiles decide."""
    features = tuple(f for f in view.features if _home(f) == "tiles")
    distinct = any(isinstance(f.aggregation, Distinct) for f in features)
    items = "none" if view.items == "distinct" and not distinct else view.items
    return msgspec.structs.replace(view, features=features, items=items)


def _columns(view: View, features: list[Feature] | tuple[Feature, ...]) -> Ints:
    """Return the places of the features' columns among the view's."""
    return np.array([view.columns.index(name) for f in features for name in f.columns], np.int64)
