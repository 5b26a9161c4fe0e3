"""The writer of the online store: a thread that sends the newest row of each key, and a breaker around it.

Rows are compared and set by their position in the log, so writing twice, late or from a predecessor that
does not know it is dead changes nothing. When Redis does not answer in time the breaker opens: rows are
kept (the newest of each key), and the store is tried again a few times a second, by a write: a server that
only reads would else close the breaker and open it again. Whatever else goes wrong in the thread ends the
process (`runtime.ending`), since rows would wait for ever.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from contracts.connections import RedisConnection
from contracts.crash_points import ACK_BEFORE_WRITE, planted, reach
from features.feast_row import RowWriterCodec
from runtime.health import Health, Part
from runtime.redis_socket import RedisSocket, StoreDown
from streams.store.rows import StoreRows, concat_rows, newest_rows
from streams.store.sentinel import Sentinel
from streams.store.settings import StoreSettings

THREAD_LIMIT_S = 30.0
# While the store is down, more waiting batches than this are folded into one.
PARTS_KEPT = 64

Clock = Callable[[], float]  # seconds, never going back


class StoreTarget(NamedTuple):
    """Where rows go and in which form."""

    redis: RedisConnection
    codec: RowWriterCodec
    sentinel: Sentinel
    epoch: int


class Events(NamedTuple):
    """What the writer tells its owner, from its own thread."""

    written: Callable[[int, float], None]  # rows, seconds
    progressed: Callable[[], None]  # tickets were acknowledged, or the breaker opened
    breaker: Callable[[bool, str], None]  # open or closed, and why
    part: Part = Health().part("store", THREAD_LIMIT_S)  # of the worker's health: the thread's rounds


class _Refill(NamedTuple):
    partition: int
    mark: bytes
    rows: StoreRows
    at: int


class OnlineStoreWriter:
    """Writes rows handed over by `put`, in one thread; see `streams.stage.partition.Store`."""

    def __init__(self, target: StoreTarget, settings: StoreSettings, events: Events, clock: Clock) -> None:
        self._target, self._settings, self._events, self._clock = (target, settings, events, clock)
        self._wake = threading.Condition()
        self._parts: list[StoreRows] = []
        self._newest_ticket = 0
        self._acknowledged = 0
        self._watched: dict[int, int] = {}  # our incarnation by partition
        self._joined: set[int] = set()
        self._lost: set[int] = set()
        self._marks: dict[int, bytes] = {}
        self._refills_asked: list[tuple[int, StoreRows]] = []
        self._refills: list[_Refill] = []
        self._connection: RedisSocket | None = None
        self._down = False
        self._asked_s: float | None = None
        self._next_probe_s = 0.0
        self._next_check_s = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="online-store", daemon=True)

    @property
    def is_down(self) -> bool:
        """Return whether the breaker is open: no connection, or a write that waits too long for its reply."""
        asked_s = self._asked_s
        return self._down or (
            asked_s is not None and self._clock() - asked_s > self._settings.breaker_ms / 1e3
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop the thread once what waits is written, or the store is down; before a start nothing waits."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def put(self, rows: StoreRows) -> int:
        """Take rows to write, in log order for each key, and return a ticket; tickets grow."""
        with self._wake:
            if len(rows.keys):
                self._parts.append(rows)
                self._newest_ticket += 1
                self._wake.notify()
            return self._newest_ticket

    def acknowledged(self, ticket: int) -> bool:
        """Return whether the store holds the ticket's rows, or newer ones."""
        return self._acknowledged >= ticket or planted(ACK_BEFORE_WRITE)

    def watch(self, owned: Mapping[int, int]) -> None:
        """Say which partitions this worker owns, and as which incarnation: their sentinels are checked.

        A partition is to be named before any row of it is put.
        """
        with self._wake:
            self._joined |= {p for p, number in owned.items() if self._watched.get(p) != number}
            self._watched = dict(owned)
            self._joined &= self._watched.keys()
            self._lost &= self._watched.keys()
            self._refills = [r for r in self._refills if r.partition in self._watched]
            self._next_check_s = 0.0
            self._wake.notify()

    def take_lost(self) -> set[int]:
        """Return, once, the partitions whose rows the store may have lost; answer with `refill`."""
        with self._wake:
            lost, self._lost = self._lost, set()
            return lost

    def refill(self, partition: int, rows: StoreRows) -> None:
        """Write every row of a partition, behind fresh rows, and set its sentinel at the end."""
        with self._wake:
            self._refills_asked.append((partition, rows))
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._has_work():
                    if self._stopping:
                        break
                    self._wake.wait(self._idle_s())
                stopping = self._stopping
            if stopping and self._down:
                break
            reach("stage.store_thread")
            try:
                self._round()
            except StoreDown as error:
                self._fail(error)
            self._events.part.moved()
        if self._connection is not None:
            self._connection.close()

    def _has_work(self) -> bool:
        return not self._down and bool(self._parts or self._refills or self._refills_asked)

    def _idle_s(self) -> float:
        until_s = self._next_probe_s if self._down else self._next_check_s
        return max(0.001, min(1.0, until_s - self._clock()))

    def _round(self) -> None:
        """Check the sentinels when it is time; then write what is fresh, and a slice of a refill."""
        now_s = self._clock()
        if self._down and now_s < self._next_probe_s:
            self._fold_waiting()
            return
        connection = self._connection or self._connect()
        if now_s >= self._next_check_s:
            self._check(connection)
        self._write_fresh(connection)
        self._write_refill(connection)

    def _connect(self) -> RedisSocket:
        wait = self._settings
        connection = RedisSocket(
            self._target.redis, wait.connect_timeout_ms / 1e3, wait.reply_timeout_ms / 1e3
        )
        connection.exchange(self._target.codec.load(), 1)
        self._target.sentinel.meet(connection)
        if self._down:
            self._target.sentinel.probe(connection)
        self._connection = connection
        self._next_check_s = 0.0
        if self._down:
            self._down = False
            self._events.breaker(False, "")
        return connection

    def _fail(self, error: StoreDown) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._next_probe_s = self._clock() + self._settings.probe_interval_ms / 1e3
        with self._wake:  # a refill cut off begins anew when its sentinel is checked
            self._refills, self._refills_asked, self._marks = [], [], {}
        if not self._down:
            self._down = True
            self._events.breaker(True, str(error))
        self._asked_s = None
        self._events.progressed()

    def _write_fresh(self, connection: RedisSocket) -> None:
        with self._wake:
            parts, self._parts = self._parts, []
            ticket = self._newest_ticket
        if not parts:
            return
        rows = newest_rows(concat_rows(parts))
        if planted(ACK_BEFORE_WRITE):
            self._thread_pause()
        try:
            self._write(connection, rows)
        except StoreDown:
            with self._wake:
                self._parts.insert(0, rows)
            raise
        self._acknowledged = ticket
        self._events.progressed()

    def _thread_pause(self) -> None:
        time.sleep(2 * self._settings.sentinel_interval_ms / 1e3)

    def _fold_waiting(self) -> None:
        with self._wake:
            if len(self._parts) > PARTS_KEPT:
                self._parts = [newest_rows(concat_rows(self._parts))]

    def _write_refill(self, connection: RedisSocket) -> None:
        with self._wake:
            asked, self._refills_asked = self._refills_asked, []
        for partition, rows in asked:
            self._refills = [r for r in self._refills if r.partition != partition]
            mark = self._marks.pop(partition, None)
            if mark is None:  # asked before a connection was lost: the next check begins anew
                self._next_check_s = 0.0
                continue
            self._refills.append(_Refill(partition, mark, rows, 0))
        if not self._refills:
            return
        refill = self._refills.pop(0)
        end = refill.at + self._settings.rows_a_write
        self._write(connection, refill.rows.take(slice(refill.at, end)))
        if end < len(refill.rows.keys):
            self._refills.insert(0, refill._replace(at=end))
        elif not self._target.sentinel.finish(connection, refill.partition, refill.mark):
            self._next_check_s = 0.0

    def _write(self, connection: RedisSocket, rows: StoreRows) -> None:
        step = self._settings.rows_a_write
        for first in range(0, len(rows.keys), step):
            part = rows.take(slice(first, first + step))
            codec = self._target.codec
            data = codec.encode(
                part.keys, part.values, part.event_time_ms, part.positions, self._target.epoch, part.tiles
            )
            self._asked_s = began_s = self._clock()
            connection.exchange(data, codec.calls(len(part.keys)))
            self._asked_s = None
            self._events.part.moved()
            self._events.written(len(part.keys), self._clock() - began_s)

    def _check(self, connection: RedisSocket) -> None:
        self._next_check_s = self._clock() + self._settings.sentinel_interval_ms / 1e3
        with self._wake:
            busy = {r.partition for r in self._refills} | {p for p, _ in self._refills_asked} | self._lost
            owners = {p: number for p, number in self._watched.items() if p not in busy}
            joined = self._joined & owners.keys()
        self._target.sentinel.meet(connection)
        lost = self._target.sentinel.lost(connection, owners, joined)
        # The mark comes before the owner takes the rows to refill with: a flush between the two would
        # else lose rows that were written fresh meanwhile, and the refill would hide it.
        marks = {p: self._target.sentinel.begin(connection, p, owners[p]) for p in sorted(lost)}
        with self._wake:
            self._joined -= {p for p in joined if self._watched.get(p) == owners[p]}
            self._marks |= marks
            self._lost |= lost & self._watched.keys()
        if lost:
            self._events.progressed()
