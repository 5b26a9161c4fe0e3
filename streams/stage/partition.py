"""The life of one owned partition: what waits, what may leave, and what a checkpoint needs.

Pure of Kafka, Faust and Redis like the core: the ports below are handed in, time is an argument, and every
method returns at once. The driver (the Faust app, or a simulator) calls `receive` for each record, `work`
when a gathering window ends, `release` when the store answers, and `tick` from a timer.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from contracts.crash_points import COMMIT_EARLY, planted, reach
from streams.stage.core import Snapshot, StageCore, Step
from streams.store.rows import StoreRows


class Outputs(Protocol):
    """Where records and dead letters go; a failed delivery ends the incarnation, so it never reports one."""

    def send(self, step: Step) -> None:
        """Hand a step's records to the producer, in order."""

    def mark(self) -> object:
        """Return a mark that stands for all records handed over so far."""

    def acknowledged(self, mark: object) -> bool:
        """Return whether all records before the mark are in Kafka."""

    def unacknowledged(self) -> int:
        """Return how many records Kafka has not acknowledged."""


class Store(Protocol):
    """The online store's writer."""

    @property
    def is_down(self) -> bool:
        """Return whether the breaker is open."""

    def put(self, rows: StoreRows) -> int:
        """Take rows to write, and return a ticket; tickets grow."""

    def acknowledged(self, ticket: int) -> bool:
        """Return whether the store holds the ticket's rows, or newer ones."""


class Pending(NamedTuple):
    """A step whose records wait for the store, but not beyond `deadline_ms`."""

    ticket: int
    deadline_ms: float
    step: Step


class Checkpoint(msgspec.Struct):
    """A snapshot on its way: it may be committed when all before it is in Kafka and in the store."""

    snapshot: Snapshot
    ticket: int
    steps: int
    mark: object = None
    started_ms: float = 0.0
    committing: bool = False


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a partition waits, and for what."""

    store_wait_ms: float
    checkpoint_interval_ms: float


class StagePartition:
    """One partition of one incarnation: the core, what goes in, and what has still to come out."""

    def __init__(self, core: StageCore, outputs: Outputs, store: Store, waits: Waits) -> None:
        self.core = core
        self.marker_offset = core.input_offset
        self._breaker_releases = 0
        self._outputs = outputs
        self._store = store
        self._waits = waits
        self._waiting: list[tuple[int, bytes]] = []
        self._acks: deque[tuple[int, Callable[[], object]]] = deque()
        self._outbox: deque[Pending] = deque()
        self._ticket = 0
        self._steps_made = 0
        self._steps_sent = 0
        self._steps_committed = 0
        self._checkpoint: Checkpoint | None = None
        self._checkpoint_ms = 0.0

    @property
    def waiting(self) -> int:
        """Return how many records wait to be worked on."""
        return len(self._waiting)

    @property
    def backlog(self) -> int:
        """Return how many steps and records are on their way out: what should hold the input back."""
        return len(self._outbox) + self._outputs.unacknowledged()

    @property
    def settled(self) -> bool:
        """Return whether every record taken is under the marker and acknowledged to its source."""
        return not self._waiting and not self._acks and self.core.input_offset == self.marker_offset

    def receive(self, offset: int, data: bytes, ack: Callable[[], object]) -> None:
        """Take a record; `ack` is called once a committed checkpoint covers it."""
        self._waiting.append((offset, data))
        self._acks.append((offset, ack))

    def work(self, now_ms: float) -> int:
        """Fold in all that waits and send what may leave; return how many records that was.

        Raises:
            Stop: the input has a hole.
        """
        records, self._waiting = self._waiting, []
        if not records:
            return 0
        step = self.core.batch(records)
        reach("stage.in_batch")
        for rows in step.store_rows:
            self._ticket = self._store.put(rows)
        self._outbox.append(Pending(self._ticket, now_ms + self._waits.store_wait_ms, step))
        self._steps_made += 1
        self.release(now_ms)
        return len(records)

    def release(self, now_ms: float) -> None:
        """Send, in order, the steps whose rows the store has, or has had time enough to take."""
        while self._outbox:
            pending = self._outbox[0]
            if not self._store.acknowledged(pending.ticket):
                if not self._store.is_down and now_ms < pending.deadline_ms:
                    return
                self._breaker_releases += 1
            if planted(COMMIT_EARLY) and self._steps_sent >= self._steps_committed:
                return
            self._outbox.popleft()
            reach("stage.after_store")
            self._outputs.send(pending.step)
            reach("stage.after_outputs")
            self._steps_sent += 1
            if self._checkpoint is not None and self._checkpoint.steps == self._steps_sent:
                self._checkpoint.mark = self._outputs.mark()

    def tick(self, now_ms: float, *, hurry: bool) -> Checkpoint | None:
        """Release what is due; return a checkpoint once it may be committed, each only once.

        `hurry` starts one before its time: the group is rebalancing or the worker stops.
        """
        self.release(now_ms)
        if self._checkpoint is None and self._is_due(now_ms, hurry):
            self._checkpoint = self._snapshot(now_ms)
        ready = self._checkpoint
        if ready is None or ready.committing or not self._may_commit(ready):
            return None
        reach("stage.before_checkpoint")
        ready.committing = True
        return ready

    def committed(self, checkpoint: Checkpoint, now_ms: float) -> None:
        """Tell the source: all below the checkpoint's marker will never be asked for again."""
        self._checkpoint, self._checkpoint_ms = None, now_ms
        self._steps_committed = checkpoint.steps
        self.marker_offset = checkpoint.snapshot.marker.input_offset
        while self._acks and self._acks[0][0] < self.marker_offset:
            self._acks.popleft()[1]()

    def take_breaker_releases(self) -> int:
        """Return, once, how many steps left before the store had their rows."""
        count, self._breaker_releases = self._breaker_releases, 0
        return count

    def _is_due(self, now_ms: float, hurry: bool) -> bool:
        if not self._acks and self.core.input_offset == self.marker_offset:
            return False
        return hurry or now_ms - self._checkpoint_ms >= self._waits.checkpoint_interval_ms

    def _snapshot(self, now_ms: float) -> Checkpoint:
        taken = Checkpoint(self.core.snapshot(), self._ticket, self._steps_made, started_ms=now_ms)
        if self._steps_sent == self._steps_made:
            taken.mark = self._outputs.mark()
        return taken

    def _may_commit(self, checkpoint: Checkpoint) -> bool:
        if planted(COMMIT_EARLY):
            return True
        if checkpoint.mark is None or not self._outputs.acknowledged(checkpoint.mark):
            return False
        return self._store.acknowledged(checkpoint.ticket)
