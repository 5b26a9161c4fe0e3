"""Whatever raises in the process of a stage, under Faust's loop and services, ends it with 70 and why."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
WHERE = (
    "in_callback", "in_agent", "in_record", "in_timer", "in_task", "in_service", "in_assignment",
    "in_revocation", "in_take_over", "in_finish", "in_outputs_thread", "in_store_thread", "in_client",
    "in_client_loop",
)  # fmt: skip


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Return exit code and noted reason of each case."""
    script = Path(__file__).with_name("faust_that_fails.py")
    answer = subprocess.run(
        [sys.executable, str(script), str(tmp_path_factory.mktemp("faust"))],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    found = [line.removeprefix("found:") for line in answer.stdout.splitlines() if line.startswith("found:")]
    assert found, answer.stderr
    return {name: (code, what) for name, (code, what) in json.loads(found[0]).items()}


@pytest.mark.parametrize("where", WHERE)
def test_whatever_raises_ends_the_process(where: str, ends: dict[str, tuple[int, str]]) -> None:
    assert ends[where] == (70, "MemoryError('no more')")


def test_the_tasks_of_kafkas_client_are_where_they_are_looked_for() -> None:
    """They have no public names but one: a version that renames them must not pass unseen."""
    from aiokafka.client import AIOKafkaClient
    from aiokafka.consumer.fetcher import Fetcher
    from aiokafka.consumer.group_coordinator import GroupCoordinator

    assert isinstance(Fetcher.error_future, property)
    assert "_coordination_task" in GroupCoordinator.__init__.__code__.co_names
    assert "_sync_task" in AIOKafkaClient.__init__.__code__.co_names


def test_a_kafka_that_is_away_when_faust_starts_is_named(ends: dict[str, tuple[int, str]]) -> None:
    code, what = ends["in_start"]
    assert (code, "127.0.0.1" in what) == (70, True), what
