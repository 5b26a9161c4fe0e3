"""In-memory Kafka, changelog and store with a seeded schedule: the stage's real code, crashed at any step."""

from collections.abc import Callable

import msgspec
import numpy as np

from contracts.frame import Columns, Frame, concat, decode
from contracts.lanes import Lanes, accept
from streams.stage.changelog import restored
from streams.stage.core import Entry, Snapshot, StageCore, StageRows, Step
from streams.stage.partition import Checkpoint, StagePartition, Waits
from streams.store.rows import StoreRows
from tests.unit.streams.payments import Log

HASH = "0123456789abcdef"


class MemoryOutputs:
    """Records become durable one after another, in order, when the schedule says so."""

    def __init__(self) -> None:
        self.durable: dict[int, Log] = {}
        self.flying: list[tuple[int, bytes]] = []
        self.handed = 0
        self.done = 0

    def send(self, step: Step) -> None:
        self.flying += step.records
        self.handed += len(step.records)

    def mark(self) -> object:
        return self.handed

    def acknowledged(self, mark: object) -> bool:
        return isinstance(mark, int) and self.done >= mark

    def unacknowledged(self) -> int:
        return len(self.flying)

    def land(self, count: int) -> None:
        for target, data in self.flying[:count]:
            self.durable.setdefault(target, []).append(data)
        self.done += len(self.flying[:count])
        del self.flying[:count]

    def crash(self) -> None:
        self.flying, self.handed, self.done = [], 0, 0


class MemoryStore:
    """Rows by key, compared and set by position; writes land when the schedule says so."""

    def __init__(self) -> None:
        self.rows: dict[bytes, tuple[int, bytes]] = {}
        self.waiting: list[StoreRows] = []
        self.is_down = False
        self.put_count = 0
        self.done = 0

    def put(self, rows: StoreRows) -> int:
        self.waiting.append(rows)
        self.put_count += 1
        return self.put_count

    def acknowledged(self, ticket: int) -> bool:
        return self.done >= ticket

    def land(self) -> None:
        for rows in self.waiting:
            for i, key in enumerate(rows.keys.tolist()):
                position = int(rows.positions[i])
                if key not in self.rows or self.rows[key][0] <= position:
                    self.rows[key] = (position, rows.values[i].tobytes())
            self.done += 1
        self.waiting = []

    def crash(self) -> None:
        self.waiting, self.put_count, self.done = [], 0, 0


class MemoryStage:
    """One input partition through incarnations: what is durable outlives a crash, the rest does not."""

    def __init__(self, log: Log, rows: Callable[[], StageRows], src: str) -> None:
        self.log, self.rows, self.src = log, rows, src
        self.outputs, self.store = MemoryOutputs(), MemoryStore()
        self.changelog: dict[bytes, bytes] = {}
        self.group_offset = 0
        self.commits = 0
        self.start()

    def start(self) -> None:
        taken = restored(dict(self.changelog), HASH, "memory")
        rows = self.rows()
        rows.load(taken.entries, taken.marker.extra)
        core = StageCore(self.src, rows, taken.marker)
        waits = Waits(store_wait_ms=50, checkpoint_interval_ms=100)
        self.partition = StagePartition(core, self.outputs, self.store, waits)
        self.ready: Checkpoint | None = None
        self.read = self.group_offset

    def crash(self) -> None:
        self.outputs.crash()
        self.store.crash()
        self.start()

    def commit(self, now_ms: float) -> None:
        if self.ready is not None:
            write(self.changelog, self.ready.snapshot)
            self.partition.committed(self.ready, now_ms)
            self.ready = None
            self.commits += 1

    def receive(self) -> None:
        if self.read < len(self.log):
            offset = self.read
            self.partition.receive(offset, self.log[offset], lambda: self._ack(offset))
            self.read += 1

    def _ack(self, offset: int) -> None:
        self.group_offset = max(self.group_offset, offset + 1)

    def step(self, rng: np.random.Generator, now_ms: float) -> None:
        """Do one thing that may happen next."""
        match int(rng.integers(0, 8)):
            case 0 | 1 | 2:
                self.receive()
            case 3:
                self.partition.work(now_ms)
            case 4:
                self.outputs.land(int(rng.integers(1, 4)))
            case 5:
                self.store.land()
                self.partition.release(now_ms)
            case 6:
                self.ready = self.ready or self.partition.tick(now_ms, hurry=bool(rng.random() < 0.1))
            case _:
                self.commit(now_ms)

    def drain(self, now_ms: float) -> None:
        """Let everything happen that has to, without faults."""
        while not (self.partition.settled and self.read == len(self.log)):
            self.receive()
            self.partition.work(now_ms)
            self.store.land()
            self.partition.release(now_ms)
            self.outputs.land(1 << 30)
            self.ready = self.ready or self.partition.tick(now_ms, hurry=True)
            self.commit(now_ms)


def write(changelog: dict[bytes, bytes], snapshot: Snapshot) -> None:
    """Commit a snapshot whole, as the transaction does."""
    marker: Entry = (b"M", msgspec.json.encode(snapshot.marker))
    for key, blob in [*snapshot.entries, marker]:
        if blob is None:
            changelog.pop(key, None)
        else:
            changelog[key] = blob


def read_all(log: Log) -> Columns:
    """Return every row once, as any reader of an inter-stage topic does."""
    lanes: Lanes = {}
    gaps: list[Frame] = []
    parts = [accept(decode(data), lanes, gaps.append) for data in log]
    assert not gaps
    return concat([part for part in parts if len(part["pos"])])
