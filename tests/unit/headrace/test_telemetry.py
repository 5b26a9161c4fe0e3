"""Log lines that cannot be forged, and metrics on loopback."""

import json
import logging
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError
from headrace import telemetry
from headrace.run import Run


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
