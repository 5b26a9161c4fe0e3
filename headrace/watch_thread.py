"""A thread that looks at something again and again, and that is noticed and replaced when it dies."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

INTERNAL = "E_INTERNAL"


class WatchThread(ABC):
    """Calls `look` every so many seconds, until it is closed.

    Args:
        name: of what is watched, as people read it.
        every_s: seconds between two looks.
        report: is told when the thread died of an exception that nobody expected.
    """

    def __init__(self, name: str, every_s: float, report: Callable[[str], None]) -> None:
        self._name, self._every_s, self._report = name, every_s, report
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @abstractmethod
    def look(self) -> None:
        """Look once, and do what follows."""

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._keep_looking, name=f"watch-{self._name}", daemon=True)
        self._thread.start()

    def replace_dead(self) -> None:
        """Start a new thread where the last one died; its traceback is on stderr."""
        if self._thread is not None and not self._thread.is_alive() and not self._closing.is_set():
            self._report(f"{INTERNAL}: the watch of {self._name} ended, and starts again; see the traceback")
            self.start()

    def close(self, patience_s: float = 5.0) -> None:
        """Stop looking; a look that is under way is not waited for longer than `patience_s`."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(patience_s)

    def _keep_looking(self) -> None:
        while not self._closing.wait(self._every_s):
            self.look()
