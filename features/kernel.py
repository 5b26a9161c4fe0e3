"""The compiled fold: one pass over a batch of rows, in log order, over array state.

A view's state is a set of arrays indexed by a key's slot, and two arenas that hold blocks of tiles and of
items. A tile is a run of integers: [number, count, sum, squares low, squares high, least, greatest], as many
as the aggregations of its level need; its number is time // hop, and a level is one hop. Blocks of a key and
level are kept in order of number, grow by doubling, and drop tiles that no window can see again. Reading
state is bound by memory, so a level carries no word that nobody reads.

Everything here is plain loops over integers; `load/oracle/windows.py` is the definition it must equal.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.aggregations.base import Op
from features.aggregations.distinct import ITEMS_MAX, TWO_POW_MINUS_64
from features.aggregations.std import add, finalise_std, multiply

Ints = NDArray[np.int64]
NEVER = np.iinfo(np.int64).min
NUMBER, COUNT, SUM, SQUARES_LOW, SQUARES_HIGH, LEAST, GREATEST = range(7)
OP_COUNT, OP_SUM, OP_MEAN, OP_STD = int(Op.COUNT), int(Op.SUM), int(Op.MEAN), int(Op.STD)
OP_MIN, OP_LAST, OP_DISTINCT = int(Op.MIN), int(Op.LAST), int(Op.DISTINCT)
BEGIN = NUMBER  # of a window being scanned: the earliest event time in it
CLASSES = 40  # block sizes are 16, 32, 64, ... words of tiles, or 2, 4, 8, ... items
WORDS = 7
ITEMS_NONE, ITEMS_DISTINCT, ITEMS_REPLACE = range(3)
_ANY = np.uint64(0xFFFFFFFFFFFFFFFF)


class Plan(NamedTuple):
    """A view as the kernel reads it."""

    words: Ints  # (levels,) of a tile
    items: int  # ITEMS_*
    hop_ms: Ints  # (levels,)
    keep_ms: Ints  # (levels,) the longest window of the level
    window_level: Ints  # (windows,) windows of a level stand together, shortest first
    window_ms: Ints  # (windows,)
    op: Ints  # (columns,)
    window: Ints  # (columns,) index into windows, -1 for none
    current: NDArray[np.bool_]  # (columns,)
    longest_ms: int


class Slots(NamedTuple):
    """Arrays with one entry a key (the second axis, where there are two)."""

    clock: Ints  # newest event time of any row of the key
    last_ms: Ints  # newest row of this view's own kind
    last_value: Ints
    at: Ints  # (levels + 1, keys) block in the arena; the last level is the items
    size: Ints  # (levels + 1, keys) class of the block, -1 for none
    used: Ints  # (levels + 1, keys) tiles or items in it
    threshold: NDArray[np.uint64]  # items with a hash under it are kept
    passed_ms: Ints  # newest item that was passed over


class Arena(NamedTuple):
    """Blocks of tiles, and of items (hash, time or label)."""

    tiles: Ints  # (capacity,) words
    hashes: NDArray[np.uint64]  # (capacity,)
    marks: Ints  # (capacity, 2): time, value
    free: Ints  # (2, CLASSES) first free block of a class, -1 for none
    top: Ints  # (2,) first entry never used


class Answers(NamedTuple):
    """What the kernel writes, one entry a row."""

    values: NDArray[np.float64]  # (n, columns)
    late: NDArray[np.bool_]  # the row is older than all windows of its view
    at_ms: Ints  # the moment the row was judged at


class Rows(NamedTuple):
    """A batch in log order: which slot, which time moves the clock, and what is folded in."""

    slot: Ints
    clock_ms: Ints
    time_ms: Ints
    value: Ints
    item: NDArray[np.uint64]
    folds: NDArray[np.bool_]  # the row is of the view's own kind


@njit(cache=True)
def _take_block(arena: Arena, which: int, size: int) -> int:
    """Return a block of class `size` from the free list or the unused end."""
    at = arena.free[which, size]
    if at >= 0:
        arena.free[which, size] = arena.tiles[at] if which == 0 else arena.marks[at, 0]
        return int(at)
    at = arena.top[which]
    arena.top[which] = at + ((16 if which == 0 else 2) << size)
    return int(at)


@njit(cache=True)
def _give_block(arena: Arena, which: int, size: int, at: int) -> None:
    if which == 0:
        arena.tiles[at] = arena.free[which, size]
    else:
        arena.marks[at, 0] = arena.free[which, size]
    arena.free[which, size] = at


@njit(cache=True)
def _room_for_tile(plan: Plan, s: Slots, arena: Arena, level: int, slot: int, first: int) -> None:
    """Make room for one more tile: drop those numbered under `first`, or move to a block twice the size."""
    used, size, words = s.used[level, slot], s.size[level, slot], plan.words[level]
    if size < 0:
        s.at[level, slot] = _take_block(arena, 0, 0)
        s.size[level, slot] = 0
        return
    if (used + 1) * words <= 16 << size:
        return
    at = s.at[level, slot]
    dead = 0
    while dead < used and arena.tiles[at + dead * words] < first:
        dead += 1
    if dead > 0:
        for i in range((used - dead) * words):
            arena.tiles[at + i] = arena.tiles[at + dead * words + i]
        s.used[level, slot] = used - dead
        return
    bigger = _take_block(arena, 0, size + 1)
    for i in range(used * words):
        arena.tiles[bigger + i] = arena.tiles[at + i]
    _give_block(arena, 0, size, at)
    s.at[level, slot] = bigger
    s.size[level, slot] = size + 1


@njit(cache=True)
def _fold(tiles: Ints, t: int, words: int, count: int, value: int) -> None:
    """Fold one row into the tile at `t` (count 0 corrects the sum of a row already in it)."""
    tiles[t + COUNT] += count
    if words > SUM:
        tiles[t + SUM] += value
    if words > SQUARES_HIGH and count > 0:
        high, low = multiply(np.uint64(value), np.uint64(value))
        high, low = add(np.uint64(tiles[t + SQUARES_HIGH]), np.uint64(tiles[t + SQUARES_LOW]), high, low)
        tiles[t + SQUARES_HIGH] = np.int64(high)
        tiles[t + SQUARES_LOW] = np.int64(low)
    if words > GREATEST and count > 0:
        tiles[t + LEAST] = min(tiles[t + LEAST], value)
        tiles[t + GREATEST] = max(tiles[t + GREATEST], value)


@njit(cache=True)
def _open_tile(plan: Plan, s: Slots, arena: Arena, level: int, slot: int, i: int, number: int) -> None:
    """Move the tiles from `i` on up by one and begin an empty one there; there is room."""
    words, tiles = plan.words[level], arena.tiles
    at = s.at[level, slot]
    for j in range((s.used[level, slot] + 1) * words - 1, (i + 1) * words - 1, -1):
        tiles[at + j] = tiles[at + j - words]
    s.used[level, slot] += 1
    for word in range(words):
        tiles[at + i * words + word] = 0
    if words > GREATEST:
        tiles[at + i * words + LEAST] = np.iinfo(np.int64).max
        tiles[at + i * words + GREATEST] = NEVER
    tiles[at + i * words] = number


@njit(cache=True)
def _insert(plan: Plan, s: Slots, arena: Arena, slot: int, at_ms: int, row: tuple[int, int, int]) -> None:
    """Put a row (time, count, value) into its tile of each level that can still see it."""
    time_ms, count, value = row
    for level in range(len(plan.hop_ms)):
        words = plan.words[level]
        number = time_ms // plan.hop_ms[level]
        first = (at_ms - plan.keep_ms[level]) // plan.hop_ms[level]
        if number < first:
            continue
        i = s.used[level, slot] - 1
        while i >= 0 and arena.tiles[s.at[level, slot] + i * words] > number:
            i -= 1
        if i < 0 or arena.tiles[s.at[level, slot] + i * words] != number:
            before = s.used[level, slot]
            _room_for_tile(plan, s, arena, level, slot, first)
            i += 1 - (before - s.used[level, slot])
            _open_tile(plan, s, arena, level, slot, i, number)
        _fold(arena.tiles, s.at[level, slot] + i * words, words, count, value)


@njit(cache=True)
def _scan(plan: Plan, s: Slots, arena: Arena, slot: int, at_ms: int, windows: Ints) -> None:
    """Fill `windows` (windows, WORDS) with what each window holds before the row.

    Windows of a level stand together, shortest first, so one walk from the newest tile back fills them all.
    """
    tiles = arena.tiles
    level, t, words = -1, -1, 0
    count, total, least, greatest = 0, 0, 0, 0
    high, low = np.uint64(0), np.uint64(0)
    for w in range(len(plan.window_ms)):
        if plan.window_level[w] != level:
            level = plan.window_level[w]
            words = plan.words[level]
            t = s.at[level, slot] + (s.used[level, slot] - 1) * words
            count, total, least, greatest = 0, 0, np.iinfo(np.int64).max, NEVER
            high, low = np.uint64(0), np.uint64(0)
        first = (at_ms - plan.window_ms[w]) // plan.hop_ms[level]
        windows[w, BEGIN] = first * plan.hop_ms[level]
        while t >= s.at[level, slot] and tiles[t] >= first:
            count += tiles[t + COUNT]
            if words > SUM:
                total += tiles[t + SUM]
            if words > SQUARES_HIGH:
                more_high, more_low = np.uint64(tiles[t + SQUARES_HIGH]), np.uint64(tiles[t + SQUARES_LOW])
                high, low = add(high, low, more_high, more_low)
            if words > GREATEST:
                least = min(least, tiles[t + LEAST])
                greatest = max(greatest, tiles[t + GREATEST])
            t -= words
        windows[w, COUNT] = count
        if words > SUM:
            windows[w, SUM] = total
        if words > SQUARES_HIGH:
            windows[w, SQUARES_LOW], windows[w, SQUARES_HIGH] = np.int64(low), np.int64(high)
        if words > GREATEST:
            windows[w, LEAST], windows[w, GREATEST] = least, greatest


@njit(cache=True)
def _forget(s: Slots, arena: Arena, level: int, slot: int, oldest_ms: int) -> None:
    """Drop the items that no window can see any more."""
    at, kept = s.at[level, slot], 0
    for i in range(s.used[level, slot]):
        if arena.marks[at + i, 0] >= oldest_ms:
            arena.hashes[at + kept] = arena.hashes[at + i]
            arena.marks[at + kept, 0], arena.marks[at + kept, 1] = (
                arena.marks[at + i, 0],
                arena.marks[at + i, 1],
            )
            kept += 1
    s.used[level, slot] = kept


@njit(cache=True)
def _room_for_item(s: Slots, arena: Arena, level: int, slot: int, oldest_ms: int) -> None:
    """Make room for one more item: forget those older than `oldest_ms`, or move to a bigger block."""
    if s.size[level, slot] < 0:
        s.at[level, slot] = _take_block(arena, 1, 0)
        s.size[level, slot] = 0
        return
    size = s.size[level, slot]
    if s.used[level, slot] < 2 << size:
        return
    _forget(s, arena, level, slot, oldest_ms)
    used, at = s.used[level, slot], s.at[level, slot]
    if used < 2 << size:
        return
    bigger = _take_block(arena, 1, size + 1)
    for i in range(used):
        arena.hashes[bigger + i] = arena.hashes[at + i]
        arena.marks[bigger + i, 0], arena.marks[bigger + i, 1] = (
            arena.marks[at + i, 0],
            arena.marks[at + i, 1],
        )
    _give_block(arena, 1, size, at)
    s.at[level, slot] = bigger
    s.size[level, slot] = size + 1


@njit(cache=True)
def _see(
    s: Slots, arena: Arena, level: int, slot: int, item: np.uint64, time_ms: int, oldest_ms: int
) -> None:
    """Note a sighting of a distinct item; see `features.aggregations.distinct` for the rule."""
    if s.threshold[slot] != _ANY and s.passed_ms[slot] < oldest_ms:
        s.threshold[slot] = _ANY
    if item >= s.threshold[slot] and s.threshold[slot] != _ANY:
        s.passed_ms[slot] = max(s.passed_ms[slot], time_ms)
        return
    at = s.at[level, slot]
    for i in range(s.used[level, slot]):
        if arena.hashes[at + i] == item:
            arena.marks[at + i, 0] = max(arena.marks[at + i, 0], time_ms)
            return
    if s.used[level, slot] >= ITEMS_MAX:
        _forget(s, arena, level, slot, oldest_ms)
    used = s.used[level, slot]
    if used >= ITEMS_MAX:
        greatest = 0
        for i in range(used):
            if arena.hashes[at + i] > arena.hashes[at + greatest]:
                greatest = i
        if arena.hashes[at + greatest] <= item:
            s.threshold[slot] = item
            s.passed_ms[slot] = max(s.passed_ms[slot], time_ms)
            return
        s.threshold[slot] = arena.hashes[at + greatest]
        s.passed_ms[slot] = max(s.passed_ms[slot], arena.marks[at + greatest, 0])
        arena.hashes[at + greatest] = item
        arena.marks[at + greatest, 0] = time_ms
        return
    _room_for_item(s, arena, level, slot, oldest_ms)
    at, used = s.at[level, slot], s.used[level, slot]
    arena.hashes[at + used] = item
    arena.marks[at + used, 0] = time_ms
    arena.marks[at + used, 1] = 0
    s.used[level, slot] = used + 1


@njit(cache=True)
def _replace(
    s: Slots, arena: Arena, level: int, slot: int, item: np.uint64, time_ms: int, value: int, oldest_ms: int
) -> tuple[int, int, int]:
    """Return the (time, count, value) to fold for a row that may replace an earlier one of its item.

    The first row of an item counts; a later one changes the value in the tile that holds the first.
    """
    at = s.at[level, slot]
    for i in range(s.used[level, slot]):
        if arena.hashes[at + i] == item and arena.marks[at + i, 0] >= oldest_ms:
            change = value - arena.marks[at + i, 1]
            arena.marks[at + i, 1] = value
            return arena.marks[at + i, 0], 0, change
    _room_for_item(s, arena, level, slot, oldest_ms)
    at, used = s.at[level, slot], s.used[level, slot]
    arena.hashes[at + used] = item
    arena.marks[at + used, 0] = time_ms
    arena.marks[at + used, 1] = value
    s.used[level, slot] = used + 1
    return time_ms, 1, value


@njit(cache=True)
def _distinct(plan: Plan, s: Slots, arena: Arena, slot: int, begin_ms: int) -> float:
    """Return how many items were seen since `begin_ms`: a count, or an estimate past the bound."""
    level = len(plan.hop_ms)
    at, seen = s.at[level, slot], 0
    for i in range(s.used[level, slot]):
        if arena.marks[at + i, 0] >= begin_ms:
            seen += 1
    if s.threshold[slot] == _ANY:
        return float(seen)
    return float(seen) / (float(s.threshold[slot]) * TWO_POW_MINUS_64)


@njit(cache=True)
def _value(op: int, windows: Ints, w: int, count: int, value: int) -> float:
    """Finalise a window with one more row (none when `count` is -1); the formulas are the pages'."""
    n = windows[w, COUNT] + max(count, 0)
    if op == OP_COUNT:
        return float(n)
    total = windows[w, SUM] + (value if count >= 0 else 0)
    if op == OP_SUM:
        return float(total)
    if n == 0:
        return np.nan
    if op == OP_MEAN:
        return float(total) / float(n)
    if op == OP_STD:
        high, low = np.uint64(windows[w, SQUARES_HIGH]), np.uint64(windows[w, SQUARES_LOW])
        if count > 0:
            square_high, square_low = multiply(np.uint64(value), np.uint64(value))
            high, low = add(high, low, square_high, square_low)
        return finalise_std(n, total, low, high)
    if op == OP_MIN:
        return float(min(windows[w, LEAST], value) if count > 0 else windows[w, LEAST])
    return float(max(windows[w, GREATEST], value) if count > 0 else windows[w, GREATEST])


@njit(cache=True)
def _last(plan: Plan, s: Slots, slot: int, at_ms: int, want_value: bool) -> float:
    """Return the newest value or the time since it; null past the longest window."""
    if s.last_ms[slot] == NEVER or at_ms - s.last_ms[slot] > plan.longest_ms:
        return np.nan
    return float(s.last_value[slot]) if want_value else float(at_ms - s.last_ms[slot])


@njit(cache=True)
def _oldest(plan: Plan, at_ms: int) -> int:
    """Return the earliest event time that any window at `at_ms` can see."""
    oldest = at_ms
    for level in range(len(plan.hop_ms)):
        hop = plan.hop_ms[level]
        oldest = min(oldest, (at_ms - plan.keep_ms[level]) // hop * hop)
    return oldest


@njit(cache=True)
def _has_room(plan: Plan, s: Slots, arena: Arena, slot: int) -> bool:
    """Say whether one more row of `slot` fits, whatever blocks it may need."""
    levels = len(plan.hop_ms)
    need = 0
    for level in range(levels):
        need += 16 << (s.size[level, slot] + 1)
    if arena.top[0] + need > len(arena.tiles):
        return False
    return bool(arena.top[1] + (4 << (s.size[levels, slot] + 1)) <= len(arena.hashes))


@njit(cache=True)
def _answer(
    plan: Plan,
    s: Slots,
    arena: Arena,
    slot: int,
    at_ms: int,
    windows: Ints,
    row: tuple[int, int, int],
    out: NDArray[np.float64],
    r: int,
) -> None:
    """Write the columns of row `r`, itself counted where declared; its count is -1 when it is not folded."""
    for c in range(len(plan.op)):
        op, w = plan.op[c], plan.window[c]
        if w < 0:
            if plan.current[c] and row[1] >= 0 and row[0] >= s.last_ms[slot]:
                out[r, c] = float(row[2]) if op == OP_LAST else float(at_ms - row[0])
            else:
                out[r, c] = _last(plan, s, slot, at_ms, op == OP_LAST)
            continue
        if op == OP_DISTINCT:
            out[r, c] = _distinct(plan, s, arena, slot, windows[w, BEGIN])
        else:
            counted = plan.current[c] and row[0] >= windows[w, BEGIN]
            out[r, c] = _value(op, windows, w, row[1] if counted else -1, row[2])


@njit(cache=True, nogil=True)
def apply(plan: Plan, s: Slots, arena: Arena, rows: Rows, begin: int, answers: Answers) -> int:
    """Fold rows[begin:] in and write each row's as-of values; stop early when an arena may be full.

    Returns:
        The number of rows done in all; less than n means: grow the arenas and call again from there.
    """
    windows = np.empty((len(plan.window_ms), WORDS), np.int64)
    levels = len(plan.hop_ms)
    for r in range(begin, len(rows.slot)):
        slot = rows.slot[r]
        if not _has_room(plan, s, arena, slot):
            return r
        at_ms = max(s.clock[slot], rows.clock_ms[r])
        s.clock[slot] = at_ms
        answers.at_ms[r] = at_ms
        oldest_ms = _oldest(plan, at_ms)
        folds = rows.folds[r] and rows.time_ms[r] >= oldest_ms
        answers.late[r] = rows.folds[r] and not folds
        row = (rows.time_ms[r], 1 if folds else -1, rows.value[r])
        if folds and plan.items == ITEMS_REPLACE:
            row = _replace(s, arena, levels, slot, rows.item[r], row[0], row[2], oldest_ms)
        elif folds and plan.items == ITEMS_DISTINCT:
            _see(s, arena, levels, slot, rows.item[r], rows.time_ms[r], oldest_ms)
        _scan(plan, s, arena, slot, at_ms, windows)
        _answer(plan, s, arena, slot, at_ms, windows, row, answers.values, r)
        if folds:
            _insert(plan, s, arena, slot, at_ms, row)
            if rows.time_ms[r] >= s.last_ms[slot]:
                s.last_ms[slot] = rows.time_ms[r]
                s.last_value[slot] = rows.value[r]
    return len(rows.slot)


@njit(cache=True, nogil=True)
def at(plan: Plan, s: Slots, arena: Arena, slots: Ints, now_ms: Ints, values: NDArray[np.float64]) -> None:
    """Write the values of each slot as of a moment, all rows so far counted; changes nothing."""
    windows = np.empty((len(plan.window_ms), WORDS), np.int64)
    for r in range(len(slots)):
        at_ms = max(s.clock[slots[r]], now_ms[r])
        _scan(plan, s, arena, slots[r], at_ms, windows)
        _answer(plan, s, arena, slots[r], at_ms, windows, (NEVER, -1, 0), values, r)


@njit(cache=True, nogil=True)
def valid_until(plan: Plan, s: Slots, arena: Arena, slots: Ints, now_ms: Ints, out: Ints) -> None:
    """Lower `out` to the first moment at which a tile leaves a window or the last row is forgotten.

    A distinct item or a replaced one never leaves a window before the tile of its newest row does.
    """
    for r in range(len(slots)):
        slot = slots[r]
        at_ms = max(s.clock[slot], now_ms[r])
        if s.last_ms[slot] != NEVER and at_ms - s.last_ms[slot] <= plan.longest_ms and _has_last(plan):
            out[r] = min(out[r], s.last_ms[slot] + plan.longest_ms + 1)
        for w in range(len(plan.window_ms)):
            level, length = plan.window_level[w], plan.window_ms[w]
            hop, words, begin = plan.hop_ms[level], plan.words[level], s.at[level, slot]
            first = (at_ms - length) // hop
            for i in range(s.used[level, slot]):
                if arena.tiles[begin + i * words] >= first:
                    out[r] = min(out[r], (arena.tiles[begin + i * words] + 1) * hop + length)
                    break


@njit(cache=True)
def _has_last(plan: Plan) -> bool:
    """Say whether a column tells of the newest row."""
    return bool((plan.window < 0).any())


@njit(cache=True)
def packed_words(plan: Plan, s: Slots, slots: Ints) -> Ints:
    """Return how many words `pack` needs for each slot."""
    levels = len(plan.hop_ms)
    out = np.empty(len(slots), np.int64)
    for i in range(len(slots)):
        out[i] = 6 + levels + 3 * s.used[levels, slots[i]]
        for level in range(levels):
            out[i] += plan.words[level] * s.used[level, slots[i]]
    return out


@njit(cache=True)
def pack(plan: Plan, s: Slots, arena: Arena, slots: Ints, out: Ints, offsets: Ints) -> None:
    """Write each slot's state at its offset: five numbers, the items, then each level's tiles."""
    levels = len(plan.hop_ms)
    for i in range(len(slots)):
        slot, o = slots[i], offsets[i]
        out[o], out[o + 1], out[o + 2] = s.clock[slot], s.last_ms[slot], s.last_value[slot]
        out[o + 3], out[o + 4] = np.int64(s.threshold[slot]), s.passed_ms[slot]
        out[o + 5] = s.used[levels, slot]
        o += 6
        at = s.at[levels, slot]
        for j in range(s.used[levels, slot]):
            out[o] = np.int64(arena.hashes[at + j])
            out[o + 1], out[o + 2] = arena.marks[at + j, 0], arena.marks[at + j, 1]
            o += 3
        for level in range(levels):
            out[o] = s.used[level, slot]
            o += 1
            at = s.at[level, slot]
            for j in range(s.used[level, slot] * plan.words[level]):
                out[o] = arena.tiles[at + j]
                o += 1


@njit(cache=True)
def unpack(plan: Plan, s: Slots, arena: Arena, slots: Ints, data: Ints, offsets: Ints) -> int:
    """Read what `pack` wrote, moving `offsets` behind it; stop early like `apply` when an arena is full."""
    levels = len(plan.hop_ms)
    for i in range(len(slots)):
        slot, o = slots[i], offsets[i]
        items = data[o + 5]
        if arena.top[1] + 2 * items + 4 > len(arena.hashes):
            return i
        tiles, at = 0, o + 6 + 3 * items
        for level in range(levels):
            tiles += 2 * plan.words[level] * data[at] + 16
            at += 1 + plan.words[level] * data[at]
        if arena.top[0] + tiles > len(arena.tiles):
            return i
        s.clock[slot], s.last_ms[slot], s.last_value[slot] = data[o], data[o + 1], data[o + 2]
        s.threshold[slot], s.passed_ms[slot] = np.uint64(data[o + 3]), data[o + 4]
        o += 6
        at = _block_of(s, arena, 1, levels, slot, (items, 1))
        for j in range(items):
            arena.hashes[at + j] = np.uint64(data[o])
            arena.marks[at + j, 0], arena.marks[at + j, 1] = data[o + 1], data[o + 2]
            o += 3
        for level in range(levels):
            count = data[o]
            o += 1
            at = _block_of(s, arena, 0, level, slot, (count, plan.words[level]))
            for j in range(count * plan.words[level]):
                arena.tiles[at + j] = data[o]
                o += 1
        offsets[i] = o
    return len(slots)


@njit(cache=True)
def _block_of(s: Slots, arena: Arena, which: int, level: int, slot: int, need: tuple[int, int]) -> int:
    """Give a slot a block for (count, words each), and return where it is."""
    count, words = need
    if s.size[level, slot] >= 0:
        _give_block(arena, which, s.size[level, slot], s.at[level, slot])
    s.used[level, slot] = count
    s.size[level, slot] = -1
    if count == 0:
        return 0
    size = 0
    while (16 if which == 0 else 2) << size < count * words:
        size += 1
    s.size[level, slot] = size
    s.at[level, slot] = _take_block(arena, which, size)
    return int(s.at[level, slot])
