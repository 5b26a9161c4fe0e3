"""The faults of a chaos run, each of which proves that it struck.

A fault is a function of the site and a generator of its own; it returns once its cause is over, and says
whether it was seen to have struck. What is not proven is not counted, and another is drawn.
"""

import signal
import time
from collections.abc import Iterator
from functools import partial

import numpy as np

from contracts import crash_points
from contracts.errors import ConfigError
from headrace.stack import Kind
from headrace.supervisor import LEARNER, numbered, workers_of_project
from inference.release.registry import Change, Registry
from load.chaos import damage, exceptions, malformed, surroundings
from load.chaos.settle import client
from load.chaos.site import END_WAIT_S, READY_WAIT_S, Fault, Random, Site, kinds_of, more, state_of
from load.chaos.stack import SERVE, kinds

SESSION_S = 3.0
SCALED = 3
ZOMBIE_POINTS = (
    "gate.after_produce", "gate.before_commit", "stage.after_store", "stage.before_checkpoint",
    "stage.in_checkpoint", "scorer.after_produce", "scorer.after_send_offsets", "archive.in_write",
)  # fmt: skip
NAMED_ONLY = ("damage:deleted-unread", "damage:redis-evicts", "damage:offsets-gate")  # no run had them yet
AT_A_START = ("stage.take_over",)  # reached by a successor alone
CRASH_POINTS = (*crash_points.POINTS, *(p for p in crash_points.LEARNER_POINTS if ".after_" in p))


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
    site.stack.supervisor.ask_to_end(worker)
    return site.stack.until(lambda: not victim.alive(), END_WAIT_S)


def pause(kind: Kind, site: Site, rng: Random) -> bool:
    """Stop a worker's clock for longer than its session while another takes over; then let it wake up."""
    stack = site.stack
    with more(kind, site, 2) as grown:
        worker = site.any_of(kind, rng)
        if not grown or worker is None or worker.process is None:
            return False
        victim = worker.process
        site.strike()
        victim.signal(signal.SIGSTOP)
        stopped = state_of(victim.pid)
        stack.let_pass(float(rng.uniform(1.5, 2.5)) * SESSION_S)
        victim.signal(signal.SIGCONT)
        stack.let_pass(1.0)  # a zombie has a moment to do what it must not
        return stopped == "T"


def pause_learner(site: Site, rng: Random) -> bool:
    """Stop the learner's clock while another takes its place over; what it does after it wakes is refused."""
    worker, stack = site.any_of(LEARNER, rng), site.stack
    if worker is None or worker.process is None:
        return False
    victim = worker.process
    victim.signal(signal.SIGSTOP)
    stopped = state_of(victim.pid)
    with more(LEARNER, site, 2) as taken_over:
        victim.signal(signal.SIGCONT)
        stack.let_pass(1.0)
    return taken_over and stopped == "T"


def pause_api(site: Site, rng: Random) -> bool:
    """Stop the HTTP API's clock for a while: connections stay, answers do not come."""
    worker = site.any_of(SERVE, rng)
    if worker is None or worker.process is None:
        return False
    victim = worker.process
    victim.signal(signal.SIGSTOP)
    stopped = state_of(victim.pid)
    site.stack.let_pass(float(rng.uniform(1.0, 3.0)))
    victim.signal(signal.SIGCONT)
    return stopped == "T"


def scale(kind: Kind, site: Site, rng: Random) -> bool:
    """Grow from one worker to three and shrink again while records come."""
    with more(kind, site, SCALED) as grown:
        site.stack.let_pass(float(rng.uniform(1.0, 3.0)))
    return grown


def kill_broker(site: Site, rng: Random) -> bool:
    """Kill Kafka, and start it again on its ports and its log."""
    before = site.stack.servers.kafka.known
    site.stack.crash_server(site.stack.servers.kafka, float(rng.uniform(0.2, 2.0)))
    return before is not None and not before.process.alive()


def stall_broker(site: Site, rng: Random) -> bool:
    """Stop Kafka's clock for a few seconds."""
    site.stack.stall_server(site.stack.servers.kafka, float(rng.uniform(1.0, 5.0)))
    return True


def kill_redis(site: Site, rng: Random) -> bool:
    """Kill Redis, and start it again, empty."""
    before = site.stack.servers.redis.known
    site.stack.crash_server(site.stack.servers.redis, float(rng.uniform(0.1, 3.0)))
    return before is not None and not before.process.alive()


def flush_redis(site: Site, _rng: Random) -> bool:
    """Empty the store under everybody's feet."""
    with client(site.stack.redis) as store:
        before = store.dbsize()
        store.flushall()
    return bool(before)


def stall_redis(site: Site, rng: Random) -> bool:
    """Stop Redis's clock: connections stay, answers do not come."""
    site.stack.stall_server(site.stack.servers.redis, float(rng.uniform(0.3, 4.0)))
    return True


def at_point(point: str, site: Site, rng: Random) -> bool:
    """End a worker at a named point of its code, some passages from now."""
    kinds = kinds_of(point)
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
    return struck and site.stack.until(lambda: not victim.alive(), END_WAIT_S)


def zombie_at(point: str, site: Site, rng: Random) -> bool:
    """Stop a worker's clock at a point until another owns its partitions, then let it go on from there."""
    kinds, stack = kinds_of(point), site.stack
    kind = kinds[int(rng.integers(len(kinds)))]
    with more(kind, site, 2) as grown:
        worker = site.any_of(kind, rng)
        if not grown or worker is None or worker.process is None:
            return False
        victim = worker.process
        if not site.arm(worker, f"{point}:{int(rng.integers(1, 4))}:STOP"):
            return False
        stopped = state_of(victim.pid)
        stack.let_pass(float(rng.uniform(1.5, 2.5)) * SESSION_S)
        victim.signal(signal.SIGCONT)
        stack.let_pass(1.0)
        site.count_point(point)
        return stopped == "T"


def promote(site: Site, _rng: Random) -> bool:
    """Make another model the champion while the scorers work; they are seen to use it."""
    registry = Registry(site.stack.run.models)
    other = next(entry for entry in registry.entries() if entry.stage != "champion")
    before = site.predicted_by(other.version)
    registry.promote(other.id, Change(who="chaos", at_ms=time.time_ns() // 1_000_000, why="a chaos run"))
    return site.stack.until(lambda: site.predicted_by(other.version) > before, READY_WAIT_S)


def canary(site: Site, _rng: Random) -> bool:
    """Let another model decide for half of the customers while the scorers work, then retire it."""
    registry = Registry(site.stack.run.models)
    other = next(entry for entry in registry.entries() if entry.stage != "champion")
    change = Change(who="chaos", at_ms=time.time_ns() // 1_000_000, why="a chaos run")
    before = site.predicted_by(other.version)
    registry.promote(other.id, change, "canary", share_percent=50.0)
    struck = site.stack.until(lambda: site.predicted_by(other.version) > before, READY_WAIT_S)
    registry.retire(other.id, change)
    return struck


def catalogue() -> dict[str, Fault]:
    """Return every fault by name: `group:what`."""
    found: dict[str, Fault] = {}
    running = kinds()
    for kind in running:
        found |= {
            f"kill:{numbered(kind, 0)}": partial(kill, kind),
            f"term:{numbered(kind, 0)}": partial(term, kind),
        }
    for kind in workers_of_project():
        name = numbered(kind, 0)
        found |= {f"pause:{name}": partial(pause, kind), f"scale:{name}": partial(scale, kind)}
    found |= {"pause:learn": pause_learner} if LEARNER in running else {}
    found |= {"pause:serve": pause_api}
    found |= {f"point:{point}": partial(at_point, point) for point in CRASH_POINTS if kinds_of(point)}
    found |= exceptions.catalogue() | malformed.catalogue() | surroundings.catalogue() | damage.catalogue()
    found |= {f"zombie:{point}": partial(zombie_at, point) for point in ZOMBIE_POINTS}
    found |= {
        "broker:kill": kill_broker, "broker:stall": stall_broker, "redis:kill": kill_redis,
        "redis:flush": flush_redis, "redis:stall": stall_redis, "model:promote": promote,
        "model:canary": canary,
    }  # fmt: skip
    return found


def chosen(wanted: tuple[str, ...]) -> dict[str, Fault]:
    """Return the faults that are wanted by name or by group; when none is, all but `NAMED_ONLY`.

    >>> sorted(chosen(("redis", "kill:gate")))
    ['kill:gate', 'redis:flush', 'redis:kill', 'redis:stall']
    """
    everything = catalogue()
    if not wanted:
        return {name: fault for name, fault in everything.items() if name not in NAMED_ONLY}
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
