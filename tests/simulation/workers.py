"""The service's own workers on simulated clients: what `headrace gate`, `stream` and `score` would run."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import Stop
from inference.models.manifest import Thresholds
from inference.models.model import ModelName
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.served import FeatureServer
from inference.scorer.core import ScorerCore
from inference.scorer.kafka import make_consumer, make_producer
from inference.scorer.scorer import Clients, Scorer
from inference.scorer.settings import ScorerSettings
from runtime import ending
from runtime.health import Health
from runtime.input_ends import KafkaInputEnds
from streams.gate.settings import GateSettings
from streams.gate.worker import GateWorker
from streams.stage.changelog import ChangelogReader
from streams.stage.definition import StageDefinition, stage_of
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
from tests.simulation.scene import Scene
from tests.simulation.shims import Nothing
from tests.simulation.store import SimCodec, SimReader, SimStore
from tests.simulation.world import Process, World

KAFKA = KafkaConnection(bootstrap_servers="simulated")
REDIS = RedisConnection(host="simulated", port=1)
EPOCH = 7


def _alignment(seed: int) -> dict[str, Any]:
    """Return bounds of the gate's alignment, from none at all to ones that hold everything for long."""
    rng = random.Random(f"alignment {seed}")  # draws that move none of the run's others
    return {
        "align_wait_ms": rng.choice((0.0, 30.0, 200.0, 1000.0)),
        "align_bytes": rng.choice((1, 2_000, 1 << 20, 1 << 20)),
        "align_behind_records": rng.choice((1, 1, 2, 5)),
        "align_slice_ms": rng.choice((1, 600_000, 1 << 50)),
        "align_run_rows": rng.choice((1, 1, 3)),
    }


class Plant:
    """What all workers of a run share, and the sizes drawn for it."""

    def __init__(self, world: World, net: Net, store: SimStore, scene: Scene) -> None:
        self.world, self.net, self.store, self.scene = world, net, store, scene
        self.policy = scene.policy()
        self.partitions = net.broker.partitions["features.log"]
        rng = world.rng
        self.gate = GateSettings(
            kafka=KAFKA, partitions=self.partitions, gather_ms=1.0,
            records_a_batch=rng.randint(1, 4), records_a_backlog_batch=4,
            commit_interval_ms=20.0, unacknowledged_max=rng.choice((3, 20)), **_alignment(world.seed),
        )  # fmt: skip
        self.stage = StageSettings(
            kafka=KAFKA, redis=REDIS, data_folder=Path("nowhere"), epoch=EPOCH,
            partitions=self.partitions,
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
        """The end of a worker's main thread: with an error of Python's own it is a fault of the code."""
        if isinstance(error, Ended) or process.dead:
            return
        self.world.trace(f"end of {process.name}: {error!r}")
        if error is not None and not isinstance(error, Stop) and not process.raised:
            self.world.violations.append(f"{process.name} failed: {error!r}")
        process.leave()

    def exit(self, code: int) -> NoReturn:
        """`os._exit`: a worker ends itself, for a reason of ours or an exception that was put into it."""
        process = self.world.process
        assert isinstance(process, Worker)
        if not process.dead:
            self.world.trace(f"exit of {process.name} with {code}")
            expected = code in range(71, 80) or (code == ending.INTERNAL and process.raised)
            if not expected:
                last = self.world.lines[-2]
                self.world.violations.append(f"{process.name} exits with {code}: {last}")
            process.leave()
        raise Ended


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
            with ending.incarnation():
                self._run()

        self.spawn(run, lambda fiber: self.plant.ended(self, fiber.error))

    def _run(self) -> None:
        scene, metrics = self.plant.scene, cast(Any, Nothing())
        worker = GateWorker(scene.project.pipeline, self.plant.gate, metrics, keys=scene.keys)
        worker.run(lambda: self.stopping)


class HashModel:
    """A model whose score is a function of every bit of the vector."""

    identity = ModelName("hash", "1", "champion", "0" * 64)
    thresholds = Thresholds()

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
    def __init__(self, model: HashModel | None) -> None:
        self._model = model

    def current(self) -> HashModel | None:
        return self._model


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
        def run() -> None:
            with ending.incarnation():
                self._run()

        self.spawn(run, lambda fiber: self.plant.ended(self, fiber.error))

    def _run(self) -> None:
        plant = self.plant
        settings = ScorerSettings(slot=self.slot, **plant.scorer)
        clock = _Clock(plant.net)
        project = plant.scene.project
        server = FeatureServer(project, SimReader(plant.store, project), Breaker(25.0), EPOCH, 16)
        models = _Models(HashModel() if project.model is not None else None)
        core = ScorerCore(project, server, models, clock, EPOCH, FixedPolicy(plant.policy))
        producer = make_producer(settings)
        consumer = make_consumer(settings)
        metrics: Any = Nothing()
        clients = Clients(consumer, producer, KafkaInputEnds(KAFKA, ""))
        Scorer(clients, core, metrics, settings, clock).run(lambda: self.stopping)
        consumer.close()


class Stage(Worker):
    """`streams.stage.worker` on a loop of virtual time, with the store's writer as a fiber beside it."""

    faust: SimFaust
    worker: StageWorker

    def start(self) -> None:
        plant, world = self.plant, self.plant.world
        ending.install()
        self.loop = SimLoop(world, self)
        ending.guard_loop(self.loop)
        name: Any = self.role
        definition = StageDefinition(stage_of(plant.scene.project, name), "", plant.partitions)
        outputs = OutputProducer(KAFKA)
        target = StoreTarget(
            REDIS,
            SimCodec(definition.entity.name),
            Sentinel(plant.scene.project.keyspace, name, EPOCH),
            EPOCH,  # type: ignore[arg-type]
        )
        events = Events(lambda rows, seconds: None, self._progressed, lambda is_open, why: None)
        self.store = OnlineStoreWriter(target, plant.stage.store, events, lambda: world.now_ms / 1e3)
        servers = Servers(outputs, self.store, ChangelogReader(KAFKA), KafkaInputEnds(KAFKA, ""))
        self.worker = StageWorker(
            definition,
            plant.stage,
            servers,
            Watch(Nothing(), Health(lambda: world.now_ms / 1e3), lambda number: None),  # type: ignore[arg-type]
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
        except Exception as error:  # Faust ends when a service of its own crashes
            self.plant.ended(self, error)
            raise Ended from error

    def stop(self) -> None:
        """As a SIGTERM: a last checkpoint, then out of the group."""
        self.stopping = True
        ending.guard_future(self.loop.create_task(self._finish()), "last checkpoint")

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

    def store_lacks(self) -> bool:
        """Return whether the store's sentinels do not say that it has all rows of what this stage reads."""
        return any(self.plant.store.lacks(self.role, number) for number in self.faust.reads)

    def _progressed(self) -> None:
        if not self.dead:
            self.loop.call_soon(self.worker.release)


def roles_of(scene: Scene) -> dict[str, type[Worker]]:
    """Return the kinds of workers, in the order of a record's way."""
    stages: dict[str, type[Worker]] = dict.fromkeys(scene.project.pipeline.chain.names, Stage)
    return {"gate": Gate, **stages, "scorer": ScorerProcess}


def settled(plant: Plant) -> bool:
    """Return whether all that is in the logs went through, as the groups' offsets say."""
    broker = plant.net.broker
    inputs: dict[str, Sequence[str]] = {"gate": plant.scene.raw_topics, "scorer": ["features.log"]}
    inputs |= {f"stage-{link.name}": [link.input] for link in plant.scene.project.pipeline.chain.links}
    for group, topics in inputs.items():
        offsets = broker.group(group).offsets
        for topic in topics:
            for number in range(broker.partitions[topic]):
                if offsets.get((topic, number), (0, ""))[0] < len(broker.logs[topic, number]):
                    return False
    return True
