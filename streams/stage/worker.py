"""One worker of one stage, between Faust and the partitions it owns: take-over, gathering, timers, stopping.

Single-threaded but for take-overs and commits, which run in a pool. State belongs to (partition,
generation): it is made when the group assigns a partition and dropped when it revokes it, and whatever a
dropped one still has under way is fenced or falls away in the readers' lanes.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import structlog

from contracts.crash_points import reach
from contracts.errors import HeadraceError, Stop
from contracts.frame import position
from streams.stage.changelog import Changelog, ChangelogReader, Restored
from streams.stage.core import Counts, Snapshot, StageCore, StageRows
from streams.stage.definition import StageDefinition
from streams.stage.metrics import StageMetrics
from streams.stage.outputs import OutputProducer, PartitionOutputs
from streams.stage.partition import Checkpoint, StagePartition, Waits
from streams.stage.settings import StageSettings
from streams.store.no_store import NoStore
from streams.store.writer import OnlineStoreWriter

log = structlog.get_logger("streams.stage")

Ack = Callable[[], object]
GAUGE_INTERVAL_MS = 500.0
COMMIT_TIMEOUT_S = 35.0  # the client's own limit is 30

OnFailure = Callable[[HeadraceError], None]


class Live(NamedTuple):
    """An owned partition in the generation it was assigned in."""

    generation: int
    partition: StagePartition
    changelog: Changelog


class Servers(NamedTuple):
    """What a worker shares among its partitions."""

    outputs: OutputProducer
    store: OnlineStoreWriter | NoStore
    reader: ChangelogReader


class Watch(NamedTuple):
    """Who is told: the metrics, what ends the process, and where the input ends (partition -> offset)."""

    metrics: StageMetrics
    on_failure: OnFailure
    end_offset: Callable[[int], int | None]


class StageWorker:
    """Owns the partitions that the group gives it; a failure ends the process."""

    def __init__(
        self, definition: StageDefinition, settings: StageSettings, servers: Servers, watch: Watch
    ) -> None:
        self.definition, self.settings, self.servers = definition, settings, servers
        self.metrics, self._on_failure, self._end_offset = watch
        self._waits = Waits(
            store_wait_ms=settings.store_wait_ms, checkpoint_interval_ms=settings.checkpoint_interval_ms
        )
        self._live: dict[int, Live] = {}
        self._coming: dict[tuple[int, int], asyncio.Task[Live]] = {}
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="stage")
        self._commits: set[asyncio.Task[None]] = set()
        self._gathering = False
        self._worked_ms = 0.0
        self._stopping = False
        self._next_gauge_ms = 0.0

    @property
    def settled(self) -> bool:
        """Return whether every record taken is under a committed marker."""
        return all(live.partition.settled for live in self._live.values())

    def assigned(self, partitions: Iterable[int], generation: int) -> None:
        """Begin to take over, all partitions at once."""
        for partition in partitions:
            self._take_over(partition, generation)

    def revoked(self, partitions: Iterable[int]) -> None:
        """Drop the state of partitions that are no longer ours."""
        for partition in partitions:
            self._live.pop(partition, None)
        for key in [key for key in self._coming if key[0] in partitions]:
            del self._coming[key]
        self._watch_store()
        log.info("revoked", stage=self.definition.name, partitions=sorted(partitions))

    async def receive(self, partition: int, generation: int, offset: int, data: bytes, ack: Ack) -> None:
        """Take one record, after waiting for the partition's state and for room downstream."""
        live = self._live.get(partition)
        if live is None or live.generation != generation:
            live = await self._take_over(partition, generation)
        live.partition.receive(offset, data, ack)
        if live.partition.waiting >= self.settings.records_waiting_max:
            self._work(live)
        else:
            self._gather()
        while live.partition.backlog > self.settings.records_unacknowledged_max:
            await asyncio.sleep(0.002)

    async def run_timer(self, is_rebalancing: Callable[[], bool]) -> None:
        """Start and finish checkpoints, refill the store, and keep the gauges: for ever."""
        while True:
            await asyncio.sleep(self.settings.tick_ms / 1e3)
            self.tick(hurry=self._stopping or is_rebalancing())

    def tick(self, *, hurry: bool) -> None:
        """Do what is due now."""
        for live in list(self._live.values()):
            ready = live.partition.tick(now_ms(), hurry=hurry)
            if ready is not None:
                task = asyncio.ensure_future(self._commit(live, ready))
                self._commits.add(task)
                task.add_done_callback(self._commits.discard)
        for partition in self.servers.store.take_lost() & set(self._live):
            self._refill(partition)
        if now_ms() >= self._next_gauge_ms:
            self._next_gauge_ms = now_ms() + GAUGE_INTERVAL_MS
            self._gauge()

    def release(self) -> None:
        """Send what waited for the store; the store's writer asks for it through the loop."""
        for live in list(self._live.values()):
            live.partition.release(now_ms())

    async def finish(self, timeout_s: float) -> bool:
        """Commit a last checkpoint of every partition; return whether all of them made it in time."""
        self._stopping = True
        deadline = time.monotonic() + timeout_s
        while not self.settled and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return self.settled

    def _take_over(self, partition: int, generation: int) -> asyncio.Task[Live]:
        """Return the one take-over of (partition, generation): a second one would fence the first."""
        key = (partition, generation)
        if key not in self._coming:
            self._coming[key] = asyncio.ensure_future(self._own(partition, generation))
        return self._coming[key]

    async def _own(self, partition: int, generation: int) -> Live:
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            changelog, restored, rows = await loop.run_in_executor(self._pool, self._restore, partition)
        except HeadraceError as error:
            self._on_failure(error)
            raise
        source, base = self.definition.source(partition), position(restored.marker.input_offset)
        core = StageCore(source, rows, restored.marker, self.definition.writer(partition, base))
        outputs = PartitionOutputs(
            self.servers.outputs, self.definition.output_topic, self.definition.dead_letters
        )
        live = Live(generation, StagePartition(core, outputs, self.servers.store, self._waits), changelog)
        if (partition, generation) in self._coming:  # not revoked meanwhile
            self._live[partition] = live
            self._watch_store()
        took_s = time.monotonic() - began
        self.metrics.take_over_seconds.observe(took_s)
        log.info(
            "taken_over", stage=self.definition.name, partition=partition, generation=generation,
            marker=core.input_offset, keys=len(rows), took_ms=round(took_s * 1e3),
        )  # fmt: skip
        return live

    def _watch_store(self) -> None:
        self.servers.store.watch(
            {number: live.partition.core.incarnation for number, live in self._live.items()}
        )

    def _restore(self, partition: int) -> tuple[Changelog, Restored, StageRows]:
        definition = self.definition
        changelog = Changelog(
            self.settings.kafka, definition.changelog_topic, partition, definition.transactional_id(partition)
        )
        restored = changelog.take_over(self.servers.reader, definition.definitions_hash)
        rows = definition.rows(partition)
        rows.load(restored.entries, restored.marker.extra)
        marker = msgspec.structs.replace(restored.marker, incarnation=restored.marker.incarnation + 1)
        changelog.commit(Snapshot([], marker))
        return changelog, restored._replace(marker=marker), rows

    def _gather(self) -> None:
        """Wait a moment for what else is about to come: a batch costs the same for one record or ten.

        A record that comes alone, after a pause, is worked on at once: nothing follows it closely.
        """
        if self._gathering:
            return
        self._gathering = True
        loop = asyncio.get_running_loop()
        if now_ms() - self._worked_ms > self.settings.gather_ms:
            loop.call_soon(self._gathered)
        else:
            loop.call_later(self.settings.gather_ms / 1e3, self._gathered)

    def _gathered(self) -> None:
        self._gathering = False
        for live in list(self._live.values()):
            self._work(live)
        self._worked_ms = now_ms()

    def _work(self, live: Live) -> None:
        before = live.partition.core.counts.rows
        began = time.perf_counter()
        try:
            records = live.partition.work(now_ms())
        except HeadraceError as error:
            self._on_failure(error)
            raise
        if records:
            self.metrics.fold_seconds.observe(time.perf_counter() - began)
            self.metrics.batch_records.observe(records)
            self.metrics.batch_rows.observe(live.partition.core.counts.rows - before)

    async def _commit(self, live: Live, checkpoint: Checkpoint) -> None:
        loop = asyncio.get_running_loop()
        try:
            commit = loop.run_in_executor(self._pool, live.changelog.commit, checkpoint.snapshot)
            await asyncio.wait_for(commit, COMMIT_TIMEOUT_S)
        except TimeoutError:  # librdkafka can wait for ever when the coordinator restarts under it
            what = f"a checkpoint does not end within {COMMIT_TIMEOUT_S:.0f} s"
            self._on_failure(Stop(74, "E_CHECKPOINT_STUCK", what, self.definition.name))
            return
        except Stop as stop:
            if any(live is owned for owned in self._live.values()):
                self._on_failure(stop)
            log.info("detached_checkpoint_failed", stage=self.definition.name, reason=str(stop))
            return
        reach("stage.after_commit")
        live.partition.committed(checkpoint, now_ms())
        self.metrics.checkpoint_seconds.observe((now_ms() - checkpoint.started_ms) / 1e3)

    def _refill(self, partition: int) -> None:
        rows = self._live[partition].partition.core.rows.latest()
        self.servers.store.refill(partition, rows)
        self.metrics.store_refills.inc()
        log.info("store_refill", stage=self.definition.name, partition=partition, rows=len(rows.keys))

    def _gauge(self) -> None:
        self.metrics.partitions.set(len(self._live))
        self.metrics.keys.set(sum(len(live.partition.core.rows) for live in self._live.values()))
        gaps = lag = 0
        for number, live in self._live.items():
            core = live.partition.core
            gaps += core.counts.lane_gaps
            lag += max(0, (self._end_offset(number) or 0) - core.input_offset)
            self.metrics.add(core.counts)
            core.counts = Counts()
            self.metrics.breaker_releases.inc(live.partition.take_breaker_releases())
        self.metrics.lane_gap.set(bool(gaps))
        self.metrics.lag.set(lag)


def now_ms() -> float:
    """Return a clock for intervals: milliseconds that never go back."""
    return time.monotonic() * 1e3
