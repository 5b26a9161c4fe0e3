"""Log lines that cannot be forged, and metrics on loopback."""

import json
import logging
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter, Metric

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, HeadraceError
from headrace import metrics_server, telemetry
from headrace.worker_health import read_healths
from runtime import ending
from runtime.health import Health
from runtime.run import Run


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.basicConfig(force=True)


def test_a_value_cannot_forge_a_line_or_move_a_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("gate")
    structlog.get_logger().warning("refused", key='x\n{"event": "forged"}\x1b[2J\u2028')
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["key"].startswith("x\n")
    assert line.isascii()
    assert "\x1b" not in line


def test_personal_fields_are_never_logged(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("gate")
    structlog.get_logger().info(
        "refused", email="canary@example.org", ip="192.0.2.1", device_id="canary", topic="x"
    )
    said = json.loads(capsys.readouterr().err)
    assert list(said) == ["timestamp", "level", "worker", "event", "topic"]


def test_libraries_speak_through_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("gate")
    logging.getLogger("kafka").error("broker %s is gone", 1)
    said = json.loads(capsys.readouterr().err)
    assert (said["logger"], said["event"], said["level"]) == ("kafka", "broker 1 is gone", "error")


def test_a_level_hides_what_is_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("gate", "warning")
    structlog.get_logger().info("quiet")
    assert capsys.readouterr().err == ""


def test_settings_are_told_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("gate")
    telemetry.log_settings(KafkaConnection(bootstrap_servers="127.0.0.1:1", sasl_password="canary"))
    assert "canary" not in (told := capsys.readouterr().err)
    assert json.loads(told)["sasl_password"] == "***"


def test_metrics_are_served_on_loopback_and_the_port_is_noted(tmp_path: Path) -> None:
    run, registry = Run.create(tmp_path, "main"), CollectorRegistry()
    Counter("headrace_doors_total", "Doors opened", registry=registry).inc(3)
    port = telemetry.serve_metrics(run, "gate", registry)
    assert json.loads((run.ports / "gate.json").read_text())["port"] == port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert b"headrace_doors_total 3.0" in answer.read()
    with pytest.raises(ClusterError, match="E_METRICS_PORT"):
        telemetry.serve_metrics(run, "score", registry, port)


def test_only_the_paths_that_exist_are_answered(tmp_path: Path) -> None:
    port = telemetry.serve_metrics(Run.create(tmp_path, "main"), "gate", CollectorRegistry())
    assert _status(port, "/") == 404
    assert _status(port, "/metrics/old") == 404
    assert _status(port, "/health") == 200


def test_health_says_503_when_a_part_is_stuck_and_200_when_its_state_is_only_old(tmp_path: Path) -> None:
    now_s = 0.0
    health = Health(clock=lambda: now_s)
    loop, watch = health.part("loop", limit_s=5), health.part("policy", limit_s=60)
    run = Run.create(tmp_path, "main")
    port = telemetry.serve_metrics(run, "score", CollectorRegistry(), health=health)
    watch.stale("E_CONFIG_YAML")
    assert _status(port, "/health") == 200
    (told,) = read_healths(run)
    assert (told.worker, told.status, told.parts["policy"]["why"]) == ("score", "stale", "E_CONFIG_YAML")
    now_s = 6.0
    assert _status(port, "/health") == 503
    (told,) = read_healths(run)
    assert (told.status, told.parts["loop"]["ok"], told.parts["policy"]["ok"]) == ("stuck", False, True)
    loop.moved()
    assert _status(port, "/health") == 200


def test_a_worker_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "main")
    run.ports.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (run.ports / "gate.json").write_text(json.dumps({"pid": 1, "port": taken.getsockname()[1]}))
    (run.ports / "half.json").write_text('{"pid": 1')
    assert [told.status for told in read_healths(run, answer_s=0.2)] == ["unreachable"] * 2


def test_half_sent_requests_leave_the_metrics_port_reachable(tmp_path: Path) -> None:
    port = telemetry.serve_metrics(Run.create(tmp_path, "main"), "gate", CollectorRegistry())
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(3 * metrics_server.CONNECTIONS_MAX):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            half.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        assert _status(port, "/metrics") == 200
        assert threading.active_count() - before < 3 * metrics_server.CONNECTIONS_MAX


def test_a_half_sent_request_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "CONNECTION_S", 0.05)
    port = telemetry.serve_metrics(Run.create(tmp_path, "main"), "gate", CollectorRegistry())
    with socket.create_connection(("127.0.0.1", port), timeout=10) as half:
        half.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert half.recv(1) == b""


def test_an_exception_in_a_collector_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def collect(self) -> Iterator[Metric]:
            raise MemoryError

    ended: list[str] = []

    def note_and_leave(error: HeadraceError, _cause: BaseException) -> NoReturn:
        ended.append(error.code)
        raise SystemExit(error.exit_code)

    monkeypatch.setattr(ending, "end", note_and_leave)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Broken())
    with pytest.raises(SystemExit):
        metrics_server.application(registry, None)(
            {"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET"}, lambda *_: lambda _data: None
        )
    assert ended == ["E_INTERNAL"]


def _status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
