"""Servers that do not answer are told within seconds, and local ones that died are started again."""

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import ClusterError
from headrace import telemetry
from headrace.deployment import DiskWatch
from headrace.health_watch import HealthWatch
from headrace.server_watch import ServerWatch, ask_kafka, ask_redis
from headrace.servers.server import Server
from runtime.health import Health
from runtime.run import Run
from tests.waiting import until

LISTENS = "import time\nwhile True: time.sleep(60)"


class Local(Server):
    """A program that only runs, in the place of a server."""

    name = "local"
    ready_timeout_s = 5.0
    stop_patience_s = 1.0
    port_count = 1

    def command(self, ports: tuple[int, ...]) -> list[str]:
        return [sys.executable, "-c", LISTENS]

    def answers(self, port: int) -> bool:
        return self.alive is not None


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    server = Local(tmp_path / "local", tethered=True)
    server.launch((1,))
    yield server
    server.kill()


def watch(local: Local, heard: list[str], restart: object = None) -> ServerWatch:
    start = restart or (lambda: local.launch((1,)))
    return ServerWatch("Kafka", lambda: "", heard.append, local, start)  # type: ignore[arg-type]


def test_a_local_server_that_died_is_told_and_started_again(local: Local) -> None:
    heard: list[str] = []
    watching = watch(local, heard)
    watching.look()
    assert heard == []
    local.kill()
    watching.look()
    assert [line.partition(" (")[0] for line in heard] == ["Kafka has ended", "Kafka was started again"]
    assert local.alive is not None
    watching.look()
    assert heard[-1] == "Kafka answers again"


def test_a_server_that_a_command_stopped_stays_stopped(local: Local) -> None:
    heard: list[str] = []
    local.stop()
    watching = watch(local, heard)
    watching.look()
    watching.look()
    assert heard == ["Kafka was stopped by a command; `headrace servers start` starts it"]
    assert local.alive is None


def test_a_server_that_does_not_start_is_tried_on_after_growing_pauses(local: Local) -> None:
    heard: list[str] = []

    def fails() -> None:
        raise ClusterError("E_SERVER_ENDED", "No space left on device", "kafka.log", "make room")

    watching = watch(local, heard, fails)
    local.kill()
    for _ in range(5):
        watching.look()
    assert len(heard) == 2  # that it ended, and one try: the next comes after a pause
    assert "E_SERVER_ENDED: No space left on device" in heard[1]
    assert not watching.state.answers


def test_silence_is_told_at_the_second_question_and_once() -> None:
    heard: list[str] = []
    answer = "does not answer: timed out"
    watching = ServerWatch("Redis", lambda: answer, heard.append)
    watching.look()
    assert heard == []
    watching.look()
    watching.look()
    assert heard == ["Redis does not answer: timed out"]
    answer = ""
    watching.look()
    assert heard[1:] == ["Redis answers again"]


def test_a_watch_that_died_is_noticed_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)  # its traceback is of no interest here
    heard: list[str] = []
    answers = iter([TypeError("nobody expected it"), "", ""])

    def ask() -> str:
        answer = next(answers, "")
        if isinstance(answer, Exception):
            raise answer
        return answer

    watching = ServerWatch("Redis", ask, heard.append)
    watching._every_s = 0.01
    watching.start()

    def replaced() -> bool:
        watching.replace_dead()
        return bool(heard) and next(answers, None) is None

    until(replaced, timeout_s=10, what="a second thread asks")
    watching.close()
    watching.replace_dead()
    assert heard == ["E_INTERNAL: the watch of Redis ended, and starts again; see the traceback"]


def test_servers_that_are_not_there_are_said_to_be_so() -> None:
    assert ask_kafka(KafkaConnection(bootstrap_servers="127.0.0.1:1"))().startswith("does not answer")
    assert ask_redis(RedisConnection(host="127.0.0.1", port=1))().startswith("does not answer")


def test_a_disk_that_is_nearly_full_is_told_once_and_told_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    free = 10 << 20
    monkeypatch.setattr("headrace.deployment.DISK_EVERY_S", 0.0)
    monkeypatch.setattr("headrace.deployment.shutil.disk_usage", lambda _: _Usage(free))
    disk = DiskWatch(tmp_path, heard.append)
    disk.look()
    disk.look()
    free = 1 << 40
    disk.look()
    assert len(heard) == 2
    assert heard[0].startswith("E_DISK_LOW: 10 MiB are free")
    assert heard[1] == "the disk has 1,048,576 MiB free again"


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_worker_whose_part_stands_still_is_told_once_and_when_it_moves_again(tmp_path: Path) -> None:
    run, now_s, heard = Run.create(tmp_path, "main"), 0.0, list[str]()
    health = Health(clock=lambda: now_s)
    loop = health.part("loop", limit_s=5.0)
    telemetry.serve_metrics(run, "gate", CollectorRegistry(), health=health)
    watching = HealthWatch(run, heard.append)
    watching.look()
    now_s = 7.0
    watching.look()
    watching.look()
    assert heard == ["gate is stuck: loop has not moved for 7 s"]
    loop.moved()
    watching.look()
    assert heard[1:] == ["gate is ok"]


def test_a_question_to_redis_leaves_no_connection_open() -> None:
    said: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        line, _ = listening.accept()
        with line:
            said.append(line.recv(100))
            line.sendall(b"+PONG\r\n")
            said.append(line.recv(100))  # nothing: the other side has closed it

    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = threading.Thread(target=serve, args=(listening,))
        answering.start()
        assert ask_redis(RedisConnection(host="127.0.0.1", port=listening.getsockname()[1]))() == ""
        answering.join(10)
    assert said == [b"*1\r\n$4\r\nPING\r\n", b""]
