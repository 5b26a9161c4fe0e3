"""Keeps what libraries log to a rate: some clients say twenty times a second that a broker is away."""

import logging
import threading
import time
from collections.abc import Callable

WINDOW_S = 30.0
LINES_A_WINDOW = 3
KINDS_MAX = 500


class RateLimit(logging.Filter):
    """Lets through a few lines of each kind in a while, and says with the next one how many it kept back.

    Lines are of one kind when logger, level and message before its arguments are the same.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._lock = clock, threading.Lock()
        self._kinds: dict[tuple[str, int, str], list[float]] = {}  # window's start, let through, kept back

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record; one after many that were not has their number as `kept_back`.

        >>> limit = RateLimit(clock=lambda: 0.0)
        >>> line = logging.LogRecord("kafka", logging.ERROR, "", 0, "no broker at %s", ("a",), None)
        >>> [limit.filter(line) for _ in range(5)]
        [True, True, True, False, False]
        """
        kind, now_s = (record.name, record.levelno, str(record.msg)[:200]), self._clock()
        with self._lock:
            if len(self._kinds) >= KINDS_MAX and kind not in self._kinds:
                self._kinds.clear()
            seen = self._kinds.setdefault(kind, [now_s, 0, 0])
            kept_back = 0
            if now_s - seen[0] >= WINDOW_S:
                kept_back = int(seen[2])
                seen[:] = [now_s, 0, 0]
            seen[1 if seen[1] < LINES_A_WINDOW else 2] += 1
            let_through = seen[2] == 0
        if kept_back:
            record.kept_back = kept_back
        return let_through
