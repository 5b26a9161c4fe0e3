"""Waiting for something to become true, with an end to the patience."""

import time
from collections.abc import Callable


def until(true: Callable[[], bool], *, timeout_s: float, what: str, every_s: float = 0.05) -> None:
    """Wait until `true()`; fail with `what` was awaited when `timeout_s` is over."""
    deadline_s = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(every_s)
