"""Which part of the week a moment lies in: what is usual for a night is compared with nights."""

import numpy as np
from numpy.typing import NDArray

from features.definition import DAY_MS, HOUR_MS

Ints = NDArray[np.int64]

SLOTS = 4  # weekday's day and night, weekend's day and night
CALENDAR = ("hour_of_day", "is_night", "is_weekend")  # say only when it is: not watched
_NIGHT_ENDS_HOUR = 6
_THURSDAY = 3  # 1970-01-01, Monday being 0


def slots(event_ms: Ints) -> Ints:
    """Return the slot of each moment, UTC, shape (n,): night adds 1, weekend 2, as the model's own features.

    >>> slots(np.array([1_522_540_831_000, 1_522_540_831_000 + 36 * 3_600_000])).tolist()
    [3, 0]
    """
    night = (event_ms // HOUR_MS) % 24 < _NIGHT_ENDS_HOUR
    weekend = (event_ms // DAY_MS + _THURSDAY) % 7 >= 5
    return np.asarray(night + 2 * weekend, dtype=np.int64)
