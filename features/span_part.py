"""Summaries of tiles: delayed and lifetime windows, and the first row of any window of tiles.

A level is one hop; a tile is [number, summary], number = event time // hop, and a lifetime is a level with
one tile that never ends. A key and level keep the tiles that some window can still see, length / hop + delay
/ hop + 2 of them at most.
"""

from typing import NamedTuple

import numpy as np

from features import blocks, summary
from features.blocks import BlockPart, Blocks, BlockStore
from features.compiled import compiled_part
from features.definition import FOREVER_MS, Feature
from features.part import Batch, Columns, Floats, Ints, Told, columns_of

_WIDTH = 1 + summary.WORDS


class Spans(NamedTuple):
    """Levels, and windows over them."""

    hop_ms: Ints  # (levels,)
    keep_ms: Ints  # (levels,) the farthest that a window of the level looks back
    level: Ints  # (windows,)
    reach_ms: Ints  # (windows,) from the present back to the window's begin, before rounding
    delay_ms: Ints  # (windows,)


class SpanPart(BlockPart):
    """The part that keeps summaries of tiles; see the module."""

    def __init__(self, features: tuple[Feature, ...]) -> None:
        self.spans, windows = spans_of(features, [0] * len(features))
        order = np.argsort(windows, kind="stable").tolist()
        self.features = tuple(features[i] for i in order)
        self.columns = columns_of(self.features, [windows[i] for i in order], [0] * len(order))
        self.store = BlockStore(len(self.spans.hop_ms), _WIDTH)

    def apply(self, batch: Batch, told: Told) -> None:
        """Fold the rows in and write each one's answers."""
        done = 0
        while True:
            done = _apply(self.spans, self.columns, self.store.blocks, batch, done, told)
            if done == len(batch.slot):
                return
            self.store.grow_arena()

    def valid_until_ms(self, slots: Ints, at_ms: Ints, out: Ints) -> None:
        """Lower `out` to the first moment at which a tile enters or leaves a window."""
        valid_until(self.spans, self.store.blocks, _WIDTH, (slots, at_ms), out)


def spans_of(features: tuple[Feature, ...], group: list[int]) -> tuple[Spans, list[int]]:
    """Return levels and windows of features, and each feature's window; levels of two groups stay apart."""
    windows = [f.window for f in features if f.window is not None]
    levels = sorted({(g, w.hop_ms) for g, w in zip(group, windows, strict=True)})
    spans = sorted(
        {(levels.index((g, w.hop_ms)), w.reach_ms, w.delay_ms) for g, w in zip(group, windows, strict=True)}
    )
    of = [
        spans.index((levels.index((g, w.hop_ms)), w.reach_ms, w.delay_ms))
        for g, w in zip(group, windows, strict=True)
    ]
    level, reach, delay = (np.array(column, np.int64) for column in zip(*spans, strict=True))
    hop = np.array([hop_ms for _, hop_ms in levels], np.int64)
    keep = np.array([reach[level == i].max() for i in range(len(levels))], np.int64)
    return Spans(hop, keep, level, reach, delay), of


@compiled_part()
def bounds(spans: Spans, w: int, at_ms: int) -> tuple[int, int]:
    """Return the numbers of a window's first tile and of the first one behind it."""
    hop = spans.hop_ms[spans.level[w]]
    delay = spans.delay_ms[w]
    end = (at_ms - delay) // hop if delay > 0 else summary.EVER
    return (at_ms - spans.reach_ms[w]) // hop, end


@compiled_part()
def valid_until(spans: Spans, b: Blocks, width: int, asked: tuple[Ints, Ints], out: Ints) -> None:
    """Lower `out` to the first moment at which a tile of (slots, moments) enters or leaves a window."""
    slots, at_ms = asked
    for r in range(len(slots)):
        for w in range(len(spans.level)):
            level = spans.level[w]
            hop = spans.hop_ms[level]
            if hop == FOREVER_MS:
                continue
            first, end = bounds(spans, w, at_ms[r])
            for i in range(b.used[level, slots[r]]):
                number = b.words[b.at[level, slots[r]] + i * width]
                if first <= number < end:
                    out[r] = min(out[r], (number + 1) * hop + spans.reach_ms[w])
                elif number >= end:
                    out[r] = min(out[r], (number + 1) * hop + spans.delay_ms[w])


@compiled_part()
def _summarise(spans: Spans, b: Blocks, w: int, where: tuple[int, int], into: Ints) -> None:
    """Write the summary of window `w` for (slot, moment)."""
    slot, at_ms = where
    level = spans.level[w]
    first, end = bounds(spans, w, at_ms)
    summary.clear(into, 0)
    at = b.at[level, slot]
    for i in range(b.used[level, slot] - 1, -1, -1):
        number = b.words[at + i * _WIDTH]
        if number < first:
            break
        if number < end:
            summary.merge(into, 0, b.words, at + i * _WIDTH + 1)


@compiled_part()
def _insert(spans: Spans, b: Blocks, slot: int, at_ms: int, time_ms: int, value: int) -> bool:
    """Put a row into its tile of each level that can still see it; say whether there was one."""
    folded = False
    for level in range(len(spans.hop_ms)):
        number = time_ms // spans.hop_ms[level]
        first = (at_ms - spans.keep_ms[level]) // spans.hop_ms[level]
        if number < first:
            continue
        folded = True
        blocks.forget_when_full(b, _WIDTH, level, slot, first)
        i = b.used[level, slot] - 1
        while i >= 0 and b.words[b.at[level, slot] + i * _WIDTH] > number:
            i -= 1
        tile = b.at[level, slot] + i * _WIDTH
        if i < 0 or b.words[tile] != number:
            tile = blocks.open_entry(b, _WIDTH, level, slot, i + 1)
            b.words[tile] = number
            summary.clear(b.words, tile + 1)
        summary.fold(b.words, tile + 1, time_ms, value)
    return folded


@compiled_part()
def _answer(
    spans: Spans, c: Columns, b: Blocks, where: tuple[int, int], current: bool, out: Floats, into: Ints
) -> None:
    """Write the columns that do (or do not) count the current row, for (slot, moment)."""
    window = -1
    for i in range(len(c.op)):
        if c.current[i] != current:
            continue
        if c.window[i] != window:
            window = c.window[i]
            _summarise(spans, b, window, where, into)
        out[i] = summary.finalise(c.op[i], into, 0, where[1])


@compiled_part(nogil=True)
def _apply(spans: Spans, c: Columns, b: Blocks, batch: Batch, begin: int, told: Told) -> int:
    """Fold rows[begin:] in and return how many are done; less than n means that the arena is full."""
    into = np.empty(summary.WORDS, np.int64)
    for r in range(begin, len(batch.slot)):
        slot, at_ms = batch.slot[r], batch.at_ms[r]
        if not blocks.has_room(b, _WIDTH, slot):
            return r
        where = (slot, at_ms)
        _answer(spans, c, b, where, False, told.values[r], into)
        if batch.folds[r]:
            told.late[r] = not _insert(spans, b, slot, at_ms, batch.time_ms[r], batch.value[r])
        _answer(spans, c, b, where, True, told.values[r], into)
    return len(batch.slot)
