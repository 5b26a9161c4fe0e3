"""Seed, virtual time, processes, what travels in the network, and the scheduler that picks who goes on."""

import hashlib
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.simulation.fibers import Ended, Fiber

TRACE_LINES = 400
FAR_MS = 1e15


class Channel:
    """Requests of one connection, in order; each arrives when the schedule says so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests: deque[Callable[[], object]] = deque()
        self.closed = False


class Process:
    """One incarnation of a worker: its fibers, its connections, and whether the group knows it is there."""

    def __init__(self, world: "World", role: str, slot: int) -> None:
        self.world, self.role, self.slot = world, role, slot
        self.number = world.next_number()
        self.name = f"{role}-{slot}#{self.number}"
        self.dead = False
        self.zombie = False
        self.stopping = False
        self.frozen_until_ms = 0.0
        self.fibers: list[Fiber] = []
        self.channels: dict[Any, Channel] = {}
        self.loop: Any = None
        self.clients: list[Any] = []
        self.hooks: dict[str, Any] = {}  # of Python, as the process has set them
        self.raised = False  # an exception was put into it

    def channel(self, name: Any) -> Channel:
        """Return the connection of that name."""
        found = self.channels.get(name)
        if found is None:
            found = self.channels[name] = Channel(f"{self.name} {name}")
            self.world.channels.append(found)
        return found

    def spawn(self, call: Callable[[], object], on_end: Callable[[Fiber], None]) -> Fiber:
        """Start blocking code of this process."""

        def ended(fiber: Fiber) -> None:
            self.fibers.remove(fiber)
            if not self.dead:
                on_end(fiber)

        fiber = Fiber(call, ended)
        self.fibers.append(fiber)
        return fiber

    def kill(self) -> None:
        """End it here and now; a part of what it has sent is still on its way."""
        if self.dead:
            return
        self.dead = True
        for channel in self.channels.values():
            left = self.world.rng.randint(0, len(channel.requests))
            channel.closed = True
            while len(channel.requests) > left:
                channel.requests.pop()
        running = self.world.fiber
        for fiber in [f for f in self.fibers if f is not running]:
            self.world.fiber = fiber
            fiber.kill()
        self.world.fiber = running
        if self.loop is not None:
            self.loop.abandon()
        self.world.processes.remove(self)


class World:
    """One run. Everything random comes from its one generator."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now_ms = 0.0
        self.steps = 0
        self.fiber: Fiber | None = None
        self.process: Process | None = None
        self.processes: list[Process] = []
        self.channels: list[Channel] = []
        self.timers: list[tuple[float, int, Callable[[], object]]] = []
        self.violations: list[str] = []
        self.lines: deque[str] = deque(maxlen=TRACE_LINES)
        self._digest = hashlib.blake2b(digest_size=16)
        self._numbers = 0

    def next_number(self) -> int:
        """Return a number that nobody else has."""
        self._numbers += 1
        return self._numbers

    def trace(self, what: str) -> None:
        """Note a step; the digest of all notes is the run's identity."""
        line = f"{self.now_ms:9.2f} {what}"
        self.lines.append(line)
        self._digest.update(line.encode() + b"\n")

    @property
    def digest(self) -> str:
        """Identity of everything noted so far."""
        return self._digest.hexdigest()

    def after(self, delay_ms: float, call: Callable[[], object]) -> None:
        """Call at a later time."""
        self.timers.append((self.now_ms + delay_ms, self.next_number(), call))

    def wait(self, for_ms: float, ready: Callable[[], bool] | None = None) -> None:
        """Let others go on; called by blocking code of a process (elsewhere it returns at once)."""
        if self.fiber is not None:
            self.fiber.wait(self.now_ms + for_ms, ready)

    def step(self) -> bool:
        """Let one thing happen that may happen next; False when nothing is left to happen."""
        self.steps += 1
        choices = self._choices()
        if not choices:
            wake_ms = self._next_wake_ms()
            if wake_ms >= FAR_MS:
                return False
            self.now_ms = max(self.now_ms, wake_ms)
            choices = self._choices()
        self.now_ms += self.rng.random() * 1.0
        kind, what = choices[self.rng.randrange(len(choices))]
        with suppress(Ended):
            if kind == 0:
                self._run_fiber(*what)
            elif kind == 1:
                self._run_loop(what)
            elif kind == 2:
                what.requests.popleft()()
            else:
                self.timers.remove(what)
                what[2]()
        return True

    def _choices(self) -> list[tuple[int, Any]]:
        now_ms = self.now_ms
        found: list[tuple[int, Any]] = []
        for process in self.processes:
            if process.frozen_until_ms > now_ms:
                continue
            found += [(0, (process, fiber)) for fiber in process.fibers if fiber.due(now_ms)]
            if process.loop is not None and process.loop.due(now_ms):
                found.append((1, process))
        self.channels = [c for c in self.channels if c.requests or not c.closed]
        found += [(2, channel) for channel in self.channels if channel.requests]
        found += [(3, timer) for timer in self.timers if timer[0] <= now_ms]
        return found

    def _next_wake_ms(self) -> float:
        times = [max(p.frozen_until_ms, fiber.wake_ms) for p in self.processes for fiber in p.fibers]
        times += [max(p.frozen_until_ms, p.loop.next_ms()) for p in self.processes if p.loop is not None]
        times += [timer[0] for timer in self.timers]
        return min(times, default=FAR_MS)

    def _run_fiber(self, process: Process, fiber: Fiber) -> None:
        self.fiber, self.process = fiber, process
        try:
            fiber.resume()
        finally:
            self.fiber = self.process = None
        if process.dead and not fiber.done:
            fiber.kill()

    def _run_loop(self, process: Process) -> None:
        self.process = process
        try:
            process.loop.turn()
        except Ended:
            process.loop.abandon()
        finally:
            self.process = None
