"""Where a view's state lives: one contiguous record a key, in one array of words.

Reading state is bound by memory, so a key's clock, tiles and items lie side by side, a level's tiles have
exactly the words that its aggregations read, and a record grows by half when a part of it is full.

Layout, in 64-bit words: clock, newest row's time, its value, the sketch's threshold, the newest mark passed
over; one word a section (capacity << 32 | used) for each level and for the items; then the sections. A tile
is [number << 28 | count, and what its level needs of: sum, squares low, squares high, least, greatest]; its
number is time // hop, tiles are in order of number. Items are hashes, then marks (32 bits: time // unit, the
unit being the hops' greatest common divisor), then, for replaced rows, values and the times that they are of.

Bounds: 2^28 - 1 rows a tile, times under 2^32 units; both are far beyond what the contract lets through.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled

Ints = NDArray[np.int64]
NEVER = np.iinfo(np.int64).min
ANY = np.uint64(0xFFFFFFFFFFFFFFFF)  # the threshold of a sketch that passes nothing over
CLOCK, LAST_MS, LAST_VALUE, THRESHOLD, PASSED, SECTIONS = range(6)
HOP, KEEP, TILES_MAX, TILE_WORDS, SUM, SQUARES, LEAST, GREATEST, LEVEL_WORDS = range(9)
COUNT_BITS = 28
COUNT_MASK = (1 << COUNT_BITS) - 1
ITEMS_NONE, ITEMS_DISTINCT, ITEMS_REPLACE = range(3)
CLASSES = 256
TOP, LARGEST, FREE = range(3)
_LOW = 0xFFFFFFFF


class Plan(NamedTuple):
    """A view as the kernel reads it."""

    levels: (
        Ints  # (levels, LEVEL_WORDS): hop, longest window, tiles, and a tile's word of each part (0: none)
    )
    windows: Ints  # (windows, 2): level and length; windows of a level stand together, shortest first
    columns: Ints  # (columns, 3): operation, window or -1, whether the current row counts
    beside: Ints  # (n, 2): hop and longest window of levels that other records of the view keep
    items: int  # ITEMS_*
    items_max: int
    unit_ms: int  # of an item's mark
    longest_ms: int
    tells_last: bool  # a column is of the newest row


class Arena(NamedTuple):
    """All records of a view. A free block's first word names the next of its class."""

    words: Ints  # (capacity,)
    free: Ints  # (CLASSES,) first free block of a class, -1 for none
    marks: (
        Ints  # (3,) TOP: first word never used; LARGEST: words of the largest record; FREE: words given back
    )
    capacities: Ints  # (levels + 1,) scratch: entries a section of the record being made


class Scratch(NamedTuple):
    """What a fold works on between reading a record and writing it."""

    windows: Ints  # (windows, words of a window)
    firsts: Ints  # (levels,) number of the oldest tile that is seen
    head: Ints  # (SECTIONS,)


@compiled
def oldest_beside(plan: Plan, at_ms: int) -> int:
    """Return the earliest event time that a window beside this record sees; the largest int64 for none."""
    oldest = np.iinfo(np.int64).max
    for i in range(len(plan.beside)):
        hop = plan.beside[i, 0]
        oldest = min(oldest, (at_ms - plan.beside[i, 1]) // hop * hop)
    return oldest


@compiled
def class_of(words: int) -> int:
    """Return the smallest class of block that has room: an eighth is left over at most."""
    units = (words + 7) // 8
    shift = 0
    while units > 16 << shift:
        shift += 1
    return (shift << 3) + ((units + (1 << shift) - 1) >> shift)


@compiled
def class_words(size: int) -> int:
    """Return how many words a block of a class has.

    >>> [class_words(class_of(n)) for n in (1, 128, 129, 1000)]
    [8, 128, 144, 1024]
    """
    shift = max(0, ((size - 1) >> 3) - 1)
    return (size - (shift << 3)) << (3 + shift)


@compiled
def item_words(plan: Plan, count: int) -> int:
    """Return the words that `count` items take."""
    return count + (count + 1) // 2 + (2 * count if plan.items == ITEMS_REPLACE else 0)


@compiled
def capacity(words: Ints, a: int, section: int) -> int:
    """Return how many entries a section has room for."""
    return int(words[a + SECTIONS + section] >> 32)


@compiled
def used(words: Ints, a: int, section: int) -> int:
    """Return how many entries a section holds."""
    return int(words[a + SECTIONS + section] & _LOW)


@compiled
def set_used(words: Ints, a: int, section: int, count: int) -> None:
    """Note how many entries a section holds."""
    words[a + SECTIONS + section] = (words[a + SECTIONS + section] >> 32 << 32) | count


@compiled
def section_at(plan: Plan, words: Ints, a: int, section: int) -> int:
    """Return where a section begins."""
    at = a + SECTIONS + len(plan.levels) + 1
    for level in range(section):
        at += capacity(words, a, level) * plan.levels[level, TILE_WORDS]
    return at


@compiled
def record_words(plan: Plan, words: Ints, a: int) -> int:
    """Return the words of a record."""
    levels = len(plan.levels)
    return section_at(plan, words, a, levels) - a + item_words(plan, capacity(words, a, levels))


@compiled
def has_room(arena: Arena) -> bool:
    """Say whether one more row fits, whatever it makes grow."""
    return bool(arena.marks[TOP] + 8 * arena.marks[LARGEST] + 1024 <= len(arena.words))


@compiled
def take_block(arena: Arena, words: int) -> int:
    """Return a block with room for `words`: a free one, or the unused end of the arena."""
    size = class_of(words)
    at = arena.free[size]
    if at >= 0:
        arena.free[size] = arena.words[at]
        arena.marks[FREE] -= class_words(size)
        return int(at)
    at = arena.marks[TOP]
    arena.marks[TOP] = at + class_words(size)
    arena.marks[LARGEST] = max(arena.marks[LARGEST], words)
    return int(at)


@compiled
def drop(plan: Plan, at: Ints, arena: Arena, slot: int) -> None:
    """Forget all that a slot holds, and give its block back."""
    a = at[slot]
    if a >= 0:
        size = class_of(record_words(plan, arena.words, a))
        arena.words[a] = arena.free[size]
        arena.free[size] = a
        arena.marks[FREE] += class_words(size)
        at[slot] = -1


@compiled
def new_record(plan: Plan, at: Ints, arena: Arena, slot: int) -> int:
    """Give a slot that holds nothing an empty record with room for `arena.capacities` entries."""
    capacities = arena.capacities
    levels, total = len(plan.levels), SECTIONS + len(plan.levels) + 1
    for level in range(levels):
        total += capacities[level] * plan.levels[level, TILE_WORDS]
    a = take_block(arena, total + item_words(plan, capacities[levels]))
    words = arena.words
    words[a + CLOCK], words[a + LAST_MS], words[a + LAST_VALUE] = NEVER, NEVER, 0
    words[a + THRESHOLD], words[a + PASSED] = np.int64(ANY), NEVER
    for section in range(levels + 1):
        words[a + SECTIONS + section] = capacities[section] << 32
    at[slot] = a
    return a


@compiled
def enlarge(plan: Plan, at: Ints, arena: Arena, slot: int) -> int:
    """Move a slot's record to a block where every full section has room again; return where that is."""
    words, old, levels = arena.words, at[slot], len(plan.levels)
    capacities = arena.capacities
    for section in range(levels + 1):
        room, count = capacity(words, old, section), used(words, old, section)
        most = plan.levels[section, TILES_MAX] if section < levels else plan.items_max
        capacities[section] = room if count < room else min(room + 1 + room // 2, max(most, room + 1))
    at[slot] = -1
    a = new_record(plan, at, arena, slot)
    for word in range(SECTIONS):
        words[a + word] = words[old + word]
    to, source = section_at(plan, words, a, 0), section_at(plan, words, old, 0)
    for level in range(levels):
        size, count = plan.levels[level, TILE_WORDS], used(words, old, level)
        for word in range(count * size):
            words[to + word] = words[source + word]
        set_used(words, a, level, count)
        to += capacities[level] * size
        source += capacity(words, old, level) * size
    _move_items(plan, words, (old, source), (a, to))
    at[slot] = old
    drop(plan, at, arena, slot)
    at[slot] = a
    return a


@compiled
def _move_items(plan: Plan, words: Ints, old: tuple[int, int], new: tuple[int, int]) -> None:
    """Copy the items of a record (its place, its items' place) into one with more room."""
    section = len(plan.levels)
    count = used(words, old[0], section)
    was, room = capacity(words, old[0], section), capacity(words, new[0], section)
    source, to = old[1], new[1]
    for i in range(count):
        words[to + i] = words[source + i]
    for i in range((count + 1) // 2):
        words[to + room + i] = words[source + was + i]
    if plan.items == ITEMS_REPLACE:
        to, source = to + room + (room + 1) // 2, source + was + (was + 1) // 2
        for i in range(count):
            words[to + i] = words[source + i]
            words[to + room + i] = words[source + was + i]
    set_used(words, new[0], section, count)


@compiled
def drop_all(plan: Plan, at: Ints, arena: Arena, slots: Ints) -> None:
    """Forget all that these slots hold."""
    for i in range(len(slots)):
        drop(plan, at, arena, slots[i])


@compiled
def compact(plan: Plan, at: Ints, arena: Arena, slots: Ints) -> None:
    """Move all records to the arena's beginning; `slots` are those that have one, in order of place."""
    words, top = arena.words, 0
    for i in range(len(slots)):
        a = at[slots[i]]
        count = class_words(class_of(record_words(plan, words, a)))
        for word in range(count):
            words[top + word] = words[a + word]
        at[slots[i]] = top
        top += count
    arena.free[:] = -1
    arena.marks[TOP], arena.marks[FREE] = top, 0
