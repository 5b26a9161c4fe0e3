"""The container files agree with the code: one service a worker, and only metrics that exist."""

import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from headrace.servers.kafka import VERSION
from headrace.supervisor import LEARNER, workers_of_project
from load.this_project import PROJECT

DOCKER = Path(__file__).resolve().parents[2] / "docker"
PROCESSES = (*workers_of_project(), LEARNER, ("serve",))
METRICS = {
    "streams.gate.metrics": ("GateMetrics", ()),
    "streams.stage.metrics": ("StageMetrics", ("customer",)),
    "streams.archive.metrics": ("ArchiveMetrics", ()),
    "inference.scorer.metrics": ("ScorerMetrics", (PROJECT,)),
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


def test_every_worker_is_a_service_and_a_target(compose: dict[str, Any]) -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text()
    for words in PROCESSES:
        name = "-".join(words)
        assert compose["services"][name]["build"]["target"] == name
        entry = json.dumps(["headrace", *words])
        assert f"AS {name}\nENTRYPOINT {entry}\n" in dockerfile


def test_every_folder_that_is_copied_is_let_into_the_build() -> None:
    copied = re.findall(r"^COPY (\w+) \w+$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    let_in = (DOCKER / "Dockerfile.dockerignore").read_text().split()
    assert "runtime" in copied
    assert {f"!{folder}" for folder in copied} <= set(let_in)


def test_an_image_has_no_tests_and_so_no_test_hooks() -> None:
    assert "tests" not in (DOCKER / "Dockerfile").read_text()
    assert not any("tests" in line for line in (DOCKER / "Dockerfile.dockerignore").read_text().split())


def test_everything_is_published_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_workers_have_no_rights_and_bounded_memory(compose: dict[str, Any]) -> None:
    for words in PROCESSES:
        service = compose["services"]["-".join(words)]
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert {"mem_limit", "pids_limit"} <= service.keys()
    assert "USER headrace" in (DOCKER / "Dockerfile").read_text()


def test_servers_are_waited_for_and_pinned(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["kafka"]["image"] == f"apache/kafka:{VERSION}"
    for name, service in services.items():
        image = service.get("image", "built:here")
        assert ":" in image
        assert not image.endswith(":latest")
        for needed, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in services[needed], f"{name} waits for {needed}"


def test_prometheus_asks_every_worker() -> None:
    scrape = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"][0]
    assert scrape["static_configs"][0]["targets"] == [f"{'-'.join(words)}:9464" for words in PROCESSES]


def _metrics() -> dict[str, set[str]]:
    """Return every metric's name as Prometheus sees it, with its labels."""
    found = {}
    for module, (name, arguments) in METRICS.items():
        registry = CollectorRegistry()
        getattr(importlib.import_module(module), name)(registry, *arguments)
        for collector in set(registry._collector_to_names):
            kind = collector._type  # type: ignore[attr-defined]
            suffix = {"counter": "_total", "histogram": "_bucket"}.get(kind, "")
            labels = {*collector._labelnames, *(["le"] if kind == "histogram" else [])}  # type: ignore[attr-defined]
            found[collector._name + suffix] = labels  # type: ignore[attr-defined]
    return found


def test_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    metrics = _metrics()
    dashboard = json.loads((DOCKER / "grafana" / "dashboards" / "headrace.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 10
    for expression in expressions:
        (name,) = re.findall(r"headrace_\w+", expression)
        assert name in metrics, expression
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            assert set(labels.split(", ")) <= metrics[name], expression


def test_the_images_lock_is_a_part_of_the_lock() -> None:
    def pinned(path: Path) -> set[str]:
        return set(re.findall(r"^[A-Za-z0-9._-]+==\S+", path.read_text(), re.MULTILINE))

    assert pinned(DOCKER / "requirements.lock") <= pinned(DOCKER.parent / "requirements.lock")


def test_docker_itself_takes_the_compose_file() -> None:
    """Where the compose plugin is installed it reads the file too; the other tests need no Docker."""
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        return
    command = [
        "docker",
        "compose",
        "--file",
        str(DOCKER / "compose.yaml"),
        "--profile",
        "grafana",
        "config",
        "--quiet",
    ]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
