"""An asyncio loop on virtual time: one turn of it is one step of the schedule."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from tests.simulation.fibers import Fiber
from tests.simulation.world import FAR_MS, Process, World


class _NoFiles:
    """A selector of nothing: the simulated processes have no files."""

    def select(self, _timeout: float | None) -> list[Any]:
        return []

    def close(self) -> None:
        return None


class SimLoop(asyncio.BaseEventLoop):
    """The loop of one stage worker; what it hands to a thread pool runs as a fiber of the process."""

    def __init__(self, world: World, process: Process) -> None:
        super().__init__()
        self._selector = _NoFiles()
        self._world, self._owner = world, process

    def time(self) -> float:
        return self._world.now_ms / 1e3

    def _process_events(self, _events: list[Any]) -> None:
        return None

    def _write_to_self(self) -> None:
        return None

    def run_in_executor(self, _pool: Any, call: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()

        def ended(fiber: Fiber) -> None:
            if future.cancelled():
                return
            if fiber.error is not None:
                self.call_soon(future.set_exception, fiber.error)
            else:
                self.call_soon(future.set_result, fiber.result)

        self._owner.spawn(lambda: call(*args), ended)
        return future

    def due(self, now_ms: float) -> bool:
        return bool(self._ready) or self.next_ms() <= now_ms  # type: ignore[attr-defined]

    def next_ms(self) -> float:
        if self._ready:  # type: ignore[attr-defined]
            return 0.0
        scheduled = self._scheduled  # type: ignore[attr-defined]
        return scheduled[0].when() * 1e3 if scheduled else FAR_MS

    def turn(self) -> None:
        asyncio._set_running_loop(self)
        try:
            self._run_once()  # type: ignore[attr-defined]
        finally:
            asyncio._set_running_loop(None)

    def abandon(self) -> None:
        """Drop everything, as the end of a process does; a second time does nothing."""
        if self.is_closed():
            return
        self.set_exception_handler(lambda *_: None)  # what is collected later was of a process that is gone
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = task.get_coro()
            if (
                inspect.iscoroutine(coroutine)
                and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
            ):
                coroutine.close()
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]
        if asyncio._get_running_loop() is not self:
            self.close()
        self.due = lambda now_ms: False  # type: ignore[method-assign]
        self.next_ms = lambda: FAR_MS  # type: ignore[method-assign]

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Do what an event loop does that nobody gave a handler: note the exception, and go on."""
        self._world.trace(f"{self._owner.name} goes on after {context.get('exception')!r}")
