"""The faults of a chaos run, each of which proves that it struck.

A fault is a function of the site and a generator of its own; it returns once its cause is over, and says
whether it was seen to have struck. What is not proven is not counted, and another is drawn.
"""

import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from contracts import crash_points
from contracts.errors import ConfigError
from headrace.supervisor import WORKERS, Worker, numbered
from inference.release.registry import Change, Registry
from load.chaos.settle import client
from load.chaos.stand import Kind, Stand

Random = np.random.Generator
Fault = Callable[["Site", Random], bool]

END_WAIT_S = 10.0
READY_WAIT_S = 60.0
SESSION_S = 3.0
POINT_WAIT_S = 12.0
SCALED = 3
POINTS_OF: dict[str, tuple[Kind, ...]] = {  # which workers reach the points of each room
    "gate": (("gate",),), "stage": (("stream", "customer"), ("stream", "terminal")), "scorer": (("score",),),
    "archive": (("archive",),),
}  # fmt: skip
ZOMBIE_POINTS = (
    "gate.after_produce", "gate.before_commit", "stage.after_store", "stage.before_checkpoint",
    "stage.in_checkpoint", "scorer.after_produce", "scorer.after_send_offsets", "archive.in_write",
)  # fmt: skip
AT_A_START = ("stage.take_over",)  # reached by a successor alone


class Site:
    """What a fault may use: the stand, the folder of armed workers, and what is known of the load.

    Args:
        sent: how many records were sent so far.
        predicted_by: how many predictions a model's version made so far.
    """

    def __init__(
        self, stand: Stand, armed: Path, sent: Callable[[], int], predicted_by: Callable[[str], int]
    ) -> None:
        self.stand, self.armed, self._sent, self.predicted_by = stand, armed, sent, predicted_by
        self.struck_s, self.first_record = 0.0, 0
        armed.mkdir(exist_ok=True)
        self.rebalances = 0
        self.code_points: dict[str, int] = {}

    def strike(self) -> None:
        """Say that a fault strikes now: what is sent from here on may feel it."""
        self.struck_s, self.first_record = time.monotonic(), self._sent()

    def any_of(self, kind: Kind, rng: Random) -> Worker | None:
        """Return a ready worker of a kind, None while there is none."""
        ready = [worker for worker in self.stand.supervisor.of_kind(kind) if self.stand.process_of(worker)]
        return ready[int(rng.integers(len(ready)))] if ready else None

    def arm(self, worker: Worker, order: str) -> bool:
        """Have a worker obey an order at a point of its code; return whether it came there in time."""
        armed = self.armed / worker.name
        hit = armed.with_name(armed.name + ".hit")
        armed.write_text(order)
        struck = self.stand.until(hit.exists, POINT_WAIT_S)
        armed.unlink(missing_ok=True)
        struck = struck or hit.exists()  # it may have been reached between the two lines
        self.strike()
        hit.unlink(missing_ok=True)
        return struck

    def count_point(self, point: str) -> None:
        """Count a point of the code that was reached and obeyed."""
        self.code_points[point] = self.code_points.get(point, 0) + 1


def kill(kind: Kind, site: Site, rng: Random) -> bool:
    """End a worker at once, as the kernel does when memory runs out."""
    worker = site.any_of(kind, rng)
    if worker is None or worker.process is None:
        return False
    victim = worker.process
    victim.kill()
    return not victim.alive()


def term(kind: Kind, site: Site, rng: Random) -> bool:
    """Ask a worker to end, as an orchestrator does; it is started again."""
    worker = site.any_of(kind, rng)
    if worker is None or worker.process is None:
        return False
    victim = worker.process
    site.stand.supervisor.ask_to_end(worker)
    return site.stand.until(lambda: not victim.alive(), END_WAIT_S)


def pause(kind: Kind, site: Site, rng: Random) -> bool:
    """Stop a worker's clock for longer than its session while another takes over; then let it wake up."""
    stand = site.stand
    with more(kind, site, 2) as grown:
        worker = site.any_of(kind, rng)
        if not grown or worker is None or worker.process is None:
            return False
        victim = worker.process
        site.strike()
        victim.signal(signal.SIGSTOP)
        stopped = state_of(victim.pid)
        stand.let_pass(float(rng.uniform(1.5, 2.5)) * SESSION_S)
        victim.signal(signal.SIGCONT)
        stand.let_pass(1.0)  # a zombie has a moment to do what it must not
        return stopped == "T"


def scale(kind: Kind, site: Site, rng: Random) -> bool:
    """Grow from one worker to three and shrink again while records come."""
    with more(kind, site, SCALED) as grown:
        site.stand.let_pass(float(rng.uniform(1.0, 3.0)))
    return grown


class more:  # reads as a statement
    """Run several workers of a kind inside the block; true when all were ready."""

    def __init__(self, kind: Kind, site: Site, count: int) -> None:
        self._kind, self._site, self._count = kind, site, count
        self._added: list[Worker] = []

    def __enter__(self) -> bool:
        stand = self._site.stand
        have = len(stand.supervisor.of_kind(self._kind))
        self._added = [stand.supervisor.add(self._kind) for _ in range(self._count - have)]
        self._site.rebalances += len(self._added)
        ready = lambda: all(stand.supervisor.is_ready(worker) for worker in self._added)  # noqa: E731
        return stand.until(ready, READY_WAIT_S)

    def __exit__(self, *_error: object) -> None:
        for worker in self._added:
            self._site.stand.supervisor.remove(worker)
            self._site.rebalances += 1


def kill_broker(site: Site, rng: Random) -> bool:
    """Kill Kafka, and start it again on its ports and its log."""
    before = site.stand.servers.kafka.known
    site.stand.crash_server(site.stand.servers.kafka, float(rng.uniform(0.2, 2.0)))
    return before is not None and not before.process.alive()


def stall_broker(site: Site, rng: Random) -> bool:
    """Stop Kafka's clock for a few seconds."""
    site.stand.stall_server(site.stand.servers.kafka, float(rng.uniform(1.0, 5.0)))
    return True


def kill_redis(site: Site, rng: Random) -> bool:
    """Kill Redis, and start it again, empty."""
    before = site.stand.servers.redis.known
    site.stand.crash_server(site.stand.servers.redis, float(rng.uniform(0.1, 3.0)))
    return before is not None and not before.process.alive()


def flush_redis(site: Site, _rng: Random) -> bool:
    """Empty the store under everybody's feet."""
    with client(site.stand.redis) as store:
        before = store.dbsize()
        store.flushall()
    return bool(before)


def stall_redis(site: Site, rng: Random) -> bool:
    """Stop Redis's clock: connections stay, answers do not come."""
    site.stand.stall_server(site.stand.servers.redis, float(rng.uniform(0.3, 4.0)))
    return True


def at_point(point: str, site: Site, rng: Random) -> bool:
    """End a worker at a named point of its code, some passages from now."""
    kinds = POINTS_OF[point.partition(".")[0]]
    kind = kinds[int(rng.integers(len(kinds)))]
    worker = site.any_of(kind, rng)
    if worker is None or worker.process is None:
        return False
    victim = worker.process
    if point in AT_A_START:
        victim.kill()
        passages = 1
    else:
        passages = int(rng.integers(1, 4))
    struck = site.arm(worker, f"{point}:{passages}")
    if struck:
        site.count_point(point)
    return struck and site.stand.until(lambda: not victim.alive(), END_WAIT_S)


def zombie_at(point: str, site: Site, rng: Random) -> bool:
    """Stop a worker's clock at a point until another owns its partitions, then let it go on from there."""
    kinds, stand = POINTS_OF[point.partition(".")[0]], site.stand
    kind = kinds[int(rng.integers(len(kinds)))]
    with more(kind, site, 2) as grown:
        worker = site.any_of(kind, rng)
        if not grown or worker is None or worker.process is None:
            return False
        victim = worker.process
        if not site.arm(worker, f"{point}:{int(rng.integers(1, 4))}:STOP"):
            return False
        stopped = state_of(victim.pid)
        stand.let_pass(float(rng.uniform(1.5, 2.5)) * SESSION_S)
        victim.signal(signal.SIGCONT)
        stand.let_pass(1.0)
        site.count_point(point)
        return stopped == "T"


def promote(site: Site, _rng: Random) -> bool:
    """Make another model the champion while the scorers work; they are seen to use it."""
    registry = Registry(site.stand.run.models)
    other = next(entry for entry in registry.entries() if entry.stage != "champion")
    before = site.predicted_by(other.version)
    registry.promote(other.id, Change(who="chaos", at_ms=time.time_ns() // 1_000_000, why="a chaos run"))
    return site.stand.until(lambda: site.predicted_by(other.version) > before, READY_WAIT_S)


def canary(site: Site, _rng: Random) -> bool:
    """Let another model decide for half of the customers while the scorers work, then retire it."""
    registry = Registry(site.stand.run.models)
    other = next(entry for entry in registry.entries() if entry.stage != "champion")
    change = Change(who="chaos", at_ms=time.time_ns() // 1_000_000, why="a chaos run")
    before = site.predicted_by(other.version)
    registry.promote(other.id, change, "canary", share_percent=50.0)
    struck = site.stand.until(lambda: site.predicted_by(other.version) > before, READY_WAIT_S)
    registry.retire(other.id, change)
    return struck


def state_of(pid: int) -> str:
    """Return the kernel's letter for a process: T is stopped."""
    time.sleep(0.05)
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def catalogue() -> dict[str, Fault]:
    """Return every fault by name: `group:what`."""
    found: dict[str, Fault] = {}
    for kind in WORKERS:
        name = numbered(kind, 0)
        for group, fault in (("kill", kill), ("term", term), ("pause", pause), ("scale", scale)):
            found[f"{group}:{name}"] = partial(fault, kind)
    found |= {f"point:{point}": partial(at_point, point) for point in crash_points.POINTS}
    found |= {f"zombie:{point}": partial(zombie_at, point) for point in ZOMBIE_POINTS}
    found |= {
        "broker:kill": kill_broker, "broker:stall": stall_broker, "redis:kill": kill_redis,
        "redis:flush": flush_redis, "redis:stall": stall_redis, "model:promote": promote,
        "model:canary": canary,
    }  # fmt: skip
    return found


def chosen(wanted: tuple[str, ...]) -> dict[str, Fault]:
    """Return the faults that are wanted by name or by group; all when none is named.

    >>> sorted(chosen(("redis", "kill:gate")))
    ['kill:gate', 'redis:flush', 'redis:kill', 'redis:stall']
    """
    everything = catalogue()
    if not wanted:
        return everything
    known = {*everything, *(name.partition(":")[0] for name in everything)}
    if strange := set(wanted) - known:
        raise ConfigError(
            "E_CHAOS_FAULT", f"no such fault: {', '.join(sorted(strange))}", "--faults",
            f"name some of {', '.join(sorted(everything))}, or a group",
        )  # fmt: skip
    return {name: fault for name, fault in everything.items() if {name, name.partition(":")[0]} & set(wanted)}


def draws(faults: dict[str, Fault], rng: Random) -> Iterator[tuple[str, Fault, Random]]:
    """Yield faults for ever: every one once before any comes again, in an order of the seed."""
    names = sorted(faults)
    while True:
        for index in rng.permutation(len(names)):
            name = names[index]
            yield name, faults[name], np.random.default_rng(rng.integers(2**63))
