"""How a worker learns that it is to stop: SIGTERM or Ctrl-C, once or more."""

import signal
import threading
from collections.abc import Callable


def on_signals() -> Callable[[], bool]:
    """Return a question whose answer turns true when a signal to stop has come; main thread only."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping.is_set
