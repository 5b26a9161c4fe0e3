"""The online store in memory: rows by view and key, compared and set by position, as the Lua does.

The service's writer runs as it is; in the place of its socket and codec stand ones that carry rows instead
of bytes. A request may be answered late or never, and may be carried out after its sender has given up.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.feast_row import RowsRead
from features.project.running import RunningProject
from inference.reading.online_reader import StoreUnavailable
from runtime.redis_socket import StoreDown
from tests.simulation.faults import Faults
from tests.simulation.world import Process, World


class StoredRow(NamedTuple):
    """One key of one entity."""

    stamp: tuple[int, int]  # epoch, position
    values: bytes
    event_time_ms: int


class SimStore:
    """The server."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.world, self.faults = world, faults
        self.rows: dict[tuple[str, bytes], StoredRow] = {}
        self.fields: dict[tuple[str, str], bytes] = {}
        self.down_until_ms = 0.0
        self.server_id = 1
        self.compares = True

    def flush(self) -> None:
        """Lose everything."""
        self.rows.clear()
        self.fields.clear()

    def lacks(self, stage: str, partition: int) -> bool:
        """Return whether the sentinel of a partition does not say yet that its rows are here."""
        found = {value for (_, field), value in self.fields.items() if field == f"{stage}/{partition}"}
        return not any(value.endswith(b":%d" % self.server_id) and value[:6] != b"refill" for value in found)

    def write(self, entity: str, rows: list[tuple[bytes, StoredRow]]) -> None:
        """Set each row that is not older than the one that is there."""
        for key, row in rows:
            old = self.rows.get((entity, key))
            if old is None or not self.compares or old.stamp <= row.stamp:
                self.rows[entity, key] = row

    def command(self, words: tuple[Any, ...]) -> Any:
        """Answer the sentinel's commands."""
        match words:
            case ("INFO", _):
                return b"run_id:%d\r\n" % self.server_id
            case ("HMGET", key, *fields):
                return [self.fields.get((key, field)) for field in fields]
            case ("HSET", key, field, value):
                self.fields[key, field] = value
                return 1
            case ("EVAL", _, _, key, field, mark, value):
                if self.fields.get((key, field)) != mark:
                    return 0
                self.fields[key, field] = value
                return 1
        raise AssertionError(f"no such command: {words}")


class SimCodec:
    """Rows as they are."""

    def __init__(self, entity: str) -> None:
        self.entity = entity

    def load(self) -> Any:
        """Return the command that prepares the server: none."""
        return (self.entity, [])

    def calls(self, rows: int) -> int:
        """Return how many answers there will be."""
        return 1

    def encode(self, keys: Any, values: Any, times_ms: Any, positions: Any, epoch: int, tiles: Any) -> Any:
        """Return the rows to write."""
        rows = [
            (key, StoredRow((epoch, position), values[at].tobytes(), time_ms))
            for at, (key, position, time_ms) in enumerate(
                zip(keys.tolist(), positions.tolist(), times_ms.tolist(), strict=True)
            )
        ]
        return (self.entity, rows)


class SimSocket:
    """A connection to the store, with the calls of `runtime.redis_socket.RedisSocket`."""

    def __init__(self, store: SimStore, connect_timeout_s: float, reply_timeout_s: float) -> None:
        self._store, self._world, self._timeout_ms = store, store.world, reply_timeout_s * 1e3
        assert self._world.process is not None
        self._owner: Process = self._world.process
        self._name = ("store", self._world.next_number())
        self._server = store.server_id  # a server that was started anew knows nothing of old connections
        if self._world.now_ms < store.down_until_ms:
            self._world.wait(connect_timeout_s * 1e3)
            raise StoreDown("E_STORE_DOWN", "refused", "simulated")

    def exchange(self, data: Any, replies: int) -> list[Any]:
        """Write rows."""
        entity, rows = data
        return [self._ask(lambda: self._store.write(entity, rows))]

    def command(self, *words: Any) -> Any:
        """Run one command."""
        return self._ask(lambda: self._store.command(words))

    def close(self) -> None:
        """Nothing more is sent; what is on its way stays on its way."""

    def _ask(self, do: Callable[[], Any]) -> Any:
        answers: list[Any] = []
        faults, world = self._store.faults, self._world
        fate = "arrives"
        if faults.strikes(faults.weather.store, "store request late"):
            fate = faults.rng.choice(("late", "answer_lost", "lost"))

        def arrive() -> None:
            gone = self._server != self._store.server_id or world.now_ms < self._store.down_until_ms
            if fate == "lost" or gone:
                return
            answer = do()
            if fate == "arrives":
                answers.append(answer)

        if fate == "late":
            world.after(world.rng.random() * 3 * self._timeout_ms, arrive)
        else:
            self._owner.channel(self._name).requests.append(arrive)
        down = world.now_ms < self._store.down_until_ms
        world.wait(self._timeout_ms, lambda: bool(answers))
        if not answers or down:
            raise StoreDown("E_STORE_DOWN", "no answer", "simulated")
        return answers[0]


class SimReader:
    """What the scorer reads: `inference.reading.online_reader.FeatureReader` over the store."""

    def __init__(self, store: SimStore, project: RunningProject) -> None:
        self._store, self._project = store, project

    def read(self, *keys: NDArray[np.bytes_]) -> tuple[RowsRead, ...]:
        """Return the rows of these keys."""
        project, store = self._project, self._store
        store.world.wait(store.world.rng.random())
        if store.world.now_ms < store.down_until_ms:
            raise StoreUnavailable("E_STORE_UNAVAILABLE", "no answer", "simulated")
        profile = len(project.profile.columns)
        return tuple(
            self._rows(entity, asked, profile, 1) if entity is project.profiled
            else self._rows(entity, asked, 0, 0)
            for entity, asked in zip(project.entities, keys, strict=True)
        )  # fmt: skip

    def _rows(self, entity: Any, keys: NDArray[np.bytes_], extra: int, extra_views: int) -> RowsRead:
        width, views = len(entity.columns), len(entity.views)
        values = np.full((len(keys), width + extra), np.nan)
        times = np.full((len(keys), views + extra_views), -1, np.int64)
        epochs, stamps = times.copy(), times.copy()
        for at, key in enumerate(keys.tolist()):
            row = self._store.rows.get((entity.name, key))
            if row is not None:
                values[at, :width] = np.frombuffer(row.values, np.float64)
                times[at, :views] = row.event_time_ms
                epochs[at, :views], stamps[at, :views] = row.stamp
        return RowsRead(values, times, epochs, stamps, times >= 0, np.zeros(len(keys), bool), "")
