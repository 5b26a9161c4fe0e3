"""Items of a record: sightings of distinct items, and rows that a later row of the same item replaces."""

import numpy as np
from numpy.typing import NDArray

from features.aggregations.distinct import ITEMS_MAX, TWO_POW_MINUS_64
from features.compiled import compiled
from features.records import (
    ANY,
    ITEMS_REPLACE,
    PASSED,
    THRESHOLD,
    Arena,
    Ints,
    Plan,
    capacity,
    enlarge,
    section_at,
    set_used,
    used,
)

Halves = NDArray[np.uint32]


@compiled
def items_at(plan: Plan, words: Ints, a: int) -> tuple[int, int, int]:
    """Return where a record's items are: hashes (words), marks (half words), values (words).

    The times of the values come next, as many words behind them as the section has room for.
    """
    levels = len(plan.levels)
    h, room = section_at(plan, words, a, levels), capacity(words, a, levels)
    return h, 2 * (h + room), h + room + (room + 1) // 2


@compiled
def see(plan: Plan, at: Ints, arena: Arena, slot: int, item: np.uint64, mark: int, oldest: int) -> None:
    """Note a sighting of a distinct item; see `features.aggregations.distinct` for the rule.

    `mark` and `oldest`, the earliest that any window sees, are in units of the plan.
    """
    words, a = arena.words, at[slot]
    if np.uint64(words[a + THRESHOLD]) != ANY and words[a + PASSED] < oldest:
        words[a + THRESHOLD] = np.int64(ANY)
    threshold = np.uint64(words[a + THRESHOLD])
    if item >= threshold and threshold != ANY:
        words[a + PASSED] = max(words[a + PASSED], mark)
        return
    halves = words.view(np.uint32)
    h, m, _ = items_at(plan, words, a)
    found = _position_of(words, h, used(words, a, len(plan.levels)), item)
    if found >= 0:
        halves[m + found] = max(int(halves[m + found]), mark)
    elif used(words, a, len(plan.levels)) < ITEMS_MAX or _forget(plan, words, a, oldest):
        _append(plan, at, arena, slot, (item, mark, 0, 0), oldest)
    else:
        _displace(plan, words, a, item, mark)


@compiled
def _position_of(words: Ints, h: int, count: int, item: np.uint64) -> int:
    """Return which of the hashes is the item's, -1 for none; hashes differ, so no need to stop early."""
    found, wanted = -1, np.int64(item)
    for i in range(count):
        if words[h + i] == wanted:
            found = i
    return found


@compiled
def _displace(plan: Plan, words: Ints, a: int, item: np.uint64, mark: int) -> None:
    """The list is full of live items: the greatest hash leaves, and becomes the threshold."""
    halves = words.view(np.uint32)
    h, m, _ = items_at(plan, words, a)
    greatest = 0
    for i in range(used(words, a, len(plan.levels))):
        if np.uint64(words[h + i]) > np.uint64(words[h + greatest]):
            greatest = i
    if np.uint64(words[h + greatest]) <= item:
        words[a + THRESHOLD] = np.int64(item)
        words[a + PASSED] = max(words[a + PASSED], mark)
        return
    words[a + THRESHOLD] = words[h + greatest]
    words[a + PASSED] = max(words[a + PASSED], np.int64(halves[m + greatest]))
    words[h + greatest] = np.int64(item)
    halves[m + greatest] = mark


@compiled
def replace(
    plan: Plan, at: Ints, arena: Arena, slot: int, item: np.uint64, row: tuple[int, int], oldest: int
) -> tuple[int, int, int]:
    """Return the (time, count, value) to fold for a row (time, value) that may replace one of its item.

    The first row of an item counts; a later one changes the value in the tile that holds the first, unless it
    is of an earlier time than the one whose value stands there: of equal times the later in the log holds.
    """
    words = arena.words
    h, m, v = items_at(plan, words, at[slot])
    count, room = used(words, at[slot], len(plan.levels)), capacity(words, at[slot], len(plan.levels))
    found = _position_of(words, h, count, item)
    mark = int(words.view(np.uint32)[m + found]) if found >= 0 else -1
    if found >= 0 and mark >= oldest:
        if row[0] < words[v + room + found]:
            return mark * plan.unit_ms, 0, 0
        change = row[1] - words[v + found]
        words[v + found], words[v + room + found] = row[1], row[0]
        return mark * plan.unit_ms, 0, change
    if found >= 0:  # its first row has left every window: the item begins again
        words.view(np.uint32)[m + found] = row[0] // plan.unit_ms
        words[v + found], words[v + room + found] = row[1], row[0]
    else:
        _append(plan, at, arena, slot, (item, row[0] // plan.unit_ms, row[1], row[0]), oldest)
    return row[0], 1, row[1]


@compiled
def _append(
    plan: Plan, at: Ints, arena: Arena, slot: int, item: tuple[np.uint64, int, int, int], oldest: int
) -> None:
    """Add an item (hash, mark, value, its time), making room: forget what no window sees, or enlarge it."""
    words, section = arena.words, len(plan.levels)
    if used(words, at[slot], section) == capacity(words, at[slot], section) and not _forget(
        plan, words, at[slot], oldest
    ):
        enlarge(plan, at, arena, slot)
    a = at[slot]
    h, m, v = items_at(plan, words, a)
    count = used(words, a, section)
    words[h + count] = np.int64(item[0])
    words.view(np.uint32)[m + count] = item[1]
    if plan.items == ITEMS_REPLACE:
        words[v + count], words[v + capacity(words, a, section) + count] = item[2], item[3]
    set_used(words, a, section, count + 1)


@compiled
def _forget(plan: Plan, words: Ints, a: int, oldest: int) -> bool:
    """Drop the items that no window can see any more; say whether there were any."""
    halves, section = words.view(np.uint32), len(plan.levels)
    h, m, v = items_at(plan, words, a)
    count, room, kept = used(words, a, section), capacity(words, a, section), 0
    for i in range(count):
        if halves[m + i] >= oldest:
            words[h + kept], halves[m + kept] = words[h + i], halves[m + i]
            if plan.items == ITEMS_REPLACE:
                words[v + kept], words[v + room + kept] = words[v + i], words[v + room + i]
            kept += 1
    set_used(words, a, section, kept)
    return kept < count


@compiled
def distinct(plan: Plan, words: Ints, a: int, begin: int) -> float:
    """Return how many items were seen since the mark `begin`: a count, or an estimate past the bound."""
    if a < 0:
        return 0.0
    halves = words.view(np.uint32)
    _, m, _ = items_at(plan, words, a)
    seen = 0
    for i in range(m, m + used(words, a, len(plan.levels))):
        seen += halves[i] >= begin
    threshold = np.uint64(words[a + THRESHOLD])
    if threshold == ANY:
        return float(seen)
    return float(seen) / (float(threshold) * TWO_POW_MINUS_64)
