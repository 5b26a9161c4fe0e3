"""A partition's clock: as late as several of its keys say, never as late as one row says.

Every 32 rows of its log a partition looks at the keys of these rows, each at its newest time in them. If they
are three or more, the clock moves forward to the time that all but the earliest quarter of them have reached;
with fewer it stays. So one row, or all rows of one key or two, dated years ahead move it by nothing, nor does
a device with a wrong calendar that has less than three quarters of the keys; a quiet week or a gap in a
replay is believed as soon as 32 rows tell of it. It never goes back.

The clock is a function of the log alone: of the keys and times of its rows, in their order. The rows since it
last looked are in the checkpoint with it, so neither batches nor restarts change what it shows.

In memory: `marks` holds the time it shows, how many rows it has seen since it last looked, and of how many
keys; `keys` and `times` hold those keys, hashed, and the newest time of each. As bytes: the three marks, the
keys, the times, each 8 bytes, lowest first.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import StateError
from features.compiled import compiled

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
UNKNOWN_MS = -(1 << 61)  # what the clock shows before it has looked at rows of enough keys
KEYS_MIN = 3
NOW, ROWS, KEYS = range(3)
_WORD = 8


class Clock(NamedTuple):
    """The clock's arrays, as compiled code takes them."""

    marks: Ints  # (3,) NOW, ROWS, KEYS
    keys: Hashes  # (rows between two looks,)
    times: Ints  # (rows between two looks,)


class PartitionClock:
    """One partition's clock.

    >>> clock, hour = PartitionClock(), 3_600_000
    >>> keys, times = np.arange(64, dtype=np.uint64) % np.uint64(5), np.arange(64) * hour
    >>> times[10] *= 1000  # one row far ahead
    >>> (clock.advance(keys, times)[[31, 32]] // hour).tolist(), clock.now_ms // hour
    ([-640511947004, 28], 60)
    """

    rows = 32  # between two looks; part of what the clock means

    def __init__(self) -> None:
        self.arrays = Clock(
            np.array([UNKNOWN_MS, 0, 0]), np.zeros(self.rows, np.uint64), np.zeros(self.rows, np.int64)
        )

    @property
    def now_ms(self) -> int:
        """What it shows; UNKNOWN_MS before it has looked at rows of enough keys."""
        return int(self.arrays.marks[NOW])

    def advance(self, keys: Hashes, times_ms: Ints) -> Ints:
        """Take n rows in, in log order; return what it showed when each came (n,)."""
        shown_ms = np.empty(len(keys), np.int64)
        _advance(self.arrays, keys, np.ascontiguousarray(times_ms), shown_ms)
        return shown_ms

    def show(self, now_ms: int) -> None:
        """Take over what another clock shows."""
        self.arrays.marks[NOW] = now_ms

    def pack(self) -> bytes:
        """Return all of it as bytes."""
        marks, keys, times = self.arrays
        return marks.tobytes() + keys[: marks[KEYS]].tobytes() + times[: marks[KEYS]].tobytes()

    def load(self, packed: bytes) -> None:
        """Take over what `pack` returned.

        Raises:
            StateError: E_STATE_BYTES, the bytes are none of a clock.
        """
        words = np.frombuffer(packed[: len(packed) // _WORD * _WORD], np.int64)
        fits = len(words) >= len(self.arrays.marks) and len(packed) == _WORD * len(words)
        if not fits or not self._is_sound(words):
            raise StateError(
                "E_STATE_BYTES", f"{len(packed)} bytes are no partition's clock", "clock",
                "run `headrace backfill --warm` to rebuild the state",
            )  # fmt: skip
        count = int(words[KEYS])
        self.arrays.marks[:] = words[:3]
        self.arrays.keys[:count] = words[3 : 3 + count].view(np.uint64)
        self.arrays.times[:count] = words[3 + count :]

    def _is_sound(self, words: Ints) -> bool:
        rows, count = int(words[ROWS]), int(words[KEYS])
        return 0 <= count <= rows < self.rows and len(words) == 3 + 2 * count


@compiled
def step(clock: Clock, key: np.uint64, time_ms: int) -> None:
    """Take one row in; look at the keys when enough rows have come."""
    marks, keys, times = clock
    at = marks[KEYS]
    for i in range(marks[KEYS]):  # keys differ, so no need to stop early
        at = i if keys[i] == key else at
    if at == marks[KEYS]:
        keys[at], times[at] = key, time_ms
        marks[KEYS] += 1
    elif time_ms > times[at]:
        times[at] = time_ms
    marks[ROWS] += 1
    if marks[ROWS] == len(keys):
        if marks[KEYS] >= KEYS_MIN:
            _sort(times, marks[KEYS])
            marks[NOW] = max(marks[NOW], times[marks[KEYS] // 4])
        marks[ROWS] = marks[KEYS] = 0


@compiled
def _sort(times: Ints, count: int) -> None:
    """Put the first times in order: nearly in order they are already."""
    for i in range(1, count):
        time_ms, at = times[i], i
        while at > 0 and times[at - 1] > time_ms:
            times[at] = times[at - 1]
            at -= 1
        times[at] = time_ms


@compiled
def _advance(clock: Clock, keys: Hashes, times_ms: Ints, shown_ms: Ints) -> None:
    for r in range(len(keys)):
        shown_ms[r] = clock.marks[NOW]
        step(clock, keys[r], times_ms[r])
