"""The last known profile of recently seen keys, for the minutes in which the store is away."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Keys = NDArray[np.bytes_]


class ProfileCache:
    """Bounded: when full, the slots are given again from the first, oldest entries going first.

    >>> cache = ProfileCache(rows=1, columns=5)
    >>> cache.put(np.array([b"a"]), np.ones((1, 5)), np.array([7]))
    >>> cache.put(np.array([b"b"]), np.ones((1, 5)), np.array([8]))
    >>> cache.get(np.array([b"a", b"b"]))[1].tolist()
    [-1, 8]
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._values = np.full((rows, columns), np.nan)
        self._time_ms = np.full(rows, -1, np.int64)
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._next = 0

    def put(self, keys: Keys, values: Floats, time_ms: NDArray[np.int64]) -> None:
        """Remember n rows; those of time -1 are not there and leave what was known."""
        for at in np.flatnonzero(time_ms >= 0).tolist():
            slot = self._slot(bytes(keys[at]))
            self._values[slot] = values[at]
            self._time_ms[slot] = time_ms[at]

    def get(self, keys: Keys) -> tuple[Floats, NDArray[np.int64]]:
        """Return values (n, k) and times (n,); NaN and -1 for unknown keys."""
        slots = np.array([self._slots.get(key, -1) for key in keys.tolist()], np.int64)
        known = slots >= 0
        values = np.where(known[:, None], self._values[slots], np.nan)
        return values, np.where(known, self._time_ms[slots], -1)

    def _slot(self, key: bytes) -> int:
        slot = self._slots.get(key)
        if slot is None:
            slot = self._next
            if slot < len(self._keys):
                del self._slots[self._keys[slot]]
                self._keys[slot] = key
            else:
                self._keys.append(key)
            self._slots[key] = slot
            self._next = (slot + 1) % len(self._values)
        return slot
