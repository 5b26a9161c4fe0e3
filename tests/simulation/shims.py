"""Stand-ins for what the service takes from Python itself: time, threads, the end of a process, logs."""

import sys
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from tests.simulation.fibers import Ended
from tests.simulation.world import Process, World

FOREVER_MS = 1e9


def sim_time(world: World) -> Any:
    """Return a `time` module on virtual time."""
    return SimpleNamespace(
        monotonic=lambda: world.now_ms / 1e3,
        perf_counter=lambda: world.now_ms / 1e3,
        sleep=lambda seconds: world.wait(seconds * 1e3),
    )


class _Condition:
    """A `threading.Condition` among fibers: only one runs, so the lock itself is nothing."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._woken = False

    def __enter__(self) -> "_Condition":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def wait(self, timeout_s: float) -> None:
        """Wait for `notify`, or a time."""
        self._woken = False
        self._world.wait(timeout_s * 1e3, lambda: self._woken)

    def notify(self) -> None:
        """Wake the one that waits."""
        self._woken = True


class _Thread:
    """A `threading.Thread` that is a fiber of the process that makes it."""

    def __init__(self, world: World, target: Callable[[], object], name: str) -> None:
        assert world.process is not None
        self._world, self._target, self._owner, self.name = world, target, world.process, name
        self._fiber: Any = None

    def start(self) -> None:
        """Begin."""

        def ended(fiber: Any) -> None:
            if fiber.error is not None and not isinstance(fiber.error, Ended):
                _end_of_thread(self._owner, self, fiber.error)

        self._fiber = self._owner.spawn(self._target, ended)

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._world.wait(timeout_s * 1e3, lambda: self._fiber is None or self._fiber.done)


def _end_of_thread(process: Process, thread: Any, error: BaseException) -> None:
    """Do what Python does: ask the hook, if the process has set one; else the thread is dead, no more."""
    process.world.trace(f"{process.name}: thread {thread.name} ended: {error!r}")
    hook = process.hooks.get("threading.excepthook")
    if hook is not None:
        with suppress(Ended):
            hook(SimpleNamespace(exc_type=type(error), exc_value=error, exc_traceback=None, thread=thread))


class Hooks:
    """A module whose hooks belong to the process that sets them: `sys`, `threading`."""

    def __init__(self, world: World, name: str, **others: object) -> None:
        self.__dict__.update(others, _world=world, _name=name)

    def __setattr__(self, name: str, hook: object) -> None:
        assert self._world.process is not None
        self._world.process.hooks[f"{self._name}.{name}"] = hook


def sim_ending(world: World, exit_process: Callable[[int], None]) -> dict[str, Any]:
    """Return what `runtime.ending` takes from Python: hooks, and the end of a process, which is a fiber's."""
    return {
        "sys": Hooks(world, "sys", stderr=sys.stderr),
        "threading": Hooks(world, "threading", ExceptHookArgs=object),
        "os": SimpleNamespace(_exit=exit_process, environ={}),
    }


def sim_threading(world: World, *, starts: bool) -> Any:
    """Return a `threading` module; with `starts` False its threads never run."""

    def thread(target: Callable[[], object], name: str = "", **_: object) -> Any:
        if starts:
            return _Thread(world, target, name)
        return SimpleNamespace(start=lambda: None, join=lambda timeout_s=0.0: None)

    def event() -> Any:
        return SimpleNamespace(set=lambda: None, is_set=lambda: False)

    def lock() -> Any:
        return _Lock(world)

    return SimpleNamespace(Thread=thread, Condition=lambda: _Condition(world), Event=event, Lock=lock)


class _Lock:
    """A lock that waits as fibers do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._taken = False

    def __enter__(self) -> None:
        while self._taken:
            self._world.wait(FOREVER_MS, lambda: not self._taken)
        self._taken = True

    def __exit__(self, *_: object) -> None:
        self._taken = False


class TraceLog:
    """A logger whose lines are part of the trace."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, **facts: self._world.trace(f"{level} {event} {sorted(facts.items())}")


class Nothing:
    """Metrics that nobody reads."""

    def __getattr__(self, name: str) -> "Nothing":
        return self

    def __call__(self, *_: object, **__: object) -> "Nothing":
        return self
