"""What the live view shows, read from the counters of sender and subscriber."""

import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from headrace.traffic.latency import latencies_ms, percentiles_ms
from headrace.traffic.observed import Observed

RATE_WINDOW_S = 3.0
RECENT_EVENTS = 2_000


@dataclass(slots=True)
class Progress:
    """Shared by driver and view: the driver writes, the view reads; a torn read costs one frame."""

    observed: Observed | None = None
    phase: str = "starting"
    total: int = 0
    sent: int = 0
    paced_from: int = 0
    scheduled_s: "np.ndarray[tuple[int], np.dtype[np.float64]] | None" = None
    model_version: str = ""
    began_s: float = field(default_factory=time.monotonic)
    _marks: deque[tuple[float, int]] = field(default_factory=deque)

    def rate(self, now_s: float) -> float:
        """Return predictions a second over the last few seconds; called once a frame."""
        predicted = self.predicted
        self._marks.append((now_s, predicted))
        while len(self._marks) > 2 and now_s - self._marks[0][0] > RATE_WINDOW_S:
            self._marks.popleft()
        then_s, before = self._marks[0]
        return (predicted - before) / (now_s - then_s) if now_s > then_s else 0.0

    @property
    def predicted(self) -> int:
        """Return how many predictions were read."""
        return int(self.observed.outcomes.count.sum()) if self.observed else 0

    @property
    def lag(self) -> int:
        """Return how many records sent are neither predicted nor refused yet."""
        return max(0, self.sent - self.observed.through()) if self.observed else 0

    def decisions(self) -> dict[str, int]:
        """Return how many predictions say what."""
        if self.observed is None:
            return {}
        return self.observed.decided()

    def latency_ms(self) -> dict[str, float]:
        """Return percentiles over the newest paced records that have predictions."""
        if self.observed is None or self.scheduled_s is None:
            return {}
        stop = min(len(self.scheduled_s), max(0, self.sent - self.paced_from))
        start = max(0, stop - RECENT_EVENTS)
        slots = self.observed.slots[self.paced_from + start : self.paced_from + stop]
        readable_s = self.observed.outcomes.readable_s[slots[slots >= 0]]
        return percentiles_ms(latencies_ms(self.scheduled_s[start:stop][slots >= 0], readable_s))
