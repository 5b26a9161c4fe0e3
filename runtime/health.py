"""A worker is healthy while each of its parts has moved lately: its loop, its watchers, its store writer.

A part calls `moved` each time it has done its round, also a round that found nothing to do. A watcher that
cannot read what it watches goes on with the old state and says so with `stale`: that is told, and is no
reason to restart the worker.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

Clock = Callable[[], float]  # seconds, never going back


class Part:
    """One thing of a worker that must keep moving; used from any thread."""

    def __init__(self, limit_s: float, clock: Clock) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._moved_s = clock()
        self._stale_s: float | None = None
        self._why = ""

    def moved(self) -> None:
        """Say that a round is done."""
        self._moved_s = self._clock()

    def stale(self, why: str) -> None:
        """Say that what is watched cannot be read: an older state is in use since the first such call."""
        if self._stale_s is None:
            self._stale_s = self._clock()
        self._why = why

    def fresh(self) -> None:
        """Say that what is watched was read."""
        self._stale_s, self._why = None, ""

    def report(self) -> dict[str, Any]:
        """Return `ok`, the seconds since it moved, and since when and why its state is old."""
        now_s = self._clock()
        silent_s = now_s - self._moved_s
        told: dict[str, Any] = {"ok": silent_s <= self._limit_s, "silent_s": round(silent_s, 3)}
        if self._stale_s is not None:
            told |= {"stale_s": round(now_s - self._stale_s, 3), "why": self._why}
        return told


class Health:
    """The parts of one worker.

    >>> now_s = 0.0
    >>> health = Health(clock=lambda: now_s)
    >>> loop = health.part("loop", limit_s=5.0)
    >>> health.report()["status"]
    'ok'
    >>> now_s = 6.0
    >>> health.report()["status"], health.report()["parts"]["loop"]["silent_s"]
    ('stuck', 6.0)
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._parts: dict[str, Part] = {}
        self._lock = threading.Lock()

    def part(self, name: str, limit_s: float) -> Part:
        """Add a part that must move at least once in `limit_s` seconds; it counts from now."""
        with self._lock:
            part = self._parts[name] = Part(limit_s, self._clock)
        return part

    def begin(self) -> None:
        """Let every part count from now: what came before was start-up, which has no limit here.

        >>> now_s = 0.0
        >>> health = Health(clock=lambda: now_s)
        >>> loop = health.part("loop", limit_s=5.0)
        >>> now_s = 60.0
        >>> health.begin()
        >>> health.report()["status"]
        'ok'
        """
        with self._lock:
            for part in self._parts.values():
                part.moved()

    def report(self) -> dict[str, Any]:
        """Return `status` (ok | stale | stuck) and each part; stuck means that a restart is due."""
        with self._lock:
            parts = {name: part.report() for name, part in self._parts.items()}
        status = "ok"
        if any("stale_s" in part for part in parts.values()):
            status = "stale"
        if not all(part["ok"] for part in parts.values()):
            status = "stuck"
        return {"status": status, "parts": parts}
