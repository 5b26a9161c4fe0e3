"""The store's writer, a round at a time, on a store in memory that can be emptied between two rounds."""

from typing import Any

import numpy as np
import pytest

from contracts.connections import RedisConnection
from streams.store import writer as online_store
from streams.store.rows import StoreRows
from streams.store.sentinel import Sentinel
from streams.store.settings import StoreSettings
from streams.store.writer import Events, OnlineStoreWriter, StoreTarget

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


def a_writer() -> OnlineStoreWriter:
    target: Any = StoreTarget(REDIS, Keys(), Sentinel("hr", "customer", 1), 1)  # type: ignore[arg-type]
    events = Events(lambda n, s: None, lambda: None, lambda is_open, why: None)
    return OnlineStoreWriter(target, StoreSettings(sentinel_interval_ms=0.0), events, lambda: 1.0)


def refilled(writer: OnlineStoreWriter, with_rows: StoreRows) -> bool:
    """Let a writer look, and answer when it asks for the rows; return whether it asked."""
    writer._round()
    asked = writer.take_lost()
    if asked:
        writer.refill(0, with_rows)
        writer._round()
    return bool(asked)


def test_what_a_replaced_owner_filled_is_filled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zombie may be the first to notice a flush; its old rows must not pass for all."""
    redis = MemoryRedis()
    monkeypatch.setattr(online_store, "RedisSocket", lambda *_: redis)
    zombie, owner = a_writer(), a_writer()
    zombie.watch({0: 4})
    assert refilled(zombie, rows(b"old"))
    owner.watch({0: 5})
    assert not refilled(owner, rows())  # it went on from the state of 4, whose word it takes over
    redis.flush()
    assert refilled(zombie, rows(b"old"))
    assert refilled(owner, rows(b"old", b"new"))
    assert redis.rows == {b"old", b"new"}
    assert not refilled(zombie, rows(b"old"))
    assert not refilled(owner, rows(b"old", b"new"))


def test_the_word_of_an_owner_before_the_last_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = MemoryRedis()
    monkeypatch.setattr(online_store, "RedisSocket", lambda *_: redis)
    zombie, owner = a_writer(), a_writer()
    zombie.watch({0: 4})
    assert refilled(zombie, rows(b"old"))
    owner.watch({0: 6})
    assert refilled(owner, rows(b"old", b"new"))


def test_a_flush_between_the_rows_of_a_refill_and_its_beginning_begins_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows written fresh in between would be gone for good, and the sentinel would say that all is well."""
    redis = MemoryRedis()
    monkeypatch.setattr(online_store, "RedisSocket", lambda *_: redis)
    writer = a_writer()
    writer.watch({0: 1})
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
