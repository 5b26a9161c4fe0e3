"""Blocking code that a scheduler runs a step at a time: each fiber is a thread, and only one ever runs.

A fiber runs until it waits inside a client of ours; then the scheduler has the turn again. To end a fiber
is to raise `Ended` where it waits, so nothing more of it runs, as after `kill -9`.
"""

import threading
from collections.abc import Callable
from typing import ClassVar


class Ended(SystemExit):
    """The process of this code is no more; not an `Exception`, so that no handler takes it for a fault."""


class _Runner:
    """A thread that is kept for the next fiber: starting one costs more than a whole step."""

    idle: ClassVar["list[_Runner]"] = []

    def __init__(self) -> None:
        self.job: Callable[[], None] | None = None
        self.go, self.back = threading.Lock(), threading.Lock()
        self.go.acquire()
        self.back.acquire()
        threading.Thread(target=self._run, name="fiber", daemon=True).start()

    def _run(self) -> None:
        while True:
            self.go.acquire()
            if self.job is not None:
                self.job()
            self.job = None
            _Runner.idle.append(self)
            self.back.release()


class Fiber:
    """One call of blocking code; `resume` runs it up to its next `wait`."""

    def __init__(self, call: Callable[[], object], on_end: "Callable[[Fiber], None]") -> None:
        self.wake_ms = 0.0
        self.ready: Callable[[], bool] | None = None
        self.done = False
        self.result: object = None
        self.error: BaseException | None = None
        self._call, self._on_end = call, on_end
        self._killed = False
        self._runner = _Runner.idle.pop() if _Runner.idle else _Runner()
        self._runner.job = self._main

    def due(self, now_ms: float) -> bool:
        """Return whether it may go on."""
        return now_ms >= self.wake_ms or (self.ready is not None and self.ready())

    def resume(self) -> None:
        """Run it up to its next wait, or its end."""
        runner = self._runner
        runner.go.release()
        runner.back.acquire()

    def wait(self, until_ms: float, ready: Callable[[], bool] | None = None) -> None:
        """Give the turn back until a time, or until `ready`; called by the fiber's own code."""
        if self._killed:
            raise Ended
        self.wake_ms, self.ready = until_ms, ready
        runner = self._runner
        runner.back.release()
        runner.go.acquire()
        if self._killed:
            raise Ended

    def kill(self) -> None:
        """End it where it waits."""
        self._killed = True
        if not self.done:
            self.resume()
        assert self.done, "a killed fiber waits again"

    def _main(self) -> None:
        try:
            if not self._killed:
                self.result = self._call()
        except BaseException as error:  # noqa: BLE001  # told to the owner
            self.error = error
        self.done = True
        if not self._killed:
            self._on_end(self)
