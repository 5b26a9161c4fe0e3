"""Log lines that a stranger can cause: at most one of a kind in a while, with how many were left out."""

import time
from collections.abc import Callable
from typing import Any

import structlog

PAUSE_S = 10.0

log = structlog.get_logger("headrace.rare")


class RareLog:
    """Logs warnings by event.

    >>> said = []
    >>> rare = RareLog(clock=lambda: 0.0, write=lambda event, **more: said.append((event, more["left_out"])))
    >>> for _ in range(3):
    ...     rare.warning("connection_cut_off")
    >>> said
    [('connection_cut_off', 0)]
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, write: Callable[..., Any] = log.warning
    ) -> None:
        self._clock, self._write = clock, write
        self._next_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, event: str, **fields: Any) -> None:
        """Log an event, one of ours and never a caller's text, unless it was logged a moment ago."""
        now_s = self._clock()
        if now_s < self._next_s.get(event, now_s):
            self._left_out[event] = self._left_out.get(event, 0) + 1
            return
        self._next_s[event] = now_s + PAUSE_S
        self._write(event, left_out=self._left_out.pop(event, 0), **fields)
