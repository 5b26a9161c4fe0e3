"""A record as bytes and back: for the changelog, the online store and copies.

Whole numbers are varints (seven bits a byte, lowest first), signed ones zig-zag; times and tile numbers are
differences from the one before. Only what a window can still see is written, so that equal states of a key
give equal bytes but for the order of items. A tile of one row holds that row's value once.

Layout of a view: 0 for a key that holds nothing, else clock + 1; newest row (0, or 1 + its age, then its
value); threshold (0, or 1, 8 bytes, newest mark passed over as an age); how many tiles each level has, how
many items there are; tiles, newest first; items.
"""

import numpy as np
from numpy.typing import NDArray

from features.aggregations.std import square
from features.compiled import compiled
from features.items import items_at
from features.records import (
    ANY,
    CLOCK,
    COUNT_BITS,
    COUNT_MASK,
    GREATEST,
    HOP,
    ITEMS_REPLACE,
    KEEP,
    LAST_MS,
    LAST_VALUE,
    LEAST,
    NEVER,
    PASSED,
    SECTIONS,
    SQUARES,
    SUM,
    THRESHOLD,
    TILE_WORDS,
    Arena,
    Ints,
    Plan,
    Scratch,
    capacity,
    drop,
    has_room,
    new_record,
    oldest_beside,
    section_at,
    set_used,
    used,
)
from features.tiles import dead_tiles

Bytes = NDArray[np.uint8]
_7 = np.uint64(7)
_63 = 63
_1 = np.uint64(1)
_WHOLE_MAX = 2.0**53
MALFORMED = -1


@compiled
def put(data: Bytes, o: int, number: int) -> int:
    """Write a number's 64 bits as a varint; return where it ends."""
    rest = np.uint64(number)
    while rest > np.uint64(127):
        data[o] = np.uint8(rest & np.uint64(127)) | np.uint8(128)
        rest >>= _7
        o += 1
    data[o] = np.uint8(rest)
    return o + 1


@compiled
def put_signed(data: Bytes, o: int, number: int) -> int:
    """Write a number of either sign, small ones short; return where it ends."""
    return put(data, o, (number << 1) ^ (number >> _63))


@compiled
def put_word(data: Bytes, o: int, word: int) -> int:
    """Write 8 bytes, lowest first; return where they end."""
    rest = np.uint64(word)
    for i in range(8):
        data[o + i] = np.uint8(rest & np.uint64(255))
        rest >>= np.uint64(8)
    return o + 8


@compiled
def get(data: Bytes, o: int) -> tuple[int, int]:
    """Return the number at `o`, and where it ends; 0 and a place behind the data when it is cut."""
    number, shift, end = np.uint64(0), np.uint64(0), len(data)
    while o < end and data[o] > 127:
        number |= np.uint64(data[o] & 127) << shift
        shift += _7
        o += 1
    if o >= end:
        return 0, end + 1
    return int(np.int64(number | np.uint64(data[o]) << shift)), o + 1


@compiled
def get_signed(data: Bytes, o: int) -> tuple[int, int]:
    """Return the number that `put_signed` wrote at `o`, and where it ends."""
    number, o = get(data, o)
    return int(np.int64(np.uint64(number) >> _1)) ^ -(number & 1), o


@compiled
def get_word(data: Bytes, o: int) -> tuple[int, int]:
    """Return the 8 bytes at `o` as a word, and where they end; 0 and a place behind the data when cut."""
    if o + 8 > len(data):
        return 0, len(data) + 1
    word = np.uint64(0)
    for i in range(8):
        word |= np.uint64(data[o + i]) << np.uint64(8 * i)
    return int(np.int64(word)), o + 8


@compiled
def bounds(plan: Plan, at: Ints, words: Ints, slots: Ints, out: Ints) -> None:
    """Write bytes that are enough for each slot: ten a word, and some for the head."""
    levels = len(plan.levels)
    for i in range(len(slots)):
        a = at[slots[i]]
        out[i] = 1
        if a >= 0:
            out[i] = 10 * (levels + 8) + 40 * used(words, a, levels)
            for level in range(levels):
                out[i] += 10 * (plan.levels[level, TILE_WORDS] + 1) * used(words, a, level)


@compiled
def pack(plan: Plan, at: Ints, words: Ints, slots: Ints, data: Bytes, offsets: Ints) -> None:
    """Write each slot's record at its offset, and move the offset behind it."""
    levels = len(plan.levels)
    for i in range(len(slots)):
        a, o = at[slots[i]], offsets[i]
        if a < 0:
            offsets[i] = put(data, o, 0)
            continue
        clock = words[a + CLOCK]
        o = _put_head(plan, words, a, data, o)
        counts, oldest = o, min(clock, oldest_beside(plan, clock))
        for level in range(levels):
            hop = plan.levels[level, HOP]
            first = (clock - plan.levels[level, KEEP]) // hop
            oldest = min(oldest, first * hop)
            o = put(data, o, _live_tiles(plan, words, a, level, first))
        o = put(data, o, _live_items(plan, words, a, oldest // plan.unit_ms))
        for level in range(levels):
            count, counts = get(data, counts)
            o = _put_tiles(plan, words, a, level, count, data, o)
        offsets[i] = _put_items(plan, words, a, oldest // plan.unit_ms, data, o)


@compiled
def _put_head(plan: Plan, words: Ints, a: int, data: Bytes, o: int) -> int:
    clock = words[a + CLOCK]
    o = put(data, o, clock + 1)
    if words[a + LAST_MS] == NEVER:
        o = put(data, o, 0)
    else:
        o = put(data, o, 1 + clock - words[a + LAST_MS])
        o = put_signed(data, o, words[a + LAST_VALUE])
    if np.uint64(words[a + THRESHOLD]) == ANY:
        return put(data, o, 0)
    o = put(data, o, 1)
    o = put_word(data, o, words[a + THRESHOLD])
    return put_signed(data, o, clock // plan.unit_ms - words[a + PASSED])


@compiled
def _live_tiles(plan: Plan, words: Ints, a: int, level: int, first: int) -> int:
    return used(words, a, level) - dead_tiles(plan, words, a, level, first)


@compiled
def _live_items(plan: Plan, words: Ints, a: int, oldest: int) -> int:
    halves = words.view(np.uint32)
    _, m, _ = items_at(plan, words, a)
    live = 0
    for i in range(m, m + used(words, a, len(plan.levels))):
        live += halves[i] >= oldest
    return live


@compiled
def _is_short(plan: Plan, level: int, count: int) -> bool:
    """Say whether a tile's sum tells all of it: of one row, which no later row replaces."""
    return bool(count == 1 and plan.levels[level, SUM] and plan.items != ITEMS_REPLACE)


@compiled
def _put_tiles(plan: Plan, words: Ints, a: int, level: int, count: int, data: Bytes, o: int) -> int:
    begin, size = section_at(plan, words, a, level), plan.levels[level, TILE_WORDS]
    squares, least, greatest = (
        plan.levels[level, SQUARES],
        plan.levels[level, LEAST],
        plan.levels[level, GREATEST],
    )
    number = words[a + CLOCK] // plan.levels[level, HOP]
    newest = begin + (used(words, a, level) - 1) * size
    for t in range(newest, newest - count * size, -size):
        rows = words[t] & COUNT_MASK
        o = put(data, o, number - (words[t] >> COUNT_BITS))
        o = put(data, o, rows)
        number = words[t] >> COUNT_BITS
        if plan.levels[level, SUM]:
            o = put_signed(data, o, words[t + plan.levels[level, SUM]])
        if _is_short(plan, level, rows):
            continue
        if squares:
            o = put(data, o, words[t + squares])
            o = put(data, o, words[t + squares + 1])
        if least:
            o = put_signed(data, o, words[t + least])
        if greatest:
            o = put_signed(data, o, words[t + greatest])
    return o


@compiled
def _put_items(plan: Plan, words: Ints, a: int, oldest: int, data: Bytes, o: int) -> int:
    halves = words.view(np.uint32)
    h, m, v = items_at(plan, words, a)
    newest, room = words[a + CLOCK] // plan.unit_ms, capacity(words, a, len(plan.levels))
    for i in range(used(words, a, len(plan.levels))):
        if halves[m + i] >= oldest:
            o = put_word(data, o, words[h + i])
            o = put_signed(data, o, newest - np.int64(halves[m + i]))
            if plan.items == ITEMS_REPLACE:
                o = put_signed(data, o, words[v + i])
                o = put_signed(data, o, words[a + CLOCK] - words[v + room + i])
    return o


@compiled
def unpack(
    plan: Plan, at: Ints, arena: Arena, slots: Ints, packed: tuple[Bytes, Ints], begin: int, scratch: Scratch
) -> int:
    """Read what `pack` wrote for slots[begin:], from data and offsets, which move behind it.

    Returns:
        The number of slots done in all; less than n means: grow the arena and call again from there.
        MALFORMED when a record says that it holds more than there are bytes.
    """
    levels = len(plan.levels)
    data, offsets = packed
    counts, head = arena.capacities, scratch.head
    for i in range(begin, len(slots)):
        o = _get_head(plan, head, data, offsets[i])
        if o < 0:
            drop(plan, at, arena, slots[i])
            offsets[i] += 1
            continue
        need = 64
        for section in range(levels + 1):
            counts[section], o = get(data, o)
            if counts[section] < 0 or counts[section] > len(data) - o:  # each takes a byte at least
                return MALFORMED
            need += 3 * counts[section] * (plan.levels[section, TILE_WORDS] if section < levels else 4)
        if not has_room(arena) or arena.marks[0] + need > len(arena.words):
            return i
        drop(plan, at, arena, slots[i])
        a = new_record(plan, at, arena, slots[i])
        for word in range(SECTIONS):
            arena.words[a + word] = head[word]
        for level in range(levels):
            o = _get_tiles(plan, arena.words, a, (level, counts[level]), data, o)
        offsets[i] = _get_items(plan, arena.words, a, counts[levels], data, o)
    return len(slots)


@compiled
def _get_head(plan: Plan, head: Ints, data: Bytes, o: int) -> int:
    """Read the first words of a record; return where they end, -1 when the key holds nothing."""
    clock, o = get(data, o)
    if clock == 0:
        return -1
    clock -= 1
    head[CLOCK], head[LAST_MS], head[LAST_VALUE] = clock, NEVER, 0
    head[THRESHOLD], head[PASSED] = np.int64(ANY), NEVER
    age, o = get(data, o)
    if age:
        head[LAST_MS] = clock - (age - 1)
        head[LAST_VALUE], o = get_signed(data, o)
    passes, o = get(data, o)
    if passes:
        head[THRESHOLD], o = get_word(data, o)
        age, o = get_signed(data, o)
        head[PASSED] = clock // plan.unit_ms - age
    return o


@compiled
def _get_tiles(plan: Plan, words: Ints, a: int, what: tuple[int, int], data: Bytes, o: int) -> int:
    """Read the tiles of a (level, count)."""
    level, count = what
    begin, size = section_at(plan, words, a, level), plan.levels[level, TILE_WORDS]
    number = words[a + CLOCK] // plan.levels[level, HOP]
    for t in range(begin + (count - 1) * size, begin - 1, -size):
        age, o = get(data, o)
        rows, o = get(data, o)
        number -= age
        words[t] = number << COUNT_BITS | rows
        value = 0
        if plan.levels[level, SUM]:
            value, o = get_signed(data, o)
            words[t + plan.levels[level, SUM]] = value
        if _is_short(plan, level, rows):
            _fill(plan, words, t, level, value)
        else:
            o = _get_rest(plan, words, t, level, data, o)
    set_used(words, a, level, count)
    return o


@compiled
def _fill(plan: Plan, words: Ints, t: int, level: int, value: int) -> None:
    """Set the rest of a tile whose only row has this value."""
    squares = plan.levels[level, SQUARES]
    if squares:
        high, low = square(value)
        words[t + squares], words[t + squares + 1] = np.int64(low), np.int64(high)
    if plan.levels[level, LEAST]:
        words[t + plan.levels[level, LEAST]] = value
    if plan.levels[level, GREATEST]:
        words[t + plan.levels[level, GREATEST]] = value


@compiled
def _get_rest(plan: Plan, words: Ints, t: int, level: int, data: Bytes, o: int) -> int:
    squares = plan.levels[level, SQUARES]
    if squares:
        words[t + squares], o = get(data, o)
        words[t + squares + 1], o = get(data, o)
    if plan.levels[level, LEAST]:
        words[t + plan.levels[level, LEAST]], o = get_signed(data, o)
    if plan.levels[level, GREATEST]:
        words[t + plan.levels[level, GREATEST]], o = get_signed(data, o)
    return o


@compiled
def _get_items(plan: Plan, words: Ints, a: int, count: int, data: Bytes, o: int) -> int:
    halves = words.view(np.uint32)
    h, m, v = items_at(plan, words, a)
    newest, room = words[a + CLOCK] // plan.unit_ms, capacity(words, a, len(plan.levels))
    for i in range(count):
        words[h + i], o = get_word(data, o)
        age, o = get_signed(data, o)
        halves[m + i] = newest - age
        if plan.items == ITEMS_REPLACE:
            words[v + i], o = get_signed(data, o)
            age, o = get_signed(data, o)
            words[v + room + i] = words[a + CLOCK] - age
    set_used(words, a, len(plan.levels), count)
    return o


@compiled
def pack_numbers(numbers: Ints, values: NDArray[np.float64], data: Bytes, offsets: Ints) -> None:
    """Write each row's whole `numbers` (n, k) and `values` (n, columns) at its offset, moving it behind.

    A value is 0 for null, an odd varint for a whole number, or 2 and its 8 bytes.
    """
    bits = values.view(np.int64)
    for i in range(len(numbers)):
        o = offsets[i]
        for number in numbers[i]:
            o = put_signed(data, o, number)
        for c in range(values.shape[1]):
            value = values[i, c]
            if np.isnan(value):
                o = put(data, o, 0)
            elif abs(value) < _WHOLE_MAX and value == np.floor(value) and bits[i, c] != NEVER:
                whole = int(value)
                o = put(data, o, ((whole << 1) ^ (whole >> _63)) << 1 | 1)
            else:
                o = put_word(data, put(data, o, 2), bits[i, c])
        offsets[i] = o


@compiled
def unpack_numbers(numbers: Ints, values: NDArray[np.float64], data: Bytes, offsets: Ints) -> None:
    """Read what `pack_numbers` wrote, moving `offsets` behind it."""
    bits = values.view(np.int64)
    for i in range(len(numbers)):
        o = offsets[i]
        for j in range(numbers.shape[1]):
            numbers[i, j], o = get_signed(data, o)
        for c in range(values.shape[1]):
            code, o = get(data, o)
            if code & 1:
                whole = code >> 1
                values[i, c] = float((whole >> 1) ^ -(whole & 1))
            elif code:
                bits[i, c], o = get_word(data, o)
            else:
                values[i, c] = np.nan
        offsets[i] = o


@compiled
def close_up(data: Bytes, begins: Ints, ends: Ints) -> int:
    """Move pieces of bytes, in order, to where the one before ends; return where the last one does."""
    o = 0
    for i in range(len(begins)):
        a, size = begins[i], ends[i] - begins[i]
        begins[i] = o
        for j in range(size):
            data[o + j] = data[a + j]
        o += size
        ends[i] = o
    return o
