"""Fixtures that several folders share: real servers once a session, a fresh run for each test that asks."""

import itertools
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.connections import KafkaConnection
from headrace import topics_admin
from headrace.run import Run
from tests.real_servers import DATABASES, RealServers, real_servers

_databases = itertools.count(1)


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
