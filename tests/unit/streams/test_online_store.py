"""The store's writer, a round at a time, on a store in memory that can be emptied between two rounds."""

from typing import Any

import numpy as np
import pytest

from contracts.connections import RedisConnection
from streams import online_store
from streams.online_store import Events, OnlineStoreWriter, StoreTarget
from streams.sentinel import Sentinel
from streams.stage import StoreRows
from streams.stage_settings import StoreSettings

REDIS = RedisConnection(host="memory", port=1)


class MemoryRedis:
    """Rows and sentinel fields; in the place of a connection."""

    def __init__(self) -> None:
        self.rows: set[bytes] = set()
        self.fields: dict[str, bytes] = {}

    def exchange(self, data: Any, _replies: int) -> list[Any]:
        self.rows.update(data)
        return []

    def command(self, *words: Any) -> Any:
        match words:
            case ("INFO", _):
                return b"run_id:1\r\n"
            case ("HMGET", _, *fields):
                return [self.fields.get(field) for field in fields]
            case ("HSET", _, field, value):
                self.fields[field] = value
            case ("EVAL", _, _, _, field, mark, value):
                if self.fields.get(field) != mark:
                    return 0
                self.fields[field] = value
        return 1

    def flush(self) -> None:
        self.rows.clear()
        self.fields.clear()


class Keys:
    """A codec that carries keys alone."""

    def load(self) -> list[bytes]:
        return []

    def calls(self, rows: int) -> int:
        return rows

    def encode(self, keys: Any, *_: Any) -> list[bytes]:
        return list(keys.tolist())


def rows(*keys: bytes) -> StoreRows:
    count = len(keys)
    numbers = np.arange(count)
    return StoreRows(np.array(keys, "S4"), np.zeros((count, 1)), numbers, numbers)


def test_a_flush_between_the_rows_of_a_refill_and_its_beginning_begins_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows written fresh in between would be gone for good, and the sentinel would say that all is well."""
    redis = MemoryRedis()
    monkeypatch.setattr(online_store, "RedisSocket", lambda *_: redis)
    target: Any = StoreTarget(REDIS, Keys(), Sentinel("hr", "customer", 1), 1)  # type: ignore[arg-type]
    events = Events(lambda n, s: None, lambda: None, lambda is_open, why: None)
    writer = OnlineStoreWriter(target, StoreSettings(sentinel_interval_ms=0.0), events, lambda: 1.0)
    writer.watch({0})
    writer._round()
    assert writer.take_lost() == {0}
    writer.refill(0, rows(b"old"))  # all that the owner has by now
    writer.put(rows(b"new"))
    writer._write_fresh(redis)  # type: ignore[arg-type]
    redis.flush()
    writer._round()
    writer._round()
    assert writer.take_lost() == {0}
    writer.refill(0, rows(b"old", b"new"))
    writer._round()
    assert redis.rows == {b"old", b"new"}
    assert writer.take_lost() == set()
