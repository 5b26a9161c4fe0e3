"""The newest rows of a key: last-k, last-N windows, same as last, and `last` beside other parts.

Kept are the n newest rows by event time (of equals the later in the log is newer), n being the most that any
feature asks for; a row older than the longest window of the view is not seen, and is late.
"""

from typing import NamedTuple

import numpy as np

from features import summary
from features.aggregations import Op
from features.compiled import compiled_part
from features.definition import FOREVER_MS, Feature
from features.packed_words import PackedRuns
from features.part import Batch, Columns, Floats, Ints, Told, columns_of
from features.view_state import grown_to

_LAST_K, _SAME_AS_LAST = int(Op.LAST_K), int(Op.SAME_AS_LAST)


class Rows(NamedTuple):
    """The rows of each slot, oldest first."""

    time_ms: Ints  # (slots, n)
    value: Ints  # (slots, n)
    used: Ints  # (slots,)
    longest_ms: int


class RecentPart:
    """The part that keeps the newest rows; see the module."""

    def __init__(self, features: tuple[Feature, ...], longest_ms: int) -> None:
        self.features = tuple(sorted(features, key=_rows))
        widths = [range(max(1, f.aggregation.width)) for f in self.features]
        self.columns = columns_of(
            self.features, [_rows(f) for f in self.features], [i for width in widths for i in width]
        )
        none = np.empty((0, max(_rows(f) for f in features)), np.int64)
        self.rows = Rows(none, none, np.empty(0, np.int64), longest_ms)

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self.rows.time_ms.nbytes + self.rows.value.nbytes + self.rows.used.nbytes

    @property
    def form(self) -> PackedRuns:
        """How its packed words are laid out."""
        return PackedRuns(0, 1, 2, self.rows.time_ms.shape[1])

    def apply(self, batch: Batch, told: Told) -> None:
        """Fold the rows in and write each one's answers."""
        _apply(self.columns, self.rows, batch, told)

    def valid_until_ms(self, slots: Ints, at_ms: Ints, out: Ints) -> None:
        """Lower `out` to the first moment at which a row grows too old."""
        if self.rows.longest_ms != FOREVER_MS:
            _valid_until(self.rows, slots, at_ms, out)

    def packed_words(self, slots: Ints) -> Ints:
        """Return how many words `pack` writes for each slot."""
        return np.asarray(1 + 2 * self.rows.used[slots])

    def pack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Write each slot's rows at its offset: how many, then time and value of each."""
        _pack(self.rows, slots, data, offsets)

    def unpack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Read what `pack` wrote, moving `offsets` behind it."""
        _unpack(self.rows, slots, data, offsets)

    def drop(self, slots: Ints) -> None:
        """Forget the slots' rows."""
        self.rows.used[slots] = 0

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots; the new ones are empty."""
        r, old = self.rows, len(self.rows.used)
        used = grown_to(r.used, capacity)
        used[old:] = 0
        self.rows = Rows(grown_to(r.time_ms, capacity), grown_to(r.value, capacity), used, r.longest_ms)


def _rows(feature: Feature) -> int:
    """Return how many rows a feature looks at."""
    return feature.window.rows if feature.window else max(1, feature.aggregation.width)


@compiled_part()
def _insert(rows: Rows, slot: int, time_ms: int, value: int) -> None:
    """Put a row into its place, pushing the oldest out when there is no room."""
    used, most = rows.used[slot], rows.time_ms.shape[1]
    place = used
    while place > 0 and rows.time_ms[slot, place - 1] > time_ms:
        place -= 1
    if used < most:
        for i in range(used, place, -1):
            rows.time_ms[slot, i], rows.value[slot, i] = rows.time_ms[slot, i - 1], rows.value[slot, i - 1]
        rows.used[slot] = used + 1
    else:
        place -= 1
        if place < 0:
            return
        for i in range(place):
            rows.time_ms[slot, i], rows.value[slot, i] = rows.time_ms[slot, i + 1], rows.value[slot, i + 1]
    rows.time_ms[slot, place], rows.value[slot, place] = time_ms, value


@compiled_part()
def _first_seen(rows: Rows, slot: int, at_ms: int) -> int:
    """Return the place of the oldest row that is not too old."""
    i = 0
    while i < rows.used[slot] and rows.time_ms[slot, i] < at_ms - rows.longest_ms:
        i += 1
    return i


@compiled_part()
def _answer(c: Columns, rows: Rows, where: tuple[int, int], current: bool, out: Floats, into: Ints) -> None:
    """Write the columns that do (or do not) count the current row, for (slot, moment)."""
    slot, at_ms = where
    first, used, summed = _first_seen(rows, slot, at_ms), rows.used[slot], -1
    for i in range(len(c.op)):
        if c.current[i] != current or c.op[i] == _SAME_AS_LAST:
            continue
        if c.op[i] == _LAST_K:
            place = used - 1 - c.param[i]
            out[i] = float(rows.value[slot, place]) if place >= first else np.nan
            continue
        if c.window[i] != summed:
            summed = c.window[i]
            summary.clear(into, 0)
            for j in range(max(first, used - summed), used):
                summary.fold(into, 0, rows.time_ms[slot, j], rows.value[slot, j])
        out[i] = summary.finalise(c.op[i], into, 0, at_ms)


@compiled_part()
def _compare(c: Columns, rows: Rows, where: tuple[int, int], row: tuple[bool, int], out: Floats) -> None:
    """Write the columns that compare a row (whether it counts, its item's hash) with the newest before it."""
    slot, at_ms = where
    counts, item = row
    newest = rows.used[slot] - 1
    known = counts and newest >= _first_seen(rows, slot, at_ms)
    for i in range(len(c.op)):
        if c.op[i] == _SAME_AS_LAST and known:
            out[i] = 1.0 if rows.value[slot, newest] == item else 0.0
        elif c.op[i] == _SAME_AS_LAST:
            out[i] = np.nan


@compiled_part(nogil=True)
def _apply(c: Columns, rows: Rows, batch: Batch, told: Told) -> None:
    into = np.empty(summary.WORDS, np.int64)
    for r in range(len(batch.slot)):
        where = (batch.slot[r], batch.at_ms[r])
        _answer(c, rows, where, False, told.values[r], into)
        _compare(c, rows, where, (batch.folds[r], batch.value[r]), told.values[r])
        if batch.folds[r]:
            told.late[r] = batch.time_ms[r] < batch.at_ms[r] - rows.longest_ms
            if not told.late[r]:
                _insert(rows, batch.slot[r], batch.time_ms[r], batch.value[r])
        _answer(c, rows, where, True, told.values[r], into)


@compiled_part()
def _valid_until(rows: Rows, slots: Ints, at_ms: Ints, out: Ints) -> None:
    for r in range(len(slots)):
        first = _first_seen(rows, slots[r], at_ms[r])
        if first < rows.used[slots[r]]:
            out[r] = min(out[r], rows.time_ms[slots[r], first] + rows.longest_ms + 1)


@compiled_part()
def _pack(rows: Rows, slots: Ints, out: Ints, offsets: Ints) -> None:
    for i in range(len(slots)):
        o = offsets[i]
        out[o] = rows.used[slots[i]]
        for j in range(rows.used[slots[i]]):
            out[o + 1 + 2 * j] = rows.time_ms[slots[i], j]
            out[o + 2 + 2 * j] = rows.value[slots[i], j]


@compiled_part()
def _unpack(rows: Rows, slots: Ints, data: Ints, offsets: Ints) -> None:
    for i in range(len(slots)):
        o = offsets[i]
        rows.used[slots[i]] = data[o]
        for j in range(data[o]):
            rows.time_ms[slots[i], j] = data[o + 1 + 2 * j]
            rows.value[slots[i], j] = data[o + 2 + 2 * j]
        offsets[i] = o + 1 + 2 * data[o]
