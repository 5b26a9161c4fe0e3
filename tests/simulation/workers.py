"""The service's own workers on simulated clients: what `headrace gate`, `stream` and `score` would run."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import HeadraceError, Stop
from inference.models.manifest import Thresholds
from inference.models.model import ModelName
from inference.policy import DEFAULT
from inference.policy.policy import DeclaredPolicy, ReasonTerms, read_policy
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.served import FeatureServer
from inference.scorer.core import ScorerCore
from inference.scorer.kafka import make_consumer, make_producer
from inference.scorer.scorer import Clients, Scorer
from inference.scorer.settings import ScorerSettings
from streams.gate.settings import GateSettings
from streams.gate.worker import GateWorker
from streams.stage.changelog import ChangelogReader
from streams.stage.definition import StageDefinition
from streams.stage.outputs import OutputProducer
from streams.stage.settings import StageSettings
from streams.stage.worker import Servers, StageWorker, Watch
from streams.store.sentinel import Sentinel
from streams.store.settings import StoreSettings
from streams.store.writer import Events, OnlineStoreWriter, StoreTarget
from tests.simulation.clients import Net
from tests.simulation.faust import SimFaust
from tests.simulation.fibers import Ended
from tests.simulation.loop import SimLoop
from tests.simulation.shims import Nothing
from tests.simulation.store import SimCodec, SimReader, SimStore
from tests.simulation.world import Process, World

KAFKA = KafkaConnection(bootstrap_servers="simulated")
REDIS = RedisConnection(host="simulated", port=1)
EPOCH = 7


def _no_reasons() -> DeclaredPolicy:
    declared = read_policy(DEFAULT)
    policy = msgspec.structs.replace(declared.policy, reasons=ReasonTerms(a_row=3, rows_max=0))
    return msgspec.structs.replace(declared, policy=policy)


NO_REASONS = _no_reasons()


class Plant:
    """What all workers of a run share, and the sizes drawn for it."""

    def __init__(self, world: World, net: Net, store: SimStore) -> None:
        self.world, self.net, self.store = world, net, store
        rng = world.rng
        self.gate = GateSettings(
            kafka=KAFKA, gather_ms=1.0, records_a_batch=rng.randint(1, 4), records_a_backlog_batch=4,
            commit_interval_ms=20.0, unacknowledged_max=rng.choice((3, 20)),
        )  # fmt: skip
        self.stage = StageSettings(
            kafka=KAFKA, redis=REDIS, data_folder=Path("nowhere"), epoch=EPOCH,
            store=StoreSettings(sentinel_interval_ms=60.0, reply_timeout_ms=60.0, probe_interval_ms=25.0,
                                breaker_ms=20.0),
            store_wait_ms=rng.choice((2.0, 20.0)), checkpoint_interval_ms=rng.choice((5.0, 25.0, 80.0)),
            tick_ms=rng.choice((3.0, 10.0)), records_waiting_max=rng.randint(1, 4),
            records_unacknowledged_max=rng.choice((3, 20)),
        )  # fmt: skip
        self.scorer: dict[str, Any] = {
            "kafka": KAFKA, "redis": REDIS, "models": Path("nowhere"), "epoch": EPOCH,
            "rows_max": rng.randint(1, 4), "transaction_timeout_ms": 200, "poll_ms": 40.0,
        }  # fmt: skip

    def ended(self, process: Process, error: BaseException | None) -> None:
        """A worker's own end: a stop of ours is right, anything else a fault of the code."""
        if isinstance(error, Ended) or process.dead:
            return
        self.world.trace(f"end of {process.name}: {error!r}")
        if error is not None and not isinstance(error, Stop):
            self.world.violations.append(f"{process.name} failed: {error!r}")
        process.leave()


class Worker(Process):
    """A process of ours."""

    def __init__(self, plant: Plant, role: str, slot: int) -> None:
        super().__init__(plant.world, role, slot)
        self.plant = plant
        self.on_end: Any = None
        plant.world.processes.append(self)
        before, plant.world.process = plant.world.process, self
        try:
            self.start()
        finally:
            plant.world.process = before

    def start(self) -> None:
        """Begin its work."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ask it to finish."""
        self.stopping = True

    def heed(self) -> None:
        """A zombie notices that it was away."""
        self.zombie = False

    def leave(self) -> None:
        """End; whoever waits for that is told."""
        self.kill()
        if self.on_end is not None:
            self.on_end(self)


class Gate(Worker):
    """`streams.gate.worker`."""

    def start(self) -> None:
        def run() -> None:
            GateWorker(self.plant.gate, Nothing()).run(lambda: self.stopping)  # type: ignore[arg-type]

        self.spawn(run, lambda fiber: self.plant.ended(self, fiber.error))


class HashModel:
    """A model whose score is a function of every bit of the vector."""

    identity = ModelName("hash", "1", "champion", "0" * 64)
    thresholds = Thresholds(review=1.0, decline=1.0)

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """Return a number in [0, 1) made of each row's bits."""
        bits = np.ascontiguousarray(np.where(np.isnan(vectors), np.nan, vectors)).view(np.uint64)
        weights = np.arange(1, bits.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (bits * weights).sum(axis=1, dtype=np.uint64)
        return (mixed >> np.uint64(12)).astype(np.float64) / 2.0**52

    def contributions(self, vectors: np.ndarray) -> np.ndarray:
        """Return nothing's worth."""
        return np.zeros((len(vectors), vectors.shape[1] + 1))


class _Models:
    def current(self) -> Any:
        return HashModel()


class _Clock:
    def __init__(self, net: Net) -> None:
        self._net = net

    def now_ms(self) -> float:
        return float(self._net.wall_ms())

    def elapsed_ms(self) -> float:
        return self._net.world.now_ms


class ScorerProcess(Worker):
    """`inference.scorer.scorer`, put together as `inference.scorer.worker` does."""

    def start(self) -> None:
        self.spawn(self._run, lambda fiber: self.plant.ended(self, fiber.error))

    def _run(self) -> None:
        plant = self.plant
        settings = ScorerSettings(slot=self.slot, **plant.scorer)
        clock = _Clock(plant.net)
        server = FeatureServer(SimReader(plant.store), Breaker(25.0), EPOCH, 16)
        core = ScorerCore(server, _Models(), clock, EPOCH, FixedPolicy(NO_REASONS))
        producer = make_producer(settings)
        consumer = make_consumer(settings)
        metrics: Any = Nothing()
        Scorer(Clients(consumer, producer), core, metrics, settings, clock).run(lambda: self.stopping)
        consumer.close()


class Stage(Worker):
    """`streams.stage.worker` on a loop of virtual time, with the store's writer as a fiber beside it."""

    faust: SimFaust
    worker: StageWorker

    def start(self) -> None:
        plant, world = self.plant, self.plant.world
        self.loop = SimLoop(world, self)
        name: Any = self.role
        definition = StageDefinition(name, "", plant.net.broker.partitions["events.terminal"])
        outputs = OutputProducer(KAFKA, on_stop=self.fail)
        outputs._producer.served = True
        target = StoreTarget(
            REDIS,
            SimCodec(definition.entity.name),
            Sentinel("headrace", name, EPOCH),
            EPOCH,  # type: ignore[arg-type]
        )
        events = Events(lambda rows, seconds: None, self._progressed, lambda is_open, why: None)
        self.store = OnlineStoreWriter(target, plant.stage.store, events, lambda: world.now_ms / 1e3)
        servers = Servers(outputs, self.store, ChangelogReader(KAFKA))
        self.worker = StageWorker(
            definition,
            plant.stage,
            servers,
            Watch(Nothing(), self.fail, lambda number: None),  # type: ignore[arg-type]
        )
        self.faust = SimFaust(
            self, plant.net.broker, plant.net.faults, definition.group, definition.input_topic
        )
        self.faust.worker = self.worker
        self.loop.create_task(self._main())

    async def _main(self) -> None:
        self.store.start()
        faust = self.faust
        jobs = (faust.run(), faust.run_commits(), self.worker.run_timer(lambda: faust.rebalancing))
        try:
            await asyncio.gather(*jobs)
        except Exception as error:  # told as the run's failure
            self.plant.ended(self, error)
            raise Ended from error

    def stop(self) -> None:
        """As a SIGTERM: a last checkpoint, then out of the group."""
        self.stopping = True
        self.loop.create_task(self._finish())

    async def _finish(self) -> None:
        await self.worker.finish(0.5)
        self.faust.commit()
        await asyncio.sleep(0.005)
        self.plant.net.broker.group(self.faust.group.name).expel(self.faust.member)
        self.leave()
        raise Ended

    def heed(self) -> None:
        """A zombie notices that it was away."""
        super().heed()
        self.faust.wake()

    def fail(self, error: HeadraceError) -> None:
        """End at once, as `os._exit` does."""
        self.plant.ended(self, error)
        raise Ended

    def _progressed(self) -> None:
        if not self.dead:
            self.loop.call_soon(self.worker.release)


ROLES: dict[str, type[Worker]] = {
    "gate": Gate, "customer": Stage, "terminal": Stage, "scorer": ScorerProcess,
}  # fmt: skip


def settled(plant: Plant) -> bool:
    """Return whether all that is in the logs went through, as the groups' offsets say."""
    broker = plant.net.broker
    inputs = {
        "gate": ("transactions", "labels"), "stage-customer": ("events.customer",),
        "stage-terminal": ("events.terminal",), "scorer": ("features.log",),
    }  # fmt: skip
    for group, topics in inputs.items():
        offsets = broker.group(group).offsets
        for topic in topics:
            for number in range(broker.partitions[topic]):
                if offsets.get((topic, number), (0, ""))[0] < len(broker.logs[topic, number]):
                    return False
    return True
