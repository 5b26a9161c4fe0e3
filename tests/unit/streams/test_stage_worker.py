"""The worker of a stage with an exception in it: the process ends before anything more leaves it."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry

from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import Stop
from load.this_project import PROJECT
from runtime import ending
from runtime.health import Health
from streams.stage.core import Marker, Snapshot, StageCore
from streams.stage.definition import StageDefinition, stage_of
from streams.stage.metrics import StageMetrics
from streams.stage.outputs import PartitionOutputs
from streams.stage.partition import StagePartition
from streams.stage.settings import StageSettings
from streams.stage.worker import Live, Servers, StageHealth, StageWorker, Watch
from streams.store.no_store import NoStore
from tests.unit.streams.memory_servers import HASH
from tests.unit.streams.payments import events, gate_log

UNEXPECTED = {
    "MemoryError": MemoryError("Unable to allocate 512. MiB"), "TypeError": TypeError("no such type"),
    "OSError": OSError(5, "Input/output error"), "KafkaException": KafkaException(KafkaError(-190)),
}  # fmt: skip


class Ended(SystemExit):
    """Stands for `os._exit`: nothing of the process runs any more."""


class Producer:
    """A client that has every record at once; may refuse one of them."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.raises: BaseException | None = None
        self.error: KafkaError | None = None

    def produce(self, _topic: str, value: bytes, on_delivery: Callable[..., None], **_: Any) -> None:
        if self.raises is not None:
            raise self.raises
        self.sent.append(value)
        on_delivery(self.error, _Message())


class _Message:
    def topic(self) -> str:
        return "events.terminal"


class Changelog:
    """Keeps the input offset of each checkpoint."""

    def __init__(self) -> None:
        self.committed: list[int] = []
        self.raises: BaseException | None = None

    def commit(self, snapshot: Snapshot) -> None:
        if self.raises is not None:
            raise self.raises
        self.committed.append(snapshot.marker.input_offset)


class Bench:
    """A worker that owns partition 0, with its servers in memory."""

    def __init__(self, folder: Path) -> None:
        settings = StageSettings(
            kafka=KafkaConnection(bootstrap_servers="nowhere"), redis=RedisConnection(host="nowhere", port=1),
            data_folder=folder,
        )  # fmt: skip
        self.definition = StageDefinition(stage_of(PROJECT, "customer"), "", 1)
        self.producer, self.changelog, self.health = Producer(), Changelog(), Health()
        watch = Watch(StageMetrics(CollectorRegistry(), "customer"), self.health, lambda _: None)
        servers: Any = Servers(None, NoStore(), None)  # type: ignore[arg-type]
        self.worker = StageWorker(self.definition, settings, servers, watch)
        marker = Marker(input_offset=0, lanes={}, definitions_hash=HASH)
        self.core = StageCore("events.customer/0", self.definition.rows(0), marker)
        outputs = PartitionOutputs(self.producer, "events.terminal", self.definition.dead_letters)  # type: ignore[arg-type]
        partition = StagePartition(self.core, outputs, NoStore(), self.worker._waits)
        self.worker._live[0] = Live(1, partition, self.changelog)  # type: ignore[arg-type]
        self.acks: list[int] = []
        self._offsets = itertools.count()

    async def receive(self, records: list[bytes]) -> None:
        """Let records come in, and the loop work on them."""
        for record in records:
            offset = next(self._offsets)
            await self.worker.receive(0, 1, offset, record, partial(self.acks.append, offset))
        await asyncio.sleep(0.02)

    async def checkpoint(self) -> None:
        """Let checkpoints begin and end."""
        for _ in range(3):
            self.worker.tick(hurry=True)
            await asyncio.sleep(0.02)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the exit codes with which the process would have ended."""
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise Ended(code)

    monkeypatch.setattr(ending.os, "_exit", leave)
    return codes


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on a guarded loop up to the end of the process, or its own."""

    async def guarded() -> None:
        ending.guard_loop(asyncio.get_running_loop())
        await scenario()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(guarded())
    except Ended:
        pass
    finally:
        loop.set_exception_handler(lambda *_: None)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def log(count: int) -> list[bytes]:
    return gate_log(events(np.random.default_rng(7), count), count)


@pytest.mark.parametrize("kind", UNEXPECTED)
def test_a_batch_that_fails_half_way_is_never_under_a_checkpoint(
    kind: str, tmp_path: Path, ends: list[int]
) -> None:
    bench = Bench(tmp_path)
    records = log(9)
    apply, calls = bench.core.rows.apply, itertools.count(1)

    def fails_on_the_second_batch(parts: Any) -> Any:
        if next(calls) == 2:
            raise UNEXPECTED[kind]
        return apply(parts)

    bench.core.rows.apply = fails_on_the_second_batch  # type: ignore[method-assign]

    async def scenario() -> None:
        await bench.receive(records[:3])
        await bench.checkpoint()
        await bench.receive(records[3:6])
        await bench.receive(records[6:])
        await bench.checkpoint()

    run(scenario)
    assert ends == [70]
    assert bench.changelog.committed == [3]
    assert bench.acks == [0, 1, 2]


@pytest.mark.parametrize("kind", UNEXPECTED)
def test_a_send_that_raises_does_not_leave_a_worker_that_looks_alive(
    kind: str, tmp_path: Path, ends: list[int]
) -> None:
    bench = Bench(tmp_path)
    records = log(6)

    async def scenario() -> None:
        await bench.receive(records[:3])
        await bench.checkpoint()
        bench.producer.raises = UNEXPECTED[kind]
        await bench.receive(records[3:])
        await bench.checkpoint()

    run(scenario)
    assert ends == [70]
    assert bench.changelog.committed == [3]


def test_a_delivery_that_failed_ends_with_its_own_code(tmp_path: Path, ends: list[int]) -> None:
    bench = Bench(tmp_path)
    bench.producer.error = KafkaError(KafkaError._MSG_TIMED_OUT)
    run(lambda: bench.receive(log(3)))
    assert ends == [71]


@pytest.mark.parametrize("kind", UNEXPECTED)
def test_a_checkpoint_that_fails_is_not_forgotten(kind: str, tmp_path: Path, ends: list[int]) -> None:
    bench = Bench(tmp_path)
    bench.changelog.raises = UNEXPECTED[kind]

    async def scenario() -> None:
        await bench.receive(log(3))
        await bench.checkpoint()

    run(scenario)
    assert ends == [70]
    assert bench.acks == []


def test_a_fenced_checkpoint_of_a_partition_that_was_taken_away_ends_nobody(
    tmp_path: Path, ends: list[int]
) -> None:
    bench = Bench(tmp_path)
    bench.changelog.raises = Stop(74, "E_CHECKPOINT", "fenced")

    async def scenario() -> None:
        await bench.receive(log(3))
        bench.worker.tick(hurry=True)
        bench.worker.revoked([0])
        await asyncio.sleep(0.05)

    run(scenario)
    assert ends == []


def test_a_stage_is_stuck_when_a_partition_with_work_gets_no_checkpoint() -> None:
    """Another partition's checkpoints do not speak for it; a store that is down is no reason to restart."""
    now_s = 0.0
    health = Health(lambda: now_s)
    said = StageHealth(health, lambda: now_s)
    moving, stuck = _Partition(), _Partition()
    live: Any = {0: (1, moving, None), 1: (1, stuck, None)}

    def pass_time(seconds: int, *, is_down: bool = False) -> str:
        nonlocal now_s
        for _ in range(seconds):
            now_s += 1.0
            moving.marker_offset += 1
            said.look(live, is_down)
        return str(health.report()["status"])

    assert pass_time(300) == "ok"
    stuck.settled = False
    assert pass_time(30) == "ok"
    assert pass_time(300, is_down=True) == "stale"
    assert pass_time(300) == "stuck"
    stuck.marker_offset += 1
    assert pass_time(1) == "ok"


class _Partition:
    settled = True
    marker_offset = 0
