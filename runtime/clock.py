"""Time as something handed in: the system's, or a simulation's."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two times, both in milliseconds."""

    def now_ms(self) -> float:
        """Return the wall time since 1970."""

    def elapsed_ms(self) -> float:
        """Return a time that never goes back, for durations."""


class SystemClock:
    """The machine's clocks.

    >>> SystemClock().now_ms() > 1.7e12
    True
    """

    def now_ms(self) -> float:
        """Return the wall time since 1970."""
        return time.time_ns() / 1e6

    def elapsed_ms(self) -> float:
        """Return a time that never goes back, for durations."""
        return time.perf_counter_ns() / 1e6
