"""How a stack begins and ends, as far as no server is needed for it."""

import os
from pathlib import Path

import pytest

from contracts.errors import ClusterError
from headrace.stack import FreshStack, Stack
from runtime.run import Run


class Unopened(FreshStack):
    """A stack whose topics cannot be had."""

    closed = 0

    def open(self, run: Run) -> list[str]:
        os.environ["HEADRACE_RUN"] = str(run.home)
        raise ClusterError("E_TOPIC_CREATE", "refused")

    def close(self) -> None:
        self.closed += 1
        super().close()


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", "kafka.example:9092")
    monkeypatch.setenv("HEADRACE_REDIS_URL", "redis://redis.example:6379")


def test_servers_that_the_environment_names_are_used_and_none_is_started(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    servers = stack.start_servers()
    assert (servers.bootstrap_servers, servers.redis_url) == (
        "kafka.example:9092",
        "redis://redis.example:6379",
    )
    assert stack.local is None
    stack.close()
    assert list(tmp_path.iterdir()) == []


def test_workers_are_asked_for_only_where_they_run(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="E_STACK_WORKERS"):
        _ = Stack(tmp_path).supervisor


@pytest.mark.parametrize("before", [None, "earlier"])
def test_a_beginning_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.delenv("HEADRACE_RUN", raising=False)
    if before:
        monkeypatch.setenv("HEADRACE_RUN", before)
    stack = Unopened(tmp_path, "one")
    with pytest.raises(ClusterError, match="E_TOPIC_CREATE"), stack:
        pass
    assert stack.closed == 1
    assert os.environ.get("HEADRACE_RUN") == before
