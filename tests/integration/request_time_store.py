"""A Redis whose rows carry tiles, written by the stage's own writer, and the history they are made of."""

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.connections import KafkaConnection, RedisConnection
from contracts.frame import Columns, Kind, strings, take
from features.definition import DAY_MS, Entity
from features.state import EntityState
from load.oracle.windows import KeyOracle
from load.this_project import PROJECT
from streams.stage.definition import StageDefinition, stage_of
from streams.stage.entity_rows import latest_rows
from streams.stage.rebuild import PATIENT
from streams.stage.settings import StageSettings
from streams.stage.store import store_target
from streams.store.settings import StoreSettings
from streams.store.writer import Events, OnlineStoreWriter

BEGIN_MS = 1_525_132_800_000  # 2018-05-01
EPOCH = 7


class History(NamedTuple):
    """Rows of one entity in log order, of several kinds for terminals."""

    entity: Entity
    parts: list[tuple[Kind, Columns]]

    def state(self) -> EntityState:
        """Return the state after all rows."""
        state = EntityState(self.entity)
        for kind, rows in self.parts:
            state.apply(rows, kind)
        return state

    def oracles(self, keys: NDArray[np.bytes_]) -> dict[bytes, KeyOracle]:
        """Return the definition of each key after all its rows; nothing of the kernel is in it."""
        made = {key: KeyOracle(self.entity) for key in keys.tolist()}
        for kind, rows in self.parts:
            names = list(rows)
            for values in zip(*(rows[name].tolist() for name in names), strict=True):
                row = dict(zip(names, values, strict=True))
                if row[self.entity.join_key] in made:
                    made[row[self.entity.join_key]].row(kind, row)
        return made


def history(entity: Entity, keys: int, rows: int, seed: int) -> History:
    """Return rows of 45 days: some keys busy to the end, some silent since days, some out of order."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 45 * DAY_MS, rows)) + BEGIN_MS
    times[rng.random(rows) < 0.05] -= 3 * 3_600_000
    who = rng.integers(0, keys, rows)
    silent = who % 3 == 0  # these fall silent at some moment of their own
    times = np.where(silent, BEGIN_MS + (times - BEGIN_MS) * (who % 40 + 1) // 41, times)
    columns: Columns = {
        "pos": np.arange(rows, dtype=np.int64),
        "customer_id": strings([f"c{i}" for i in who]),
        "terminal_id": strings([f"t{i}" for i in who]),
        "transaction_id": strings([f"x{i}" for i in rng.integers(0, rows, rows)]),
        "event_time": times, "label_time": times,
        "amount_minor": rng.integers(0, 500_000, rows),
        "positive": (rng.random(rows) < 0.3).astype(np.uint8),
    }  # fmt: skip
    other = "terminal_id" if entity.join_key == "customer_id" else "customer_id"
    columns[other] = strings([f"o{i}" for i in rng.integers(0, 300, rows)])
    if entity.join_key == "customer_id":
        return History(entity, [(Kind.SCORED, columns)])
    parts = []
    for at in range(0, rows, 50):
        kind = Kind.LABEL if at // 50 % 3 == 2 else Kind.SCORED
        parts.append((kind, take(columns, slice(at, at + 50))))
    return History(entity, parts)


def write(redis: RedisConnection, state: EntityState, tiles: bool = True, project: str = "headrace") -> None:
    """Write every key's row, as the entity's stage would."""
    name: Any = state.entity.name
    settings = StageSettings(
        kafka=KafkaConnection(bootstrap_servers="none:1"), redis=redis, data_folder=None,  # type: ignore[arg-type]
        epoch=EPOCH, project=project, store=StoreSettings(tiles=tiles),
    )  # fmt: skip
    definition = StageDefinition(stage_of(PROJECT, name), "", 1, tiles)
    quiet = Events(lambda *_: None, lambda: None, lambda *_: None)
    writer = OnlineStoreWriter(store_target(definition, settings), PATIENT, quiet, time.monotonic)
    writer.start()
    ticket, deadline_s = writer.put(latest_rows(state, tiles)), time.monotonic() + 60
    while not writer.acknowledged(ticket):
        assert not writer.is_down
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    writer.stop(5.0)


def same_bits(found: list[float | None], expected: list[float | None] | list[float]) -> bool:
    """Tell whether both hold the same bits; a null is a NaN."""
    left, right = (
        np.array([np.nan if value is None else value for value in side]) for side in (found, expected)
    )
    equal = (left.view(np.uint64) == right.view(np.uint64)) | (np.isnan(left) & np.isnan(right))
    return bool(equal.all())
