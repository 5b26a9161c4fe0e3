"""Ends the process when a step takes longer than it may.

librdkafka's transactional calls can wait for ever when the coordinator restarts under them, whatever time
limit they are given (seen with `send_offsets_to_transaction`). Ending there is safe: a transaction that was
not committed is fenced and aborted by the successor, which starts from what is committed.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_S = 0.2


class Watchdog:
    """Calls `on_late`, once and from a thread of its own, when a watched step outlives its limit.

    >>> late = threading.Event()
    >>> dog = Watchdog(late.set)
    >>> with dog.watching(limit_s=0.01):
    ...     late.wait(5.0)
    True
    """

    def __init__(self, on_late: Callable[[], object]) -> None:
        self._on_late = on_late
        self._due_s: float | None = None
        threading.Thread(target=self._look, name="watchdog", daemon=True).start()

    @contextmanager
    def watching(self, limit_s: float) -> Iterator[None]:
        """Watch the block: it must end within `limit_s`."""
        self._due_s = time.monotonic() + limit_s
        try:
            yield
        finally:
            self._due_s = None

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_S)
            due_s = self._due_s
            if due_s is not None and time.monotonic() > due_s:
                self._on_late()
                return
