"""The compiled fold: one pass over a batch of rows, in log order, over the records of a view.

`features.records` says how a key's state lies in memory, `features.tiles` and `features.items` fold and read
its parts, `features.packing` writes it down. Everything is plain loops over integers;
`load/oracle/windows.py` is the definition it must equal.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.aggregations.base import Op
from features.aggregations.std import add, finalise_std, square
from features.compiled import compiled
from features.items import distinct, replace, see
from features.records import (
    CLOCK,
    COUNT_BITS,
    HOP,
    ITEMS_DISTINCT,
    ITEMS_REPLACE,
    LAST_MS,
    LAST_VALUE,
    NEVER,
    TILE_WORDS,
    Arena,
    Ints,
    Plan,
    Scratch,
    drop,
    has_room,
    new_record,
    oldest_beside,
    section_at,
    used,
)
from features.tiles import (
    BEGIN,
    W_COUNT,
    W_GREATEST,
    W_HIGH,
    W_LEAST,
    W_LOW,
    W_SUM,
    insert,
    scan,
)

OP_COUNT, OP_SUM, OP_MEAN, OP_STD = int(Op.COUNT), int(Op.SUM), int(Op.MEAN), int(Op.STD)
OP_MIN, OP_LAST, OP_DISTINCT = int(Op.MIN), int(Op.LAST), int(Op.DISTINCT)
Floats = NDArray[np.float64]


class Answers(NamedTuple):
    """What the kernel writes, one entry a row."""

    values: Floats  # (n, columns)
    late: NDArray[np.bool_]  # the row is older than all windows of its view
    at_ms: Ints  # the moment the row was judged at


class Rows(NamedTuple):
    """A batch in log order: which slot, which time moves the clock, and what is folded in, where it is."""

    slot: Ints
    anew: NDArray[np.bool_]  # (n,) the key begins again with this row: what it held is forgotten
    clock_ms: Ints
    time_ms: Ints
    value: Ints
    item: NDArray[np.uint64]
    folds: NDArray[np.bool_]  # (n,) the row counts; of one that does not, the last three are not read


@compiled
def _value(op: int, windows: Ints, w: int, count: int, value: int) -> float:
    """Finalise a window with one more row (none when `count` is -1); the formulas are the pages'."""
    n = windows[w, W_COUNT] + max(count, 0)
    if op == OP_COUNT:
        return float(n)
    total = windows[w, W_SUM] + (value if count >= 0 else 0)
    if op == OP_SUM:
        return float(total)
    if n == 0:
        return np.nan
    if op == OP_MEAN:
        return float(total) / float(n)
    if op == OP_STD:
        high, low = np.uint64(windows[w, W_HIGH]), np.uint64(windows[w, W_LOW])
        if count > 0:
            square_high, square_low = square(value)
            high, low = add(high, low, square_high, square_low)
        return finalise_std(n, total, low, high)
    if op == OP_MIN:
        return float(min(windows[w, W_LEAST], value) if count > 0 else windows[w, W_LEAST])
    return float(max(windows[w, W_GREATEST], value) if count > 0 else windows[w, W_GREATEST])


@compiled
def _last(plan: Plan, words: Ints, a: int, at_ms: int, want_value: bool) -> float:
    """Return the newest value or the time since it; null past the longest window."""
    if a < 0 or words[a + LAST_MS] == NEVER or at_ms - words[a + LAST_MS] > plan.longest_ms:
        return np.nan
    return float(words[a + LAST_VALUE]) if want_value else float(at_ms - words[a + LAST_MS])


@compiled
def _answer(
    plan: Plan, words: Ints, a: int, at_ms: int, windows: Ints, row: tuple[int, int, int], out: Floats
) -> None:
    """Write a row's columns, itself counted where declared; its count is -1 when it is not folded."""
    for c in range(len(plan.columns)):
        op, w, current = plan.columns[c, 0], plan.columns[c, 1], plan.columns[c, 2] != 0
        if w < 0:
            counts = current and row[1] >= 0 and at_ms - row[0] <= plan.longest_ms
            if counts and (a < 0 or row[0] >= words[a + LAST_MS]):
                out[c] = float(row[2]) if op == OP_LAST else float(at_ms - row[0])
            else:
                out[c] = _last(plan, words, a, at_ms, op == OP_LAST)
        elif op == OP_DISTINCT:
            out[c] = distinct(plan, words, a, windows[w, BEGIN] // plan.unit_ms)
        else:
            counted = current and row[0] >= windows[w, BEGIN]
            out[c] = _value(op, windows, w, row[1] if counted else -1, row[2])


@compiled
def _oldest(plan: Plan, firsts: Ints, at_ms: int) -> int:
    """Return the earliest event time that any window sees, of those kept beside this record too."""
    oldest = firsts[0] * plan.levels[0, HOP]
    for level in range(1, len(plan.levels)):
        oldest = min(oldest, firsts[level] * plan.levels[level, HOP])
    return int(min(oldest, oldest_beside(plan, at_ms)))


@compiled
def apply(
    plan: Plan, at: Ints, arena: Arena, rows: Rows, begin: int, answers: Answers, scratch: Scratch
) -> int:
    """Fold rows[begin:] in and write each row's as-of values; stop early when the arena may be full.

    Returns:
        The number of rows done in all; less than n means: grow the arena and call again from there.
    """
    windows, firsts, words = scratch.windows, scratch.firsts, arena.words
    for r in range(begin, len(rows.slot)):
        if not has_room(arena):
            return r
        slot = rows.slot[r]
        if rows.anew[r]:
            drop(plan, at, arena, slot)
        if at[slot] < 0:
            arena.capacities[:] = 1
            new_record(plan, at, arena, slot)
        at_ms = max(words[at[slot] + CLOCK], rows.clock_ms[r])
        words[at[slot] + CLOCK] = at_ms
        answers.at_ms[r] = at_ms
        scan(plan, words, at[slot], at_ms, windows, firsts)
        if not rows.folds[r]:
            _answer(plan, words, at[slot], at_ms, windows, (NEVER, -1, 0), answers.values[r])
            continue
        oldest_ms = _oldest(plan, firsts, at_ms)
        time_ms, value = rows.time_ms[r], rows.value[r]
        answers.late[r] = time_ms < oldest_ms
        if answers.late[r]:
            _answer(plan, words, at[slot], at_ms, windows, (time_ms, -1, value), answers.values[r])
            continue
        row, unit = (time_ms, 1, value), plan.unit_ms
        if plan.items == ITEMS_REPLACE:
            row = replace(plan, at, arena, slot, rows.item[r], (time_ms, value), oldest_ms // unit)
        elif plan.items == ITEMS_DISTINCT:
            see(plan, at, arena, slot, rows.item[r], time_ms // unit, oldest_ms // unit)
        _answer(plan, words, at[slot], at_ms, windows, row, answers.values[r])
        insert(plan, at, arena, slot, firsts, row)
        if time_ms >= words[at[slot] + LAST_MS]:
            words[at[slot] + LAST_MS], words[at[slot] + LAST_VALUE] = time_ms, value
    return len(rows.slot)


@compiled
def _moment(words: Ints, a: int, now_ms: int) -> int:
    """Return `now_ms`, or the record's clock when that is later."""
    return now_ms if a < 0 else max(words[a + CLOCK], now_ms)


@compiled
def values_at(
    plan: Plan, at: Ints, words: Ints, asked: tuple[Ints, Ints], values: Floats, scratch: Scratch
) -> None:
    """Write the values of slots as of moments (both asked for), all rows counted; changes nothing."""
    slots, now_ms = asked
    windows, firsts = scratch.windows, scratch.firsts
    for r in range(len(slots)):
        a = at[slots[r]]
        at_ms = _moment(words, a, now_ms[r])
        scan(plan, words, a, at_ms, windows, firsts)
        _answer(plan, words, a, at_ms, windows, (NEVER, -1, 0), values[r])


@compiled
def valid_until(plan: Plan, at: Ints, words: Ints, slots: Ints, now_ms: Ints, out: Ints) -> None:
    """Lower `out` to the first moment at which a tile leaves a window or the last row is forgotten.

    A distinct item or a replaced one never leaves a window before the tile of its newest row does.
    """
    for r in range(len(slots)):
        a = at[slots[r]]
        if a < 0:
            continue
        at_ms = _moment(words, a, now_ms[r])
        last_ms = words[a + LAST_MS]
        if plan.tells_last and last_ms != NEVER and at_ms - last_ms <= plan.longest_ms:
            out[r] = min(out[r], last_ms + plan.longest_ms + 1)
        for w in range(len(plan.windows)):
            level, length = plan.windows[w, 0], plan.windows[w, 1]
            hop, size = plan.levels[level, HOP], plan.levels[level, TILE_WORDS]
            first, begin = (at_ms - length) // hop, section_at(plan, words, a, level)
            for t in range(begin, begin + used(words, a, level) * size, size):
                if words[t] >> COUNT_BITS >= first:
                    out[r] = min(out[r], ((words[t] >> COUNT_BITS) + 1) * hop + length)
                    break
