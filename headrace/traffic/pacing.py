"""Open-loop pacing: each event has the moment it is due, fixed before anything is sent.

Latency is measured from that moment and not from the send, so a sender that falls behind cannot hide it.
The clock is handed in; tests move it by hand.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def at_rate(count: int, events_per_s: float) -> NDArray[np.float64]:
    """Return the moments in seconds from the start at which `count` events are due.

    >>> at_rate(3, 2.0).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.arange(count) / events_per_s


def at_speed(moment_ms: NDArray[np.int64], speed: float) -> NDArray[np.float64]:
    """Return due moments that follow event time `speed` times as fast.

    >>> at_speed(np.array([1_000, 3_000]), 4.0).tolist()
    [0.0, 0.5]
    """
    return (moment_ms - moment_ms[0]) / (1000.0 * speed) if len(moment_ms) else np.zeros(0)


class Pacer:
    """Hands out the events that are due, in order, sleeping until there are some.

    >>> now = iter([0.0, 0.0, 0.0, 1.0, 1.0])
    >>> pacer = Pacer(at_rate(3, 2.0), clock=lambda: next(now), sleep=lambda s: None)
    >>> pacer.due(), pacer.due()
    ((0, 1), (1, 3))
    """

    def __init__(
        self, due_s: NDArray[np.float64], clock: Callable[[], float], sleep: Callable[[float], None],
        tick_s: float = 0.001,
    ) -> None:  # fmt: skip
        self._clock, self._sleep, self._tick_s = clock, sleep, tick_s
        self.start_s = clock()
        self._due_s = due_s
        self._sent = 0

    def due(self) -> tuple[int, int]:
        """Wait until at least one event is due; return the range of events to send now."""
        first = self._sent
        if first == len(self._due_s):
            return first, first
        wait_s = self.start_s + self._due_s[first] - self._clock()
        while wait_s > 0:
            self._sleep(max(wait_s, self._tick_s))
            wait_s = self.start_s + self._due_s[first] - self._clock()
        elapsed = self._clock() - self.start_s
        self._sent = max(first + 1, int(np.searchsorted(self._due_s, elapsed, side="right")))
        return first, self._sent

    def scheduled_s(self) -> NDArray[np.float64]:
        """Return the moment, on the clock, at which each event is due."""
        return self.start_s + self._due_s
