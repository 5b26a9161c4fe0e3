"""When a key is forgotten or begins again: by its partition's clock, never by a wall clock.

The clock (`features.partition_clock`) shows what several keys of the partition have reached. A key keeps the
newest time of its own rows, and what the clock showed at its newest row. With its next row it begins again,
as if it had never been seen, in two cases:

- It is idle: both lie before the clock by more than the longest window, its hop and a day. Every row of it
  would be judged with empty windows, so its record may be dropped at any moment before; a sweep as rows come
  changes no answer, whenever it happens.
- It was dated ahead: its newest time lay as far ahead of the clock, and the row lies as far before that time.
  Its windows stand at a moment that nobody else confirmed and can see nothing that happens now. What it held
  before the false row had left its windows with that row, and is gone.

So one row dated ahead costs its own key what its windows held, and other keys nothing. Dated ahead by less
than its windows reach, its key is judged at that moment until time has come there. Both rules need a clock:
before it has looked at rows of enough keys nothing is forgotten and nothing is doubted.

The day is for rows out of order: only a row more than that behind its partition's clock, of a key without any
row for so long, could have found something in a record that nobody forgot.
"""

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled
from features.definition import DAY_MS
from features.partition_clock import UNKNOWN_MS

Ints = NDArray[np.int64]
NEVER = np.iinfo(np.int64).min
GRACE_MS = DAY_MS
NO_REST_MS = 1 << 60  # no key is ever idle as long


@compiled
def arrive(
    rows: tuple[Ints, Ints, Ints], shown_ms: Ints, newest_ms: Ints, limits: tuple[int, int],
    anew: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Note arrivals, in log order, and mark the rows with which their key begins again.

    Args:
        rows: slot, time, and what the partition's clock shows at each row.
        shown_ms, newest_ms: by slot, what the clock showed at the key's newest row (NEVER without a key), and
            the newest time of its rows.
        limits: after how long a key is idle, and how far from the rest it was dated ahead.
    """
    slots, times_ms, clock_ms = rows
    for r in range(len(slots)):
        slot, time_ms = slots[r], times_ms[r]
        anew[r] = begins_again((shown_ms[slot], newest_ms[slot]), clock_ms[r], time_ms, limits)
        if anew[r] or shown_ms[slot] == NEVER:
            newest_ms[slot] = time_ms
        else:
            newest_ms[slot] = max(newest_ms[slot], time_ms)
        shown_ms[slot] = clock_ms[r]


@compiled
def begins_again(key: tuple[int, int], now_ms: int, time_ms: int, limits: tuple[int, int]) -> bool:
    """Say whether a key (what the clock showed at its newest row, its newest time) begins again."""
    shown_ms, newest_ms = key
    if shown_ms == NEVER:
        return False
    if max(shown_ms, newest_ms) < now_ms - limits[0]:
        return True
    sees_ms = newest_ms - limits[1]
    return bool(shown_ms != UNKNOWN_MS and shown_ms < sees_ms and time_ms < sees_ms)


@compiled
def begin_again(
    slots: Ints, keys: tuple[Ints, Ints], now_ms: int, times_ms: Ints, limits: tuple[int, int],
    anew: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Mark the rows with which their key would begin again, each alone; `keys` by slot as in `arrive`."""
    for r in range(len(slots)):
        key = (keys[0][slots[r]], keys[1][slots[r]])
        anew[r] = begins_again(key, now_ms, times_ms[r], limits)


@compiled
def find_idle(shown_ms: Ints, newest_ms: Ints, before_ms: int, slots: tuple[int, int], found: Ints) -> int:
    """Write those of the slots [begin, end) whose key last arrived before a moment; return how many."""
    count = 0
    for slot in range(slots[0], slots[1]):
        if shown_ms[slot] != NEVER and max(shown_ms[slot], newest_ms[slot]) < before_ms:
            found[count] = slot
            count += 1
    return count
