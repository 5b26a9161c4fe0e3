"""The caller of the HTTP API keeps what no client may see; the bare pair measures what a broker costs."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from confluent_kafka import Producer

from contracts.connections import KafkaConnection
from headrace.door_note import note_door
from load.chaos.bare import BarePair
from load.chaos.caller import Caller
from runtime.run import Run
from tests.waiting import until

PAYMENT = {"transaction_id": "t1", "customer_id": "c1", "terminal_id": "m1"}
SAID: dict[str, tuple[int, bytes]] = {}


class Handler(BaseHTTPRequestHandler):
    """Says to each path what the test wants."""

    def do_POST(self) -> None:
        status, body = SAID[self.path]
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    run = Run.create(tmp_path, "asked", redis_db=0)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        note_door(run, "127.0.0.1", server.server_port)
        asking = Caller(run, [PAYMENT])
        yield asking
        asking.stop()
        server.shutdown()


def asked(caller: Caller) -> None:
    caller.start()
    until(lambda: sum(caller.answers.values()) >= 2, timeout_s=20, what="both paths were asked")
    caller.stop()


def test_good_answers_and_refusals_are_right(caller: Caller) -> None:
    SAID["/score"] = 503, b'{"error": {"code": "E_SERVE_BUSY"}}'
    SAID["/features"] = 200, b'{"customer": {"values": {"a": 1.0}}}'
    asked(caller)
    assert set(caller.answers) == {"503 E_SERVE_BUSY", "200"}
    assert caller.wrong == []


def test_what_no_client_can_read_is_wrong(caller: Caller) -> None:
    SAID["/score"] = 502, b"<html>Bad Gateway</html>"
    SAID["/features"] = 200, b'{"customer": null}'
    asked(caller)
    assert {one.status for one in caller.wrong} == {200, 502}


def test_nobody_there_is_no_answer(tmp_path: Path) -> None:
    caller = Caller(Run.create(tmp_path, "away", redis_db=0), [PAYMENT])
    caller.start()
    until(lambda: bool(caller.answers), timeout_s=20, what="it was tried")
    caller.stop()
    assert set(caller.answers) == {"none: OSError"}
    assert caller.wrong == []


class PairOfMock(BarePair):
    """librdkafka's own cluster makes topics by itself, and knows no request for it."""

    def _create(self) -> None:
        """Make nothing."""


def test_a_bare_pair_waits_for_its_own_records() -> None:
    cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": " ", "log_level": 0})
    broker = next(iter(cluster.list_topics(timeout=10).brokers.values()))
    pair = PairOfMock(KafkaConnection(bootstrap_servers=f"{broker.host}:{broker.port}"))
    began_s = time.monotonic()
    pair.start()

    def waited_s() -> float | None:
        return pair.longest_wait_s(began_s, time.monotonic())

    until(lambda: waited_s() is not None, timeout_s=30, what="a record was sent")
    pair.stop()
    assert pair.failure is None
    assert pair.longest_wait_s(0.0, began_s) is None
