"""When a key is forgotten: by the partition's newest event time, never by a wall clock.

A partition's clock is the newest event time of any of its rows so far. A key's last arrival is what that
clock showed at the key's newest row. Once the clock is past a key's last arrival by more than the longest
window, its hop and a day, the key is idle: every row of it would be judged with empty windows, so its next
row begins it again, and its record may be dropped at any moment before. So a sweep as rows come changes no
answer, whenever it happens, and the answers are a function of the log alone.

The day is for rows out of order: only a row more than that behind its partition's clock, of a key without any
row for so long, could have found something in a record that nobody forgot.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.definition import DAY_MS

Ints = NDArray[np.int64]
NEVER = np.iinfo(np.int64).min
GRACE_MS = DAY_MS


@njit(cache=True, error_model="numpy", nogil=True)
def arrive(
    slots: Ints, clock_ms: Ints, arrival_ms: Ints, newest_ms: int, idle_ms: int, anew: NDArray[np.bool_]
) -> int:
    """Note arrivals, in log order, and mark the rows whose key was idle; return the partition's clock."""
    for r in range(len(slots)):
        newest_ms = max(newest_ms, clock_ms[r])
        last_ms = arrival_ms[slots[r]]
        anew[r] = last_ms != NEVER and last_ms < newest_ms - idle_ms
        arrival_ms[slots[r]] = newest_ms
    return newest_ms


@njit(cache=True, error_model="numpy", nogil=True)
def idle_slots(arrival_ms: Ints, before_ms: int, begin: int, end: int) -> Ints:
    """Return the slots in [begin, end) whose key last arrived before a moment."""
    found = np.empty(end - begin, np.int64)
    count = 0
    for slot in range(begin, end):
        if arrival_ms[slot] != NEVER and arrival_ms[slot] < before_ms:
            found[count] = slot
            count += 1
    return found[:count]
