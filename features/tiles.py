"""Tiles of a record: fold a row into the tile it belongs to, and walk tiles to fill windows."""

import numpy as np

from features.aggregations.std import add, square
from features.compiled import compiled
from features.records import (
    COUNT_BITS,
    COUNT_MASK,
    GREATEST,
    HOP,
    LEAST,
    NEVER,
    SQUARES,
    SUM,
    TILE_WORDS,
    Arena,
    Ints,
    Plan,
    capacity,
    enlarge,
    section_at,
    set_used,
    used,
)

EVER = np.iinfo(np.int64).max
# what a window holds, as `scan` fills it: the earliest event time in it, then its integers
BEGIN, W_COUNT, W_SUM, W_LOW, W_HIGH, W_LEAST, W_GREATEST, WINDOW_WORDS = range(8)


@compiled
def insert(plan: Plan, at: Ints, arena: Arena, slot: int, firsts: Ints, row: tuple[int, int, int]) -> None:
    """Put a row (time, count, value) into its tile of each level that can still see it.

    `firsts` (levels,) are the numbers of the oldest tiles that are still seen.
    """
    time_ms, count, value = row
    words = arena.words
    begin = section_at(plan, words, at[slot], 0)
    for level in range(len(plan.levels)):
        size = plan.levels[level, TILE_WORDS]
        t = begin + (used(words, at[slot], level) - 1) * size
        number = _number(words, t, begin, time_ms, plan.levels[level, HOP])
        if number >= firsts[level]:
            while t >= begin and words[t] >> COUNT_BITS > number:
                t -= size
            if t < begin or words[t] >> COUNT_BITS != number:
                t = _open_tile(plan, at, arena, (slot, level, t - begin), (number, firsts[level]))
                begin = section_at(plan, words, at[slot], level)
            _fold(plan, words, t, level, count, value)
        begin += capacity(words, at[slot], level) * size


@compiled
def _number(words: Ints, newest: int, begin: int, time_ms: int, hop_ms: int) -> int:
    """Return the tile number of a time; a division is only needed outside the newest tile."""
    if newest >= begin:
        number = words[newest] >> COUNT_BITS
        if number * hop_ms <= time_ms < (number + 1) * hop_ms:
            return int(number)
    return time_ms // hop_ms


@compiled
def _open_tile(
    plan: Plan, at: Ints, arena: Arena, place: tuple[int, int, int], numbers: tuple[int, int]
) -> int:
    """Begin an empty tile after the one at `place` (slot, level, offset); return where it is.

    `numbers` are the new tile's and that of the oldest that is still seen.
    """
    slot, level, offset = place
    words, size = arena.words, plan.levels[level, TILE_WORDS]
    if used(words, at[slot], level) == capacity(words, at[slot], level):
        offset -= _drop_dead(plan, words, at[slot], level, numbers[1]) * size
        if used(words, at[slot], level) == capacity(words, at[slot], level):
            enlarge(plan, at, arena, slot)
    a = at[slot]
    t = section_at(plan, words, a, level) + offset + size
    count = used(words, a, level)
    for word in range(section_at(plan, words, a, level) + count * size - 1, t - 1, -1):
        words[word + size] = words[word]
    for word in range(size):
        words[t + word] = 0
    words[t] = numbers[0] << COUNT_BITS
    if plan.levels[level, LEAST]:
        words[t + plan.levels[level, LEAST]] = EVER
    if plan.levels[level, GREATEST]:
        words[t + plan.levels[level, GREATEST]] = NEVER
    set_used(words, a, level, count + 1)
    return int(t)


@compiled
def dead_tiles(plan: Plan, words: Ints, a: int, level: int, first: int) -> int:
    """Return how many of a level's tiles are numbered under `first`: no window sees them any more."""
    begin, size, count = (
        section_at(plan, words, a, level),
        plan.levels[level, TILE_WORDS],
        used(words, a, level),
    )
    dead = 0
    while dead < count and words[begin + dead * size] >> COUNT_BITS < first:
        dead += 1
    return dead


@compiled
def _drop_dead(plan: Plan, words: Ints, a: int, level: int, first: int) -> int:
    """Drop the tiles that no window sees any more; return how many."""
    begin, size, count = (
        section_at(plan, words, a, level),
        plan.levels[level, TILE_WORDS],
        used(words, a, level),
    )
    dead = dead_tiles(plan, words, a, level, first)
    if dead:
        for word in range(begin, begin + (count - dead) * size):
            words[word] = words[word + dead * size]
        set_used(words, a, level, count - dead)
    return dead


@compiled
def _fold(plan: Plan, words: Ints, t: int, level: int, count: int, value: int) -> None:
    """Fold one row into the tile at `t` (count 0 corrects the sum of a row already in it)."""
    words[t] += count
    if plan.levels[level, SUM]:
        words[t + plan.levels[level, SUM]] += value
    if count == 0:
        return
    squares, least, greatest = (
        plan.levels[level, SQUARES],
        plan.levels[level, LEAST],
        plan.levels[level, GREATEST],
    )
    if squares:
        high, low = square(value)
        low_before, high_before = np.uint64(words[t + squares]), np.uint64(words[t + squares + 1])
        high, low = add(high_before, low_before, high, low)
        words[t + squares], words[t + squares + 1] = np.int64(low), np.int64(high)
    if least:
        words[t + least] = min(words[t + least], value)
    if greatest:
        words[t + greatest] = max(words[t + greatest], value)


@compiled
def scan(plan: Plan, words: Ints, a: int, at_ms: int, windows: Ints, firsts: Ints) -> None:
    """Fill `windows` (windows, WINDOW_WORDS) with what each holds at a moment, and `firsts` (levels,).

    Windows of a level stand together, shortest first, so one walk from the newest tile back fills them all.
    The record may be none (a < 0): then every window is empty.
    """
    level, t, size, begin, end = -1, 0, 1, 0, 0
    if a >= 0:
        end = section_at(plan, words, a, 0)
    for w in range(len(plan.windows)):
        if plan.windows[w, 0] != level:
            level = plan.windows[w, 0]
            size = plan.levels[level, TILE_WORDS]
            begin = end
            t = begin - size
            if a >= 0:
                t += used(words, a, level) * size
                end = begin + capacity(words, a, level) * size
            _empty(windows, w)
        else:
            for word in range(W_COUNT, WINDOW_WORDS):
                windows[w, word] = windows[w - 1, word]
        hop = plan.levels[level, HOP]
        first = (at_ms - plan.windows[w, 1]) // hop
        windows[w, BEGIN] = first * hop
        firsts[level] = first
        t = _walk(plan, words, (t, begin, level), first, windows, w)


@compiled
def _empty(windows: Ints, w: int) -> None:
    windows[w, W_COUNT], windows[w, W_SUM], windows[w, W_LOW], windows[w, W_HIGH] = 0, 0, 0, 0
    windows[w, W_LEAST], windows[w, W_GREATEST] = EVER, NEVER


@compiled
def _walk(plan: Plan, words: Ints, place: tuple[int, int, int], first: int, windows: Ints, w: int) -> int:
    """Add tiles to a window, from `place` (tile, the level's begin, level) back to number `first`."""
    t, begin, level = place
    size, bound = plan.levels[level, TILE_WORDS], first << COUNT_BITS
    part, squares = plan.levels[level, SUM], plan.levels[level, SQUARES]
    least_part, greatest_part = plan.levels[level, LEAST], plan.levels[level, GREATEST]
    count, total = windows[w, W_COUNT], windows[w, W_SUM]
    high, low = np.uint64(windows[w, W_HIGH]), np.uint64(windows[w, W_LOW])
    least, greatest = windows[w, W_LEAST], windows[w, W_GREATEST]
    while t >= begin and words[t] >= bound:
        count += words[t] & COUNT_MASK
        if part:
            total += words[t + part]
        if squares:
            high, low = add(high, low, np.uint64(words[t + squares + 1]), np.uint64(words[t + squares]))
        if least_part:
            least = min(least, words[t + least_part])
        if greatest_part:
            greatest = max(greatest, words[t + greatest_part])
        t -= size
    windows[w, W_COUNT], windows[w, W_SUM] = count, total
    windows[w, W_HIGH], windows[w, W_LOW] = np.int64(high), np.int64(low)
    windows[w, W_LEAST], windows[w, W_GREATEST] = least, greatest
    return int(t)
