"""A store whose server throws keys away: what is missing is not called history."""

from typing import Any

import pytest

from contracts.connections import RedisConnection
from inference.reading import store_evicts
from inference.reading.settings import ReaderSettings
from inference.reading.store_evicts import StoreEvicts
from inference.serve.answers import STORE_EVICTS, tell_eviction
from runtime.redis_socket import StoreDown


class Said:
    """What a server says to INFO, one after another."""

    def __init__(self, *said: Any) -> None:
        self._said = list(said)

    def command(self, *words: str) -> Any:
        assert words == ("INFO", "stats")
        said = self._said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def close(self) -> None:
        pass


def test_evicted_keys_are_seen_and_remembered_while_the_server_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 0.0
    evicts = StoreEvicts(RedisConnection(host="127.0.0.1", port=9), ReaderSettings(), clock=lambda: now_s)
    said = Said(
        b"# Stats\r\nevicted_keys:0\r\n", b"evicted_keys:3\r\n",
        StoreDown("E_STORE_DOWN", "away", "redis"), 5, b"# Stats\r\n",
    )  # fmt: skip
    monkeypatch.setattr(store_evicts, "connect", lambda *_: said)
    assert not evicts()
    assert not evicts(), "asked once a second at most"
    for later_s in (2.0, 4.0, 6.0):
        now_s = later_s
        assert evicts()
    now_s = 8.0
    assert not evicts(), "the server has started again"


def _answer(status: str) -> dict[str, Any]:
    return {"degraded": False, "degraded_why": [], "customer": {"status": status}}


def test_what_is_missing_is_degraded_with_the_reason_and_what_is_there_is_not() -> None:
    for status, evicting, why in (
        ("default", True, [STORE_EVICTS]), ("default", False, []), ("exact", True, []), ("store", True, []),
    ):  # fmt: skip
        answer = _answer(status)
        tell_eviction(answer, [answer["customer"]], lambda evicting=evicting: evicting)  # type: ignore[misc]
        assert (answer["degraded_why"], answer["degraded"]) == (why, bool(why))
