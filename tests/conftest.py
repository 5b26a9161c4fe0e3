"""Fixtures that several folders share: real servers once a session, a fresh run for each test that asks."""

import itertools
import os
import secrets
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import prometheus_client  # noqa: F401  # before Feast, which would have its counters kept in shared files
import pytest
from hypothesis import HealthCheck, settings

from contracts.connections import KafkaConnection
from headrace import topics_admin
from runtime.run import Run
from tests.real_servers import DATABASES, RealServers, real_servers

_databases = itertools.count(1)

# How fast examples are made says how busy the machine is, and nothing of the code. The same examples at every
# run say whether a change broke something; the long run draws new ones, to find what was always broken.
settings.register_profile(
    "headrace", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("headrace"), derandomize=False)
settings.load_profile("headrace")


@pytest.fixture(autouse=True)
def hooks_as_before() -> Iterator[None]:
    """What a test installs for unhandled exceptions ends with it: it would end the process of the others."""
    kept = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = kept


@pytest.fixture(autouse=True)
def chosen_as_before() -> Iterator[None]:
    """Run and project that a command chose for its process end with the test that called it."""
    kept = {name: os.environ.get(name) for name in ("HEADRACE_RUN", "HEADRACE_PROJECT")}
    yield
    for name, value in kept.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServers]:
    """Real Kafka and real Redis, the same suite either way."""
    with real_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture
def run(servers: RealServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A run of its own: folder, topics with a fresh prefix, an empty Redis database.

    The environment points at it, so that commands, settings and worker processes find it.
    """
    name = f"t{secrets.token_hex(3)}"
    fresh = Run.create(tmp_path, name, redis_db=next(_databases) % DATABASES)
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    monkeypatch.setenv("HEADRACE_RUN", str(fresh.home))
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", servers.bootstrap_servers)
    monkeypatch.setenv("HEADRACE_REDIS_URL", f"{servers.redis_url}/{fresh.redis_db}")
    kafka = KafkaConnection(bootstrap_servers=servers.bootstrap_servers)
    topics_admin.ensure(kafka, fresh.topic_prefix)
    yield fresh
    topics_admin.delete(kafka, fresh.topic_prefix)


@pytest.fixture
def kafka(servers: RealServers) -> KafkaConnection:
    """The connection to the session's Kafka."""
    return KafkaConnection(bootstrap_servers=servers.bootstrap_servers)
