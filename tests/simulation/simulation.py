"""One run of one seed: a small plant of real workers, bad weather, a last restart, and the judgement."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from enum import Enum
from typing import NamedTuple
from unittest import mock

from tests.simulation.broker import Broker, Record
from tests.simulation.clients import Net, SimConsumer, SimProducer, expel
from tests.simulation.faults import CALM, Faults, weather_of
from tests.simulation.payments import PAYMENTS
from tests.simulation.published import Published
from tests.simulation.scene import Scene
from tests.simulation.shims import TraceLog, sim_ending, sim_threading, sim_time
from tests.simulation.store import SimSocket, SimStore
from tests.simulation.strangers import stranger
from tests.simulation.workers import Plant, Stage, Worker, roles_of, settled
from tests.simulation.world import World

WALL_START_MS = 1_872_800_000_000  # years after the events: what is published is a replay
CLOCK_ROWS = 4  # after which a partition's clock looks: a run has few rows
STEPS_MAX = 12_000
STALL_MS = 20_000.0
QUIET_STEPS_MIN, QUIET_STEPS_MAX = 150, 900  # of a storm, after the last record is published


class Outcome(NamedTuple):
    """What a run came to: nothing wrong when `wrong` is empty."""

    seed: int
    wrong: list[str]
    digest: str
    trace: list[str]
    faults: dict[str, int]
    steps: int
    published: int


class Stalled(Exception):
    """Nothing moves any more, or too much does."""


class Aim(Enum):
    """Where faults are made likelier, for rules that are missed once in hundreds of runs."""

    CHECKPOINT = 1  # a stage in the middle of its transaction lives on beside its successor
    SCORER = 2  # so does a scorer
    STORE = 3  # stages die while the store is away


class Simulation:
    """The plant of a seed and its supervisor."""

    def __init__(self, seed: int, strangers: bool = False, scene: Scene = PAYMENTS) -> None:
        self.scene = scene
        self.strangers = random.Random(f"strangers {seed}") if strangers else None
        self.world = world = World(seed)
        rng = world.rng
        raw, partitions, _ = (
            rng.randint(1, 3),
            rng.randint(1, 3),
            rng.randint(1, 3),
        )  # raw ones may have grown
        self.broker = Broker(world, scene.partitions(raw, partitions))
        self.faults = Faults(rng, *weather_of(rng))
        self.store = SimStore(world, self.faults)
        self.net = Net(world, self.broker, self.faults, WALL_START_MS)
        self.workload = scene.producers(rng, raw)
        self.to_publish: list[Published] = self.workload.records(rng.randint(4, 16))
        self.published = 0
        self.roles = roles_of(scene)
        self.slots = {role: rng.choice((1, 2)) for role in self.roles}
        self.aim: Aim | None = None
        self.frozen: dict[str, tuple[str, int]] = {}  # aimed at: role and epoch, by transactional id
        self.silences = random.Random(f"silences {seed}")  # draws that move none of the run's others
        self.plant: Plant
        self.live: dict[tuple[str, int], Worker] = {}

    def run(self) -> Outcome:
        """Run to the end and judge."""
        world = self.world
        wrong: list[str] = []
        try:
            self.plant = Plant(world, self.net, self.store, self.scene)
            self._start_all()
            self._storm()
            self._settle()
            self._restart_all()
            self._settle()
            wrong = self.scene.judge(self)
            for probe in self.workload.probes():
                self._publish(probe)
            self._settle()
            wrong = wrong or self.scene.judge(self)
        except Stalled as stall:
            wrong = [f"stalled: {stall}"]
        finally:
            self._kill_all()
        wrong = world.violations + wrong
        return Outcome(
            world.seed, wrong, world.digest, list(world.lines), dict(self.faults.struck), world.steps,
            self.published,
        )  # fmt: skip

    # the supervisor
    def start(self, role: str, slot: int) -> Worker:
        """Start a worker; it is started again when it ends."""
        worker = self.roles[role](self.plant, role, slot)
        worker.on_end = self._ended
        self.live[role, slot] = worker
        self.world.trace(f"start {worker.name}")
        return worker

    def _ended(self, worker: Worker) -> None:
        """Its group misses it after a while; the supervisor starts another."""
        rng = self.world.rng
        self.world.after(rng.random() * 30, lambda: expel(worker, self.broker))
        if self.live.get((worker.role, worker.slot)) is worker:
            del self.live[worker.role, worker.slot]
            self.world.after(rng.random() * 20, lambda: self._restart(worker.role, worker.slot))

    def _restart(self, role: str, slot: int) -> None:
        if (role, slot) not in self.live:
            self.start(role, slot)

    def _start_all(self) -> None:
        for role, slots in self.slots.items():
            for slot in range(slots):
                self.start(role, slot)

    def _kill_all(self) -> None:
        self.live.clear()
        for process in list(self.world.processes):
            process.kill()
            expel(process, self.broker)

    def _restart_all(self) -> None:
        """Everything dies: what is durable must be enough."""
        self.world.trace("everything dies")
        self._kill_all()
        if self.world.rng.random() < 0.5:
            for channel in self.world.channels:
                channel.requests.clear()
        self._start_all()

    # phases
    def _storm(self) -> None:
        """Publish while faults strike, until all went through, or would take too long.

        What is published first waits for take-overs and for the gate's alignment: a storm that ended with the
        last record would be over before the stages fold a row.
        """
        world, rng = self.world, self.world.rng
        quiet = 0
        while (
            self.to_publish
            or quiet < QUIET_STEPS_MIN
            or (quiet < QUIET_STEPS_MAX and not settled(self.plant))
        ):
            if self.to_publish and rng.random() < 0.04:
                self._publish(self.to_publish.pop(0))
            if self.faults.strikes(self.faults.weather.step, "step"):
                self._strike()
            if self.silences.random() < 0.02:
                self._silence()
            if self.aim is not None:
                self._strike_aimed(self.aim)
            if not self.to_publish:
                quiet += 1
            world.step()

    def _publish(self, record: Published) -> None:
        self.published += 1
        if self.strangers is not None and self.strangers.random() < 0.5:
            place, value = stranger(self.strangers, self.broker.logs)
            self.broker.append(place, Record(None, value, None, self.net.wall_ms(), None, "stranger"))
        self.broker.append(
            (record.topic, record.partition),
            Record(record.key, record.value, None, self.net.wall_ms(), None, "producer"),
        )

    def _settle(self) -> None:
        """No more faults: let zombies live out, then wait until all went through."""
        world = self.world
        self.faults.weather = CALM
        end_steps, end_ms = world.steps + STEPS_MAX, world.now_ms + STALL_MS
        while not self._is_settled():
            for _ in range(20):
                if not world.step():
                    raise Stalled("nothing moves")
            if world.steps > end_steps or world.now_ms > end_ms:
                raise Stalled(f"after {world.steps} steps at {world.now_ms:.0f} ms")
            if world.violations:
                return

    def _is_settled(self) -> bool:
        world = self.world
        if any(process.zombie or process.stopping for process in world.processes):
            return False
        if any(channel.requests for channel in world.channels) or self.broker.open:
            return False
        if sum(self.slots.values()) != len(self.live) or not settled(self.plant):
            return False
        return all(_stores_settled(worker) for worker in self.live.values())

    # faults
    def _strike(self) -> None:
        rng = self.world.rng
        strike = rng.choices(
            (self._crash, self._crash_many, self._zombies, self._stop_one, self._time_out, self._hurt_store),
            (5, 2, 5, 2, 1, 3),
        )[0]
        self.faults.struck[strike.__name__.strip("_")] += 1
        strike()

    def _strike_aimed(self, aim: Aim) -> None:
        """Strike where it hurts one rule most: the same faults, only likelier there and then."""
        if aim is Aim.STORE:
            self._strike_store()
            return
        if aim is Aim.CHECKPOINT:
            self._strike_checkpoint()
            return
        for txn in list(self.broker.open.values()):
            worker = self.live.get((txn.by.role, txn.by.slot))
            hit = worker is txn.by and txn.offsets
            if worker is not None and hit and not worker.zombie and self.faults.strikes(0.2, "aimed"):
                self._zombie(worker)

    def _strike_store(self) -> None:
        """The store goes away, and is back when a stage dies behind a checkpoint with rows that it lacks.

        It goes while its sentinels say that it has all: else whoever takes over writes everything again.
        """
        store, now_ms = self.store, self.world.now_ms
        stages = [w for w in self.live.values() if isinstance(w, Stage) and not w.stopping and not w.zombie]
        if now_ms > store.down_until_ms:
            whole = any(w.faust.reads and not w.store_lacks() for w in stages)
            if whole and self.faults.strikes(0.05, "aimed"):
                self._store_down(crashes=False)
            return
        for worker in stages:
            owes = worker.store._newest_ticket > worker.store._acknowledged and not worker.store_lacks()
            if owes and self.world.rng.random() < (0.3 if worker.worker.settled else 0.002):
                self._crash_one(worker)
                store.down_until_ms = now_ms

    def _strike_checkpoint(self) -> None:
        """A stage freezes in the middle of a checkpoint and goes on while its successor takes over.

        Then whoever took over dies: the next one reads what both have written.
        """
        broker, world = self.broker, self.world
        for txn in list(broker.open.values()):
            worker = self.live.get((txn.by.role, txn.by.slot))
            hit = isinstance(worker, Stage) and worker is txn.by and not worker.zombie and broker.rows_of(txn)
            if worker is None or not hit or not self.faults.strikes(0.5, "aimed"):
                continue
            world.trace(f"freezes {worker.name}")
            self.frozen[txn.id] = (worker.role, broker.epochs[txn.id])
            worker.zombie = True
            expel(worker, broker)
            worker.frozen_until_ms = world.now_ms + world.rng.uniform(10, 40)
            del self.live[worker.role, worker.slot]
            self._restart(worker.role, worker.slot)
            world.after(100, lambda worker=worker: self._zombie_ends(worker, replaced=True))
        for id_, (role, epoch) in list(self.frozen.items()):
            if broker.epochs[id_] > epoch and id_ not in broker.open:
                del self.frozen[id_]
                world.after(world.rng.uniform(1, 30), lambda role=role: self._crash_role(role))

    def _crash_role(self, role: str) -> None:
        for worker in [worker for worker in self.live.values() if worker.role == role]:
            self._crash_one(worker)

    def _silence(self) -> None:
        """A partition of the producers gives nothing for a while: what others give may be held meanwhile."""
        raw = [place for place in self.broker.logs if place[0] in self.scene.raw_topics]
        place = self.silences.choice(raw)
        self.net.silent_until_ms[place] = self.world.now_ms + self.silences.uniform(20, 300)
        self.faults.struck["silence"] += 1

    def _crash(self) -> None:
        self._crash_one(self._pick())

    def _crash_many(self) -> None:
        live = list(self.live.values())
        for worker in self.world.rng.sample(live, min(len(live), self.world.rng.randint(2, 4))):
            self._crash_one(worker)

    def _crash_one(self, worker: Worker | None) -> None:
        if worker is not None and not worker.dead:
            self.world.trace(f"crash {worker.name}")
            worker.leave()

    def _zombies(self) -> None:
        """Workers that the group takes for dead and that live on, perhaps beside successors."""
        live = [worker for worker in self.live.values() if not worker.stopping and not worker.zombie]
        rng = self.world.rng
        if rng.random() < 0.7:
            some = [worker for worker in [self._pick()] if worker in live]
        else:
            some = rng.sample(live, min(3, len(live)))
        for worker in some:
            self._zombie(worker)

    def _zombie(self, worker: Worker) -> None:
        rng, world = self.world.rng, self.world
        world.trace(f"zombie {worker.name}")
        worker.zombie = True
        expel(worker, self.broker)
        if rng.random() < 0.5:
            worker.frozen_until_ms = world.now_ms + rng.random() * 80
        replaced = rng.random() < 0.5
        if replaced:
            del self.live[worker.role, worker.slot]
            world.after(rng.random() * 10, lambda: self._restart(worker.role, worker.slot))
        ends_ms = max(worker.frozen_until_ms - world.now_ms, 0.0) + rng.random() * 100
        world.after(ends_ms, lambda: self._zombie_ends(worker, replaced))

    def _zombie_ends(self, worker: Worker, replaced: bool) -> None:
        if worker.dead:
            return
        if replaced or self.world.rng.random() < 0.3:
            self.world.trace(f"zombie {worker.name} dies")
            worker.leave()
        else:
            self.world.trace(f"zombie {worker.name} awakes")
            worker.heed()

    def _stop_one(self) -> None:
        worker = self._pick()
        if worker is not None and not worker.stopping and not worker.zombie:
            self.world.trace(f"stop {worker.name}")
            worker.stop()

    def _time_out(self) -> None:
        for txn in list(self.broker.open.values()):
            self.broker.time_out(txn)

    def _hurt_store(self) -> None:
        rng, store = self.world.rng, self.store
        kind = rng.choice(("flush", "down", "down", "restart"))
        self.world.trace(f"store {kind}")
        if kind != "flush":
            self._store_down(crashes=rng.random() < 0.5)
        if kind != "down":
            store.flush()
            store.server_id += kind == "restart"

    def _store_down(self, *, crashes: bool) -> None:
        """The store is away for a while; perhaps a stage dies with rows that the store has not got."""
        rng = self.world.rng
        for_ms = 30 + rng.random() * 120
        self.store.down_until_ms = self.world.now_ms + for_ms
        if crashes:
            self.world.after(rng.uniform(0.5, 1.0) * for_ms, lambda: self._crash_one(self._pick_stage()))

    def reach(self, point: str) -> None:
        """A worker passes a point of its code; perhaps an exception is raised there."""
        worker = self.world.process
        if worker is None or worker.dead or (error := self.faults.exception(point)) is None:
            return
        worker.raised = True
        self.world.trace(f"{error!r} at {point} in {worker.name}")
        raise error

    def _pick(self) -> Worker | None:
        """Return a worker to hurt: rather often one with an open transaction, where it hurts most."""
        rng, live = self.world.rng, list(self.live.values())
        busy = [txn for txn in self.broker.open.values() if txn.by in live]
        if busy and rng.random() < 0.5:
            nearly = [txn for txn in busy if txn.offsets]
            return rng.choice(nearly or busy).by  # type: ignore[return-value]
        return rng.choice(live) if live else None

    def _pick_stage(self) -> Worker | None:
        stages = [worker for worker in self.live.values() if isinstance(worker, Stage)]
        return self.world.rng.choice(stages) if stages else None


def _stores_settled(worker: Worker) -> bool:
    if not isinstance(worker, Stage):
        return True
    faust = worker.faust
    if faust.rebalancing or faust.generation != faust.group.generation or faust.member.out:
        return False
    if set(worker.worker._live) != set(faust.reads):
        return False
    if worker.store_lacks():
        return False
    writer = worker.store
    idle = not (writer._parts or writer._refills or writer._refills_asked or writer._lost or writer._down)
    return idle and writer.acknowledged(writer._newest_ticket) and worker.worker.settled


@contextmanager
def _in_place(simulation: Simulation) -> Iterator[None]:
    """Put the simulated clients, clocks and threads where the service's modules look for them."""
    net, world = simulation.net, simulation.world
    producer: Callable[..., SimProducer] = lambda conf: SimProducer(net, conf)  # noqa: E731
    consumer: Callable[..., SimConsumer] = lambda conf: SimConsumer(net, conf)  # noqa: E731
    socket = lambda redis, connect_s, reply_s: SimSocket(simulation.store, connect_s, reply_s)  # noqa: E731
    log, time = TraceLog(world), sim_time(world)
    replaced = {
        "runtime.kafka_clients": {"Producer": producer, "Consumer": consumer},
        "streams.gate.worker": {"time": time, "log": log},
        "streams.stage.outputs": {"threading": sim_threading(world, starts=True)},
        "streams.stage.changelog": {"threading": sim_threading(world, starts=True)},
        "streams.stage.worker": {"time": time, "log": log},
        "streams.store.writer": {"RedisSocket": socket, "threading": sim_threading(world, starts=True)},
        "inference.scorer.kafka": {"time": time},
        "inference.scorer.scorer": {"log": log},
        "inference.release.arms": {"log": log},
        "inference.reading.served": {"log": log},
        "contracts.crash_points": {"_WHEN": "simulated", "_obey": simulation.reach},
        "runtime.ending": sim_ending(world, lambda code: simulation.plant.exit(code)) | {"log": log},
        "runtime.watchdog": {"threading": sim_threading(world, starts=False), "time": time},
        "features.partition_clock.PartitionClock": {"rows": CLOCK_ROWS},
        "load.oracle.windows.ClockOracle": {"rows": CLOCK_ROWS},
    }  # fmt: skip
    patches = [
        mock.patch(f"{module}.{name}", thing)
        for module, names in replaced.items()
        for name, thing in names.items()
    ]
    with _all(patches):
        yield


@contextmanager
def _all(patches: list[object]) -> Iterator[None]:
    for patch in patches:
        patch.start()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for patch in patches:
            with suppress(RuntimeError):
                patch.stop()  # type: ignore[attr-defined]


def simulate(
    seed: int,
    change: Callable[[Simulation], AbstractContextManager[None]] | None = None,
    strangers: bool = False,
    scene: Scene = PAYMENTS,
) -> Outcome:
    """Run one seed, perhaps under a change of the service (see `rules_off`), or with strangers' frames."""
    simulation = Simulation(seed, strangers, scene)
    with _in_place(simulation), change(simulation) if change else nullcontext():
        return simulation.run()
