"""One worker of one stage, between Faust and the partitions it owns: take-over, gathering, timers, stopping.

Single-threaded but for take-overs and commits, which run in a pool. An exception in any of them ends the
process (`runtime.ending`): a batch that failed half-way, or a checkpoint whose end is not known, is made
again by the successor, and the process must not go on beside it. State belongs to (partition,
generation): it is made when the group assigns a partition and dropped when it revokes it, and whatever a
dropped one still has under way is fenced or falls away in the readers' lanes.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
import structlog

from contracts.crash_points import reach
from contracts.errors import Stop
from contracts.frame import position
from contracts.frame_check import FrameReader, InputEnds
from runtime import ending
from runtime.health import Health
from streams.stage.changelog import Changelog, ChangelogReader, Restored
from streams.stage.core import Counts, Snapshot, StageCore, StageRows
from streams.stage.definition import StageDefinition
from streams.stage.metrics import StageMetrics
from streams.stage.outputs import OutputProducer, PartitionOutputs
from streams.stage.partition import Checkpoint, StagePartition, Waits
from streams.stage.settings import BUSY_ROWS_MAX, StageSettings
from streams.stage.stage_input import StageInput
from streams.stage.state_limit import StateLimit
from streams.store.no_store import NoStore
from streams.store.writer import OnlineStoreWriter

log = structlog.get_logger("streams.stage")

Ack = Callable[[], object]
GAUGE_INTERVAL_MS = 500.0
COMMIT_TIMEOUT_S = 35.0  # the client's own limit is 30
LOOP_LIMIT_S = 30.0
CHECKPOINT_OVERDUE_S = 40.0  # a stuck commit ends the process before that
CHECKPOINT_LIMIT_S = 20.0  # and so long after that is a restart due


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
    ends: InputEnds | None = None  # of the inputs of the lanes that come here; None: nobody is asked


class Watch(NamedTuple):
    """Where a worker reports: metrics and health; and where the input ends (partition -> offset)."""

    metrics: StageMetrics
    health: Health
    end_offset: Callable[[int], int | None]


class StageWorker:
    """Owns the partitions that the group gives it; a failure ends the process."""

    def __init__(
        self, definition: StageDefinition, settings: StageSettings, servers: Servers, watch: Watch
    ) -> None:
        self.definition, self.settings, self.servers = definition, settings, servers
        self.metrics, health, self._end_offset = watch
        self._health = StageHealth(health)
        self._limit = StateLimit(definition.name, settings.state_mib_max, health.part("state", LOOP_LIMIT_S))
        self.metrics.state_limit_bytes.set(self._limit.most)
        self._waits = Waits(
            store_wait_ms=settings.store_wait_ms, checkpoint_interval_ms=settings.checkpoint_interval_ms
        )
        self._input = StageInput(definition, settings.lake, servers.reader)
        self._live: dict[int, Live] = {}
        self._coming: dict[tuple[int, int], asyncio.Task[Live]] = {}
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="stage")
        self._commits: set[asyncio.Task[None]] = set()
        self._receiving = ending.Fatal("record of the input")
        self._gathering = False
        self._worked_ms, self._worked_rows = 0.0, 0
        self.stopping = False
        self._next_gauge_ms = 0.0

    @property
    def settled(self) -> bool:
        """Return whether every record taken is under a committed marker."""
        return all(live.partition.settled for live in self._live.values())

    def assigned(self, partitions: Iterable[int], generation: int) -> None:
        """Begin to take over, all partitions at once."""
        with ending.Fatal("assignment of partitions"):
            reach("stage.on_assign")
            for partition in partitions:
                if self._is_ours(partition):
                    self._take_over(partition, generation)

    def revoked(self, partitions: Iterable[int]) -> None:
        """Drop the state of partitions that are no longer ours."""
        with ending.Fatal("revocation of partitions"):
            reach("stage.on_revoke")
            self._drop(partitions)

    def _drop(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self._live.pop(partition, None)
        self._limit.drop(partitions)
        for key in [key for key in self._coming if key[0] in partitions]:
            del self._coming[key]
        self._watch_store()
        log.info("revoked", stage=self.definition.name, partitions=sorted(partitions))

    async def receive(self, partition: int, generation: int, offset: int, data: bytes, ack: Ack) -> None:
        """Take one record, after waiting for the partition's state and for room downstream."""
        with self._receiving:
            reach("stage.receive")
            if not self._is_ours(partition):
                self.metrics.strangers.inc()
                ack()
                return
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

    def _is_ours(self, partition: int) -> bool:
        """Return whether the run has this partition: none of its writers ever writes to one beyond."""
        return partition < self.settings.partitions

    async def run_timer(self, is_rebalancing: Callable[[], bool]) -> None:
        """Start and finish checkpoints, refill the store, and keep the gauges: for ever."""
        with ending.Fatal("timer"):
            while True:
                await asyncio.sleep(self.settings.tick_ms / 1e3)
                self.tick(hurry=self.stopping or is_rebalancing())

    def tick(self, *, hurry: bool) -> None:
        """Do what is due now."""
        reach("stage.timer")
        for number, live in list(self._live.items()):
            ready = live.partition.tick(now_ms(), hurry=hurry)
            if ready is not None:
                task = asyncio.ensure_future(self._commit(live, ready))
                self._commits.add(task)
                task.add_done_callback(self._commits.discard)
                ending.guard_future(task, f"checkpoint of {self.definition.source(number)}")
        for partition in self.servers.store.take_lost() & set(self._live):
            self._refill(partition)
        if now_ms() >= self._next_gauge_ms:
            self._next_gauge_ms = now_ms() + GAUGE_INTERVAL_MS
            self._gauge()
            self._health.look(self._live, self.servers.store.is_down)

    def release(self) -> None:
        """Send what waited for the store; the store's writer asks for it through the loop."""
        reach("stage.release")
        for live in list(self._live.values()):
            live.partition.release(now_ms())

    async def finish(self, timeout_s: float) -> bool:
        """Commit a last checkpoint of every partition; return whether all of them made it in time."""
        reach("stage.finish")
        self.stopping = True
        deadline = time.monotonic() + timeout_s
        while not self.settled and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return self.settled

    def _take_over(self, partition: int, generation: int) -> asyncio.Task[Live]:
        """Return the one take-over of (partition, generation): a second one would fence the first."""
        key = (partition, generation)
        if key not in self._coming:
            self._coming[key] = asyncio.ensure_future(self._own(partition, generation))
            ending.guard_future(self._coming[key], f"take-over of {self.definition.source(partition)}")
        return self._coming[key]

    async def _own(self, partition: int, generation: int) -> Live:
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        changelog, restored, rows = await loop.run_in_executor(self._pool, self._restore, partition)
        reach("stage.take_over_done")
        source, base = self.definition.source(partition), position(restored.marker.input_offset)
        writer, ends = self.definition.writer(partition, base), self.servers.ends
        frames = FrameReader(source.rpartition("/")[0], rows.pipeline, rows.columns, ends)
        gaps = self._input.gaps(partition)
        core = StageCore(source, rows, restored.marker, writer, frames, gaps)
        outputs = PartitionOutputs(
            self.servers.outputs, self.definition.output_topic, self.definition.dead_letters
        )
        live = Live(generation, StagePartition(core, outputs, self.servers.store, self._waits), changelog)
        if (partition, generation) in self._coming:  # not revoked meanwhile
            self._live[partition] = live
            self._watch_store()
        elif partition not in self._live:
            self._limit.drop([partition])
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
        reach("stage.restore")
        definition = self.definition
        changelog = Changelog(
            self.settings.kafka, definition.changelog_topic, partition, definition.transactional_id(partition)
        )
        rows = definition.rows(partition)
        look = self._limit.look_at_restore(partition, rows)
        restored = changelog.take_over(self.servers.reader, definition.definitions_hash, look)
        rows.load(restored.entries, restored.marker.extra)
        self._limit.restored(partition, rows.used_bytes)
        begin = self._input.begin(partition, restored.marker)
        marker = msgspec.structs.replace(begin, incarnation=restored.marker.incarnation + 1)
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
        if self.settings.busy_rows <= self._worked_rows < BUSY_ROWS_MAX:
            loop.call_later(self.settings.gather_busy_ms / 1e3, self._gathered)
        elif now_ms() - self._worked_ms > self.settings.gather_ms:
            loop.call_soon(self._gathered)
        else:
            loop.call_later(self.settings.gather_ms / 1e3, self._gathered)

    def _gathered(self) -> None:
        self._gathering = False
        reach("stage.gathered")
        self._worked_rows = sum(self._work(live) for live in list(self._live.values()))
        self._worked_ms = now_ms()

    def _work(self, live: Live) -> int:
        before = live.partition.core.counts.rows
        began = time.perf_counter()
        records = live.partition.work(now_ms())
        if records:
            self.metrics.fold_seconds.observe(time.perf_counter() - began)
            self.metrics.batch_records.observe(records)
            self.metrics.batch_rows.observe(live.partition.core.counts.rows - before)
        return live.partition.core.counts.rows - before

    async def _commit(self, live: Live, checkpoint: Checkpoint) -> None:
        loop = asyncio.get_running_loop()
        commit = loop.run_in_executor(self._pool, live.changelog.commit, checkpoint.snapshot)
        done, _ = await asyncio.wait((commit,), timeout=COMMIT_TIMEOUT_S)
        if not done:  # librdkafka can wait for ever when the coordinator restarts under it
            what = f"a checkpoint does not end within {COMMIT_TIMEOUT_S:.0f} s"
            raise Stop(74, "E_CHECKPOINT_STUCK", what, self.definition.name)
        try:
            await commit
        except Stop as stop:
            if any(live is owned for owned in self._live.values()):
                raise
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
        held = {number: live.partition.core.rows.used_bytes for number, live in self._live.items()}
        self.metrics.state_bytes.set(self._limit.look(held))
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


class StageHealth:
    """What a stage says of itself: its timer moves, and each partition with work gets its checkpoints.

    While the online store is down no checkpoint can be made; that is no reason to restart the stage.
    """

    def __init__(self, health: Health, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or (lambda: now_ms() / 1e3)
        self._loop = health.part("loop", LOOP_LIMIT_S)
        self._checkpoint = health.part("checkpoint", CHECKPOINT_LIMIT_S)
        self._moved: dict[int, tuple[StagePartition, int, float]] = {}  # marker offset, since when

    def look(self, live: Mapping[int, Live], store_is_down: bool) -> None:
        """Note what has moved since the last look."""
        self._loop.moved()
        at_s = self._clock()
        before, self._moved = self._moved, {}
        for number, (_, partition, _) in live.items():
            was, marker, since_s = before.get(number, (None, 0, at_s))
            moves = (
                store_is_down
                or partition.settled
                or was is not partition
                or marker != partition.marker_offset
            )
            self._moved[number] = (partition, partition.marker_offset, at_s if moves else since_s)
        if store_is_down:
            self._checkpoint.stale("the online store does not take rows: outputs go on, checkpoints wait")
        else:
            self._checkpoint.fresh()
        overdue_s = at_s - min((since_s for _, _, since_s in self._moved.values()), default=at_s)
        if store_is_down or overdue_s < CHECKPOINT_OVERDUE_S:
            self._checkpoint.moved()


def now_ms() -> float:
    """Return a clock for intervals: milliseconds that never go back."""
    return time.monotonic() * 1e3
