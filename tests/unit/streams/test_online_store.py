"""The store's writer, a round at a time, on a store in memory that can be emptied between two rounds."""

import threading
from typing import Any

import hiredis
import numpy as np
import pytest

from contracts.connections import RedisConnection
from contracts.errors import StateError
from runtime.redis_socket import StoreDown
from runtime.store_owner import Owner
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
        self.keys: dict[str, bytes] = {}
        self.about = b"run_id:1\r\nrole:master\r\n"

    def exchange(self, data: Any, _replies: int) -> list[Any]:
        self.rows.update(data)
        return []

    def command(self, *words: Any) -> Any:
        match words:
            case ("INFO", _):
                return self.about
            case ("SET", key, value, "NX"):
                self.keys.setdefault(key, value)
            case ("GET", key):
                return self.keys.get(key)
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


def a_writer(owner: Owner | None = None) -> OnlineStoreWriter:
    target: Any = StoreTarget(REDIS, Keys(), Sentinel("hr", "customer", 1, owner), 1)  # type: ignore[arg-type]
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


def test_another_server_behind_the_same_connection_is_filled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older replica that took over has an older copy of the rows, and of the word that they are whole."""
    redis = MemoryRedis()
    monkeypatch.setattr(online_store, "RedisSocket", lambda *_: redis)
    writer = a_writer()
    writer.watch({0: 1})
    assert refilled(writer, rows(b"old"))
    writer._round()
    assert not writer.take_lost()
    redis.about = b"run_id:2\r\nrole:master\r\n"
    assert refilled(writer, rows(b"old", b"new"))
    redis.about = b"run_id:2\r\nrole:slave\r\n"
    with pytest.raises(StoreDown, match="E_STORE_REPLICA"):
        writer._round()


def test_a_run_whose_keyspace_was_taken_over_writes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = MemoryRedis()
    monkeypatch.setattr(online_store, "RedisSocket", lambda *_: redis)
    older, newer = (a_writer(Owner(epoch=epoch, run="")) for epoch in (1, 2))
    older.watch({0: 1})
    assert refilled(older, rows(b"old"))
    newer.watch({0: 1})
    with pytest.raises(StateError, match="E_STORE_OWNER"):
        newer._round()
    redis.keys.clear()  # taken over by a command
    redis.fields.clear()
    assert refilled(newer, rows(b"new"))
    older.put(rows(b"late"))
    with pytest.raises(StateError, match="E_STORE_OWNER"):
        older._round()
    assert b"late" not in redis.rows


class ReadOnlyRedis(MemoryRedis):
    """A server that answers every question and takes no write, as a replica or one without memory does."""

    takes_writes = False
    writes_tried = 0

    def exchange(self, data: Any, replies: int) -> list[Any]:
        if data:
            self._write()
        return super().exchange(data, replies)

    def command(self, *words: Any) -> Any:
        if words[0] in ("HSET", "EVAL"):
            self._write()
        return super().command(*words)

    def close(self) -> None:
        pass

    def _write(self) -> None:
        self.writes_tried += 1
        if not self.takes_writes:
            raise StoreDown(
                "E_STORE_REFUSED", "READONLY You can't write against a read only replica.", "memory"
            )


def test_a_server_that_only_reads_opens_the_breaker_once(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = ReadOnlyRedis()
    redis.takes_writes = True
    monkeypatch.setattr(online_store, "RedisSocket", lambda *_: redis)
    changes: list[bool] = []
    now_s = 0.0
    target: Any = StoreTarget(REDIS, Keys(), Sentinel("hr", "customer", 1), 1)  # type: ignore[arg-type]
    events = Events(lambda n, s: None, lambda: None, lambda is_open, why: changes.append(is_open))
    writer = OnlineStoreWriter(target, StoreSettings(), events, lambda: now_s)

    def pass_time(rounds: int) -> None:
        """Do what the thread does, a probe's interval apart."""
        nonlocal now_s
        for _ in range(rounds):
            now_s += 0.25
            try:
                writer._round()
            except StoreDown as error:
                writer._fail(error)

    writer.watch({0: 1})
    pass_time(4)
    redis.takes_writes = False
    writer.put(rows(b"a"))
    pass_time(80)
    assert changes == [True]
    redis.takes_writes = True
    pass_time(2)
    assert changes == [True, False]
    assert b"a" in redis.rows


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_in_the_thread_is_not_its_silent_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches the hook of threads, with which a worker ends; a store that is down does not."""
    heard: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: heard.append(args.exc_type))
    writer = a_writer()
    answers = iter(
        [StoreDown("E_STORE_DOWN", "no answer", "memory"), hiredis.ProtocolError("502 Bad Gateway")]
    )

    def round_of() -> None:
        raise next(answers)

    monkeypatch.setattr(writer, "_round", round_of)
    writer.start()
    writer._thread.join(10.0)
    assert not writer._thread.is_alive()
    assert heard == [hiredis.ProtocolError]


def test_a_worker_that_is_stopped_before_its_writer_began_ends_in_order() -> None:
    writer = a_writer()
    writer.stop(0.1)
    writer.start()
    writer.stop(5.0)
