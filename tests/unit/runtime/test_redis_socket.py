"""What answers in Redis's place: a malformed reply is a store that is down, and the next try a fresh one."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import msgspec
import numpy as np
import pytest

from contracts.connections import RedisConnection
from inference.reading.online_reader import RedisFeatureReader, StoreUnavailable
from inference.reading.settings import ReaderSettings
from load.this_project import PROJECT
from runtime.redis_reply import ITEMS_MAX, REPLY_BYTES_MAX, MalformedReplyError, ReplyReader
from runtime.redis_socket import RedisSocket, StoreDown, command, row_of, text_of
from streams.store.sentinel import Sentinel
from tests.waiting import until

MALFORMED = (
    b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"$9223372036854775807\r\nabc\r\n", b"*4294967295\r\n",
    b"*1\r\n" * 50 + b":1\r\n", b"$-2\r\n", b"$3\r\nabcd\r\n", b":1e9\r\n", b"*x\r\n", b"\0\0\0\0\r\n",
    b":" + b"9" * 40 + b"\r\n", b"+" + b"x" * 70_000, b":1\r\n:2\r\n",
)  # fmt: skip


class Server:
    """Answers every command with what a test says, connection after connection."""

    def __init__(self) -> None:
        self.answer, self.connections = b"+OK\r\n", 0
        self.taken = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.redis = RedisConnection(host="127.0.0.1", port=self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, suppress(OSError):  # the client may be gone
            while data := line.recv(1 << 16):
                self.taken += data
                line.sendall(self.answer)

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.mark.parametrize("answer", MALFORMED, ids=lambda answer: repr(answer[:20]))
def test_a_malformed_reply_is_a_store_that_is_down(server: Server, answer: bytes) -> None:
    server.answer = answer
    line = RedisSocket(server.redis, 5.0, 0.3)
    with pytest.raises(StoreDown, match=r"E_STORE_(REPLY|DOWN)"):
        line.command("PING")
    server.answer = b"+PONG\r\n"
    with pytest.raises(StoreDown, match=r"E_STORE_DOWN"):  # what comes late on it answers nothing any more
        line.command("PING")
    with closing(RedisSocket(server.redis, 5.0, 5.0)) as fresh:
        assert fresh.command("PING") == b"PONG"
    assert server.connections == 2


def test_half_a_reply_is_waited_for_no_longer_than_the_limit(server: Server) -> None:
    server.answer = b"$10\r\nabc"
    line = RedisSocket(server.redis, 5.0, 0.1)
    with pytest.raises(StoreDown, match=r"E_STORE_DOWN"):
        line.command("GET", "k")


@pytest.mark.parametrize(
    "answer", [b":5\r\n", b"*1\r\n:5\r\n", b"*2\r\n$-1\r\n$-1\r\n", b"$3\r\nabc\r\n", b"*-1\r\n"]
)
def test_a_reply_of_another_shape_is_one_too(server: Server, answer: bytes) -> None:
    server.answer = answer
    sentinel = Sentinel("headrace", "customer", 1)
    with closing(RedisSocket(server.redis, 5.0, 5.0)) as line:
        with pytest.raises(StoreDown, match=r"E_STORE_REPLY"):
            sentinel.lost(line, {0: 1})
        if answer != b"$3\r\nabc\r\n":
            with pytest.raises(StoreDown, match=r"E_STORE_REPLY"):
                sentinel.meet(line)


def test_shapes_that_are_due_are_taken() -> None:
    assert text_of(b"x") == b"x"
    assert row_of([b"x", None], 2) == [b"x", None]


def test_what_a_reader_keeps_is_bounded() -> None:
    reader = ReplyReader()
    reader.feed(b"$%d\r\n" % REPLY_BYTES_MAX)
    with pytest.raises(MalformedReplyError):
        reader.feed(b"x" * (REPLY_BYTES_MAX + 1))
    many = ReplyReader()
    many.feed(b"*%d\r\n" % (ITEMS_MAX + 1))
    with pytest.raises(MalformedReplyError, match="items"):
        many.next()


def test_a_connection_greets_with_user_and_database_in_one_round_trip(server: Server) -> None:
    server.answer = b"+OK\r\n+OK\r\n"
    to = msgspec.structs.replace(server.redis, db=3, username="ann", password="pw")
    with RedisSocket(to, 5.0, 5.0):
        assert server.taken == (
            b"*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$2\r\npw\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"
        )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"-WRONGPASS no\r\n", "E_STORE_REFUSED"),
        (b"HTTP/1.1 400\r\n\r\n", "E_STORE_REPLY"),
        (b"", "E_STORE_DOWN"),
    ],
)
def test_a_greeting_that_is_not_taken_is_a_store_that_is_down(
    server: Server, answer: bytes, code: str
) -> None:
    server.answer = answer
    with pytest.raises(StoreDown, match=code):
        RedisSocket(msgspec.structs.replace(server.redis, db=3), 5.0, 0.2)


def test_nobody_who_listens_is_a_store_that_is_down() -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        nobody = RedisConnection(host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(StoreDown, match="E_STORE_DOWN"):
            RedisSocket(nobody, 1.0, 1.0)


def test_bytes_may_be_read_by_a_parser_of_ones_own_each_wait_with_its_limit(server: Server) -> None:
    server.answer = b"$3\r\nab"
    with RedisSocket(server.redis, 5.0, 5.0) as line:
        line.send(command("GET", "k"))
        assert line.receive(2) + line.receive(100) == server.answer
        line.wait_at_most(0.05)
        with pytest.raises(StoreDown, match="E_STORE_DOWN"):
            line.receive(100)
        with pytest.raises(StoreDown, match="E_STORE_DOWN"):
            line.send(command("PING"))


def test_a_reader_of_rows_without_a_store_says_so_and_begins_again(server: Server) -> None:
    reader = RedisFeatureReader(PROJECT, server.redis, "headrace", ReaderSettings(reply_timeout_ms=200.0))
    keys, none = np.array([b"c1"]), np.array([], "S1")
    for answer in (b"-LOADING\r\n", b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"$9"):
        server.answer, before = answer, server.connections
        with pytest.raises(StoreUnavailable, match="E_STORE_UNAVAILABLE"):
            reader.read(keys, none)
        until(lambda n=before + 2: server.connections == n, timeout_s=10, what="two new connections")
    reader.close()
