"""One fading number a key and half-life: decayed sums, as `features.aggregations.decayed_sum` writes them."""

from typing import NamedTuple

import numpy as np

from features.aggregations import DecayedSum
from features.aggregations.decayed_sum import HALF_LIVES, growth, scaled
from features.compiled import compiled_part
from features.definition import Feature
from features.packed_words import PackedRuns
from features.part import Batch, Columns, Floats, Ints, Told, columns_of
from features.summary import NEVER
from features.view_state import grown_to

_WORDS = 3  # of a packed sum: newest time, half-lives, the float's bits


class Sums(NamedTuple):
    """Sums of each half-life and slot."""

    half_life_ms: Ints  # (h,)
    newest_ms: Ints  # (slots, h) NEVER where nothing is summed
    halvings: Ints  # (slots, h) half-lives since 1970 at which the sum is stated
    total: Floats  # (slots, h)


class DecayedPart:
    """The part that keeps decayed sums; see the module."""

    def __init__(self, features: tuple[Feature, ...]) -> None:
        self.features = features
        lives = sorted({_half_life(f) for f in features})
        places = [lives.index(_half_life(f)) for f in features]
        self.columns = columns_of(features, places, [0] * len(features))
        none = np.empty((0, len(lives)), np.int64)
        self.sums = Sums(np.array(lives, np.int64), none, none, np.empty(none.shape))

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return 3 * self.sums.total.nbytes

    @property
    def form(self) -> PackedRuns:
        """How its packed words are laid out."""
        return PackedRuns(_WORDS * len(self.sums.half_life_ms), 0, 0, 0)

    def apply(self, batch: Batch, told: Told) -> None:
        """Fold the rows in and write each one's answers."""
        _apply(self.columns, self.sums, batch, told)

    def valid_until_ms(self, slots: Ints, at_ms: Ints, out: Ints) -> None:
        """Lower `out` to the first moment at which a sum is 0."""
        newest = self.sums.newest_ms[slots]
        ends = np.where(newest == NEVER, NEVER, newest + HALF_LIVES * self.sums.half_life_ms + 1)
        never = np.iinfo(np.int64).max
        np.minimum(out, np.where(ends > at_ms[:, None], ends, never).min(axis=1), out=out)

    def packed_words(self, slots: Ints) -> Ints:
        """Return how many words `pack` writes for each slot."""
        return np.full(len(slots), _WORDS * len(self.sums.half_life_ms), np.int64)

    def pack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Write each slot's sums at its offset."""
        at = offsets[:, None] + _WORDS * np.arange(len(self.sums.half_life_ms))
        data[at] = self.sums.newest_ms[slots]
        data[at + 1] = self.sums.halvings[slots]
        data[at + 2] = self.sums.total[slots].view(np.int64)

    def unpack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Read what `pack` wrote, moving `offsets` behind it."""
        at = offsets[:, None] + _WORDS * np.arange(len(self.sums.half_life_ms))
        self.sums.newest_ms[slots] = data[at]
        self.sums.halvings[slots] = data[at + 1]
        self.sums.total[slots] = data[at + 2].view(np.float64)
        offsets += _WORDS * len(self.sums.half_life_ms)

    def drop(self, slots: Ints) -> None:
        """Forget the slots' sums."""
        self.sums.newest_ms[slots], self.sums.halvings[slots], self.sums.total[slots] = NEVER, 0, 0.0

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots; the new ones are empty."""
        old = len(self.sums.total)
        self.sums = Sums(self.sums.half_life_ms, *(grown_to(array, capacity) for array in self.sums[1:]))
        self.drop(np.arange(old, capacity))


def _half_life(feature: Feature) -> int:
    assert isinstance(feature.aggregation, DecayedSum)
    return feature.aggregation.half_life_ms


@compiled_part()
def _fold(sums: Sums, slot: int, h: int, at_ms: int, row: tuple[int, int]) -> bool:
    """Add a row (time, value) to a sum; say whether it was young enough."""
    time_ms, value = row
    half_life_ms = sums.half_life_ms[h]
    oldest_ms = at_ms - HALF_LIVES * half_life_ms
    if time_ms < oldest_ms:
        return False
    if sums.newest_ms[slot, h] < oldest_ms:
        sums.newest_ms[slot, h], sums.halvings[slot, h], sums.total[slot, h] = NEVER, 0, 0.0
    halvings, total = sums.halvings[slot, h], sums.total[slot, h]
    i = time_ms // half_life_ms
    if i > halvings:
        total = scaled(total, halvings - i)
        halvings = i
    weighed = float(value) * growth(time_ms % half_life_ms, half_life_ms)
    sums.total[slot, h] = total + scaled(weighed, i - halvings)
    sums.halvings[slot, h] = halvings
    sums.newest_ms[slot, h] = max(sums.newest_ms[slot, h], time_ms)
    return True


@compiled_part()
def _value(sums: Sums, slot: int, h: int, at_ms: int) -> float:
    """Return the sum as of a moment."""
    half_life_ms = sums.half_life_ms[h]
    if sums.newest_ms[slot, h] < at_ms - HALF_LIVES * half_life_ms:
        return 0.0
    faded = scaled(sums.total[slot, h], sums.halvings[slot, h] - at_ms // half_life_ms)
    return float(faded / growth(at_ms % half_life_ms, half_life_ms))


@compiled_part()
def _answer(c: Columns, sums: Sums, where: tuple[int, int], current: bool, out: Floats) -> None:
    for i in range(len(c.op)):
        if c.current[i] == current:
            out[i] = _value(sums, where[0], c.window[i], where[1])


@compiled_part(nogil=True)
def _apply(c: Columns, sums: Sums, batch: Batch, told: Told) -> None:
    for r in range(len(batch.slot)):
        slot, at_ms = batch.slot[r], batch.at_ms[r]
        _answer(c, sums, (slot, at_ms), False, told.values[r])
        if batch.folds[r]:
            late = True
            for h in range(len(sums.half_life_ms)):
                if _fold(sums, slot, h, at_ms, (batch.time_ms[r], batch.value[r])):
                    late = False
            told.late[r] = late
        _answer(c, sums, (slot, at_ms), True, told.values[r])
