"""The HTTP API under callers who dawdle, crowd or hang up, on real sockets, and when it breaks."""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from contracts.connections import RedisConnection
from inference.serve import server
from inference.serve.connections import Connections, Limits
from inference.serve.http import Door, Queues
from inference.serve.metrics import ServeMetrics
from inference.serve.queue import AnswerQueue
from inference.serve.request import Requests
from inference.serve.server import HttpServer
from inference.serve.settings import ServeSettings
from load.this_project import PROJECT
from runtime import ending
from runtime.clock import SystemClock
from tests.waiting import until

TOKEN = "0123456789abcdef"
SETTINGS = ServeSettings(
    redis=RedisConnection(host="127.0.0.1", port=9), models=Path("models"), port=0, token=TOKEN,
    connections_max=12, connections_a_peer_max=12, head_timeout_ms=60_000, body_timeout_ms=60_000,
)  # fmt: skip
QUESTION = b'{"customer_id":"c1"}'


@pytest.fixture(autouse=True)
def _quick_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SHUTDOWN_S", 0.1)


class Api:
    """An HTTP API whose answers a test makes, in an event loop of its own thread."""

    def __init__(self, settings: ServeSettings, answer: Callable[[list[Any]], list[dict[str, Any]]]) -> None:
        self.settings, self._answer = settings, answer
        self.registry, self.broken = CollectorRegistry(), list[str]()
        self.port = 0
        self._started, self._ended = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

        self.health_fails = False

    def _health(self) -> dict[str, Any]:
        if self.health_fails:
            raise MemoryError
        return {"status": "ok"}

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(10)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self.loop, metrics = asyncio.get_running_loop(), ServeMetrics(self.registry)
        with ThreadPoolExecutor(1) as thread:

            def broken(error: Exception) -> None:
                self.broken.append(type(error).__name__)

            queue: AnswerQueue[Any] = AnswerQueue(self._answer, thread, 64, 8, broken=broken)
            running = asyncio.create_task(queue.run())
            ending.guard_future(running, "answers of the HTTP API")
            connections = Connections(Limits.of(self.settings), metrics)
            door = Door(
                self.settings, Requests(PROJECT), Queues(queue, queue), metrics, SystemClock(), self._health,
                connections, broken,
            )  # fmt: skip
            http = HttpServer(door.application(), connections, self.settings, metrics)
            self.port = await http.open()
            self._started.set()
            await self._ended.wait()
            await http.close()
            running.cancel()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def send(self, data: bytes) -> socket.socket:
        """Send bytes on a connection of their own."""
        line = self.connect()
        line.sendall(data)
        return line

    def ask(self, path: str = "/features", body: bytes = QUESTION, token: str = TOKEN) -> tuple[int, Any]:
        """Return status and JSON of an answer."""
        with self.send(request(path, body, token=token)) as line:
            return answer_of(line)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"headrace_serve_{name}", labels) or 0.0


@contextmanager
def serving(
    answer: Callable[[list[Any]], list[dict[str, Any]]] | None = None, **changes: Any
) -> Iterator[Api]:
    """Run an HTTP API that by default answers each question with itself."""
    api = Api(
        msgspec.structs.replace(SETTINGS, **changes),
        answer or (lambda asked: [{"degraded": False} for _ in asked]),
    )
    api.start()
    try:
        yield api
    finally:
        api.close()


def request(path: str, body: bytes, length: int | None = None, token: str = TOKEN) -> bytes:
    length = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode() + body


def answer_of(line: socket.socket) -> tuple[int, Any]:
    """Read one response."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(line)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(line)
    return int(head.split(b" ")[1]), json.loads(body)


def _more(line: socket.socket) -> bytes:
    data = line.recv(65536)
    assert data, "closed without an answer"
    return data


def is_closed(line: socket.socket) -> bool:
    """Read to the end, which comes by a close or by a reset."""
    try:
        while line.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


HALF_HEAD = b"POST /features HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "half",
    [HALF_HEAD, b"", b"POST /fea", request("/features", b"{", length=20)],
    ids=["headers", "nothing", "first line", "body"],
)
def test_callers_are_answered_however_many_others_dawdle(half: bytes) -> None:
    with serving() as api, ExitStack() as stack:
        for _ in range(5 * SETTINGS.connections_max):
            stack.enter_context(api.send(half))
        for _ in range(3):
            assert api.ask()[0] == 200
        assert api.value("connections") <= SETTINGS.connections_max
        assert api.value("connections_closed_total", why="too_many") > 0


def test_a_connection_without_whole_headers_is_closed_with_a_code() -> None:
    with serving(head_timeout_ms=50) as api, api.send(HALF_HEAD) as half, api.connect() as silent:
        for line in (half, silent):
            status, told = answer_of(line)
            assert (status, told["error"]["code"]) == (408, "E_SERVE_SLOW")
            assert is_closed(line)
        assert api.value("connections_closed_total", why="slow_head") == 2


def test_headers_that_trickle_are_closed_too() -> None:
    with serving(head_timeout_ms=300) as api, api.send(HALF_HEAD) as line:
        line.setblocking(False)
        told: list[bytes] = []

        def is_told() -> bool:
            try:
                line.send(b"X")
                told.append(line.recv(1000))
            except BlockingIOError:
                return False
            return True

        until(is_told, timeout_s=10, what="a refusal")
        assert b"E_SERVE_SLOW" in told[0]


def test_a_slow_body_is_refused_with_a_code() -> None:
    with serving(body_timeout_ms=50) as api, api.send(request("/features", b"{", length=20)) as line:
        status, told = answer_of(line)
        assert (status, told["error"]["code"]) == (408, "E_SERVE_SLOW")


def test_slow_bodies_take_no_place_from_those_that_are_answered() -> None:
    with serving(requests_max=2, connections_max=64, connections_a_peer_max=64) as api, ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(api.send(request("/features", b"{", length=20)))
        assert api.ask()[0] == 200


def test_an_idle_connection_is_kept_for_a_while_and_closed() -> None:
    with serving(idle_timeout_ms=100) as api, api.connect() as line:
        for _ in range(2):
            line.sendall(request("/features", QUESTION))
            assert answer_of(line)[0] == 200
        assert is_closed(line)


def test_where_all_wait_for_answers_the_newest_is_sent_away_with_a_code() -> None:
    go_on = threading.Event()

    def slowly(asked: list[Any]) -> list[dict[str, Any]]:
        go_on.wait(10)
        return [{"degraded": False} for _ in asked]

    with serving(slowly, connections_max=3, connections_a_peer_max=3) as api, ExitStack() as stack:
        waiting = [stack.enter_context(api.send(request("/features", QUESTION))) for _ in range(3)]
        until(lambda: api.value("waiting_rows") >= 0 and _open(api) == 3, timeout_s=10, what="three wait")
        until(lambda: _refused(api) == "E_SERVE_CONNECTIONS", timeout_s=10, what="the newest is sent away")
        go_on.set()
        assert [answer_of(line)[0] for line in waiting] == [200] * 3


def _open(api: Api) -> float:
    return api.value("connections")


def _refused(api: Api) -> str:
    with api.connect() as line:
        status, told = answer_of(line)
        assert status == 503
        return str(told["error"]["code"])


def test_one_peer_keeps_no_place_from_another() -> None:
    with serving(connections_a_peer_max=4) as api, ExitStack() as stack:
        other = stack.enter_context(
            socket.create_connection(("127.0.0.1", api.port), 10, source_address=("127.0.0.2", 0))
        )
        other.sendall(HALF_HEAD)
        for _ in range(3 * SETTINGS.connections_max):
            stack.enter_context(api.send(HALF_HEAD))
        other.sendall(request("/features", QUESTION).partition(b"Host: x\r\n")[2])
        assert answer_of(other)[0] == 200


def test_a_caller_who_hangs_up_in_a_body_breaks_nothing() -> None:
    with serving() as api:
        for _ in range(5):
            api.send(request("/features", b"{", length=20)).close()
        until(lambda: _open(api) == 0, timeout_s=10, what="all are gone")
        assert api.ask()[0] == 200
        assert api.broken == []


BAD = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "long header": b"POST /features HTTP/1.1\r\nA: " + b"x" * 9000,
    "many headers": b"POST /features HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n",
    "negative length": request("/features", b"").replace(b"Length: 0", b"Length: -1"),
    "bad chunk": request("/features", b"zz\r\n").replace(b"Content-Length: 4", b"Transfer-Encoding: chunked"),
    "large body": request("/features", b"x" * (2 << 20)),
    "no path": request("/none", b"{}"),
    "no method": b"PUT /score HTTP/1.1\r\nHost: x\r\n\r\n",
    "odd token": request("/features", QUESTION, token="\x80" * 3),
    "not UTF-8": request("/features", b"\xff" * 50),
    "deep": request("/features", b"[" * 5000),
    "no payment": request("/score", b"{}"),
    "no batch": request("/score/batch", b"{}"),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_bad_requests_are_refused_and_break_nothing(data: bytes) -> None:
    with serving() as api:
        with api.send(data) as line:
            line.shutdown(socket.SHUT_WR)
            assert is_closed(line)
        assert api.ask()[0] == 200
        assert api.broken == []


def test_strangers_cannot_fill_the_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as api, caplog.at_level(logging.DEBUG):
        for _ in range(200):
            with api.send(b"GET / HTTP/9.9\r\n\r\n") as line:
                is_closed(line)
        said = capsys.readouterr()
    assert len(said.out) + len(said.err) + len(caplog.text) < 4096


def test_an_unexpected_exception_answers_500_and_ends_the_incarnation() -> None:
    def fails(_asked: list[Any]) -> list[dict[str, Any]]:
        raise MemoryError

    with serving(fails) as api:
        status, told = api.ask()
        assert (status, told["error"]["code"]) == (500, "E_SERVE_INTERNAL")
        assert api.broken == ["MemoryError"]


PAYMENT = (
    b'{"transaction_id":"t","event_time":1700000000000,"customer_id":"c","terminal_id":"m","amount_minor":1,'
    b'"currency":"EUR"}'
)
HANDLERS = {
    "/features": ("question_of", QUESTION), "/features/batch": ("questions_of", b"{}"),
    "/score": ("pending_of", PAYMENT), "/score/batch": ("events_of", b"{}"),
}  # fmt: skip


@pytest.mark.parametrize("path", HANDLERS)
def test_an_exception_in_a_handler_answers_500_and_ends_the_incarnation(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, body = HANDLERS[path]
    monkeypatch.setattr(f"inference.serve.request.Requests.{name}", lambda *_: 1 // 0)
    with serving() as api:
        status, told = api.ask(path, body)
        assert (status, told["error"]["code"]) == (500, "E_SERVE_INTERNAL")
        assert api.broken == ["ZeroDivisionError"]


def test_an_exception_in_health_ends_the_incarnation() -> None:
    with serving() as api, api.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") as line:
        assert answer_of(line) == (200, {"status": "ok"})
        api.health_fails = True
        line.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer_of(line)[0] == 500
        assert api.broken == ["MemoryError"]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hear what would end the process, instead of its end."""
    codes: list[str] = []
    monkeypatch.setattr(ending, "end", lambda error, _cause=None: codes.append(error.where))
    return codes


def test_an_exception_in_a_connections_callback_ends_the_process(
    ended: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connections, "opened", lambda *_: 1 // 0)
    with serving() as api, api.connect():
        until(lambda: bool(ended), timeout_s=10, what="the end")
    assert ended[0].startswith("event loop")


def test_an_exception_in_the_sweep_ends_the_process(
    ended: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limits, "seconds", lambda *_: 1 // 0)
    with serving() as api, api.connect():
        until(lambda: ended == ["limits of connections"], timeout_s=10, what="the end")


def test_an_exception_outside_of_an_answer_ends_the_process(
    ended: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnswerQueue, "_take", lambda *_: 1 // 0)
    with serving() as api, api.send(request("/features", QUESTION)):
        until(lambda: ended == ["answers of the HTTP API"], timeout_s=10, what="the end")


def test_the_want_of_files_for_a_caller_does_not_end_the_process_and_any_other_fault_does(
    ended: list[str],
) -> None:
    with serving() as api:
        accept = "socket.accept() out of system resource"
        for context in (
            {"message": accept, "exception": OSError(24, "Too many open files")},
            {"message": "Exception in callback", "exception": OSError(24, "Too many open files")},
        ):
            api.loop.call_soon_threadsafe(api.loop.call_exception_handler, context)
        until(lambda: len(ended) == 1, timeout_s=10, what="one of the two ends it")
        assert api.value("connections_closed_total", why="no_files") == 1
