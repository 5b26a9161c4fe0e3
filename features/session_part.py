"""Summaries of a key's newest sessions, for session windows.

A session is a run of rows none of which is more than the gap from the next in event time. Kept are the newest
`SESSIONS` = 4 of them, so that a late row can lengthen one of them or join two. A session whose newest row is
older than the longest window of the view (at least two gaps) is forgotten, and a row that old is late. A row
that would begin a session older than all four changes nothing. So rows may come in any order as long as none
is late by more than three sessions; the same log order always gives the same bits.
"""

from typing import NamedTuple

import numpy as np

from features import summary
from features.compiled import compiled_part
from features.definition import Feature
from features.packed_words import PackedRuns
from features.part import Batch, Columns, Floats, Ints, Told, columns_of
from features.view_state import grown_to

SESSIONS = 4
_WORDS = summary.WORDS


class Sessions(NamedTuple):
    """Sessions of each gap and slot, in order of time; they are more than the gap apart."""

    gap_ms: Ints  # (gaps,)
    words: Ints  # (slots * gaps * SESSIONS * _WORDS,)
    used: Ints  # (slots, gaps)
    longest_ms: int


class SessionPart:
    """The part that keeps sessions; see the module."""

    def __init__(self, features: tuple[Feature, ...], longest_ms: int) -> None:
        self.features = tuple(sorted(features, key=_gap))
        gaps = sorted({_gap(f) for f in features})
        self.columns = columns_of(
            self.features, [gaps.index(_gap(f)) for f in self.features], [0] * len(features)
        )
        self.sessions = Sessions(
            np.array(gaps, np.int64), np.empty(0, np.int64), np.empty((0, len(gaps)), np.int64), longest_ms
        )

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self.sessions.words.nbytes + self.sessions.used.nbytes

    @property
    def form(self) -> PackedRuns:
        """How its packed words are laid out."""
        return PackedRuns(0, len(self.sessions.gap_ms), _WORDS, SESSIONS)

    def apply(self, batch: Batch, told: Told) -> None:
        """Fold the rows in and write each one's answers."""
        _apply(self.columns, self.sessions, batch, told)

    def valid_until_ms(self, slots: Ints, at_ms: Ints, out: Ints) -> None:
        """Lower `out` to the first moment at which a session has ended."""
        _valid_until(self.sessions, slots, at_ms, out)

    def packed_words(self, slots: Ints) -> Ints:
        """Return how many words `pack` writes for each slot."""
        used = self.sessions.used[slots]
        return np.asarray(used.shape[1] + _WORDS * used.sum(axis=1, dtype=np.int64), np.int64)

    def pack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Write each slot's sessions at its offset: for each gap how many, then their words."""
        _pack(self.sessions, slots, data, offsets)

    def unpack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Read what `pack` wrote, moving `offsets` behind it."""
        _unpack(self.sessions, slots, data, offsets)

    def drop(self, slots: Ints) -> None:
        """Forget the slots' sessions."""
        self.sessions.used[slots] = 0

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots; the new ones are empty."""
        s, old = self.sessions, len(self.sessions.used)
        used = grown_to(s.used, capacity)
        used[old:] = 0
        words = grown_to(s.words, capacity * len(s.gap_ms) * SESSIONS * _WORDS)
        self.sessions = s._replace(words=words, used=used)


def _gap(feature: Feature) -> int:
    return feature.window.length_ms if feature.window else 0


@compiled_part()
def _where(s: Sessions, slot: int, g: int, i: int) -> int:
    """Return where the words of the i-th session are."""
    return int(((slot * len(s.gap_ms) + g) * SESSIONS + i) * _WORDS)


@compiled_part()
def _remove(s: Sessions, slot: int, g: int, i: int) -> None:
    for word in range(_where(s, slot, g, i), _where(s, slot, g, s.used[slot, g] - 1)):
        s.words[word] = s.words[word + _WORDS]
    s.used[slot, g] -= 1


@compiled_part()
def _begin(s: Sessions, slot: int, g: int, time_ms: int) -> int:
    """Begin an empty session in its place and return which it is, -1 when it would be older than all."""
    i = 0
    while i < s.used[slot, g] and s.words[_where(s, slot, g, i) + summary.LAST_MS] < time_ms:
        i += 1
    if s.used[slot, g] == SESSIONS:
        if i == 0:
            return -1
        _remove(s, slot, g, 0)
        i -= 1
    s.used[slot, g] += 1
    for word in range(_where(s, slot, g, s.used[slot, g]) - 1, _where(s, slot, g, i + 1) - 1, -1):
        s.words[word] = s.words[word - _WORDS]
    summary.clear(s.words, _where(s, slot, g, i))
    return i


@compiled_part()
def _touched(s: Sessions, slot: int, g: int, time_ms: int) -> int:
    """Return the oldest session that a row belongs to, -1 for none."""
    for i in range(s.used[slot, g]):
        at = _where(s, slot, g, i)
        begin, end = s.words[at + summary.FIRST_MS], s.words[at + summary.LAST_MS]
        if begin - s.gap_ms[g] <= time_ms <= end + s.gap_ms[g]:
            return i
    return -1


@compiled_part()
def _insert(s: Sessions, slot: int, at_ms: int, time_ms: int, value: int) -> None:
    """Put a row into its session of each gap, which it may begin, lengthen or join to the next."""
    for g in range(len(s.gap_ms)):
        while s.used[slot, g] > 0:
            if s.words[_where(s, slot, g, 0) + summary.LAST_MS] >= at_ms - s.longest_ms:
                break
            _remove(s, slot, g, 0)
        i = _touched(s, slot, g, time_ms)
        if i < 0:
            i = _begin(s, slot, g, time_ms)
        if i < 0:
            continue
        at = _where(s, slot, g, i)
        summary.fold(s.words, at, time_ms, value)
        if i + 1 < s.used[slot, g]:
            after = _where(s, slot, g, i + 1)
            if s.words[after + summary.FIRST_MS] - s.words[at + summary.LAST_MS] <= s.gap_ms[g]:
                summary.merge(s.words, at, s.words, after)
                _remove(s, slot, g, i + 1)


@compiled_part()
def _answer(c: Columns, s: Sessions, where: tuple[int, int], current: bool, out: Floats, none: Ints) -> None:
    """Write the columns that do (or do not) count the current row, for (slot, moment)."""
    slot, at_ms = where
    for i in range(len(c.op)):
        if c.current[i] != current:
            continue
        g = c.window[i]
        newest = _where(s, slot, g, s.used[slot, g] - 1)
        if s.used[slot, g] > 0 and at_ms - s.words[newest + summary.LAST_MS] <= s.gap_ms[g]:
            out[i] = summary.finalise(c.op[i], s.words, newest, at_ms)
        else:
            out[i] = summary.finalise(c.op[i], none, 0, at_ms)


@compiled_part(nogil=True)
def _apply(c: Columns, s: Sessions, batch: Batch, told: Told) -> None:
    none = np.empty(_WORDS, np.int64)
    summary.clear(none, 0)
    for r in range(len(batch.slot)):
        where = (batch.slot[r], batch.at_ms[r])
        _answer(c, s, where, False, told.values[r], none)
        if batch.folds[r]:
            told.late[r] = batch.time_ms[r] < batch.at_ms[r] - s.longest_ms
            if not told.late[r]:
                _insert(s, batch.slot[r], batch.at_ms[r], batch.time_ms[r], batch.value[r])
        _answer(c, s, where, True, told.values[r], none)


@compiled_part()
def _valid_until(s: Sessions, slots: Ints, at_ms: Ints, out: Ints) -> None:
    for r in range(len(slots)):
        for g in range(len(s.gap_ms)):
            if s.used[slots[r], g] > 0:
                newest = _where(s, slots[r], g, s.used[slots[r], g] - 1)
                end = s.words[newest + summary.LAST_MS] + s.gap_ms[g] + 1
                if end > at_ms[r]:
                    out[r] = min(out[r], end)


@compiled_part()
def _pack(s: Sessions, slots: Ints, out: Ints, offsets: Ints) -> None:
    for i in range(len(slots)):
        o = offsets[i]
        for g in range(len(s.gap_ms)):
            used = s.used[slots[i], g]
            at = _where(s, slots[i], g, 0)
            out[o] = used
            for j in range(used * _WORDS):
                out[o + 1 + j] = s.words[at + j]
            o += 1 + used * _WORDS


@compiled_part()
def _unpack(s: Sessions, slots: Ints, data: Ints, offsets: Ints) -> None:
    for i in range(len(slots)):
        o = offsets[i]
        for g in range(len(s.gap_ms)):
            used = data[o]
            at = _where(s, slots[i], g, 0)
            s.used[slots[i], g] = used
            for j in range(used * _WORDS):
                s.words[at + j] = data[o + 1 + j]
            o += 1 + used * _WORDS
        offsets[i] = o
