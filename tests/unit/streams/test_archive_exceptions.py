"""An exception anywhere in the archive leaves `run`; no offset is committed beyond what is in the lake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import CollectorRegistry

from contracts import crash_points
from contracts.connections import KafkaConnection
from load.this_project import PROJECT
from runtime import kafka_clients
from runtime.health import Health
from streams.archive.archive import Archive
from streams.archive.metrics import ArchiveMetrics
from streams.archive.settings import ArchiveSettings

POINTS = [
    point for point in (*crash_points.POINTS, *crash_points.SEAM_POINTS) if point.startswith("archive.")
]  # fmt: skip
UNEXPECTED = (MemoryError, TypeError, OSError, KafkaException)
DRIFT = b'{"detector":"psi"}'


class Consumer:
    """One partition of `drift` with three records, in a group of one."""

    def __init__(self, _options: dict[str, Any]) -> None:
        self.committed_at: list[int] = []
        self.position, self.joined = 0, False
        self.callbacks: dict[str, Callable[..., None]] = {}

    def subscribe(self, _topics: list[str], **callbacks: Callable[..., None]) -> None:
        self.callbacks = callbacks

    def consume(self, _most: int, _timeout_s: float) -> list[Message]:
        if not self.joined:
            self.joined = True
            self.callbacks["on_assign"](self, [TopicPartition("drift", 0)])
        if self.position == 3:
            self.callbacks["on_revoke"](self, [TopicPartition("drift", 0)])
        self.position += 1
        found = Message(topic="drift", partition=0, offset=self.position - 1, value=DRIFT, timestamp=(2, 1))
        return [found] if self.position <= 3 else []

    def committed(self, partitions: list[TopicPartition], _timeout_s: float) -> list[TopicPartition]:
        return partitions

    def get_watermark_offsets(self, _place: TopicPartition, _timeout_s: float) -> tuple[int, int]:
        return 0, 3

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.position = partitions[0].offset

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        self.committed_at += [place.offset for place in offsets]
        return offsets

    def close(self) -> None:
        pass


def an_archive(folder: Path, monkeypatch: pytest.MonkeyPatch, health: Health | None = None) -> Archive:
    monkeypatch.setattr(kafka_clients, "Consumer", Consumer)
    settings = ArchiveSettings(
        kafka=KafkaConnection(bootstrap_servers="nowhere"), lake=folder, rows_a_file=2, drain_ms=0.0
    )
    return Archive(PROJECT, settings, ArchiveMetrics(CollectorRegistry()), health)


def turns(count: int) -> Callable[[], bool]:
    """Return a question that says after so many turns that it is time to stop."""
    left = iter([False] * count)
    return lambda: next(left, True)


@pytest.mark.parametrize("error", UNEXPECTED)
@pytest.mark.parametrize("point", POINTS)
def test_it_leaves_the_main_thread_and_commits_nothing_that_is_not_there(
    point: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = error(KafkaError(KafkaError._FAIL)) if error is KafkaException else error("simulated")

    def raise_there(at: str) -> None:
        if at == point:
            raise made

    monkeypatch.setattr(crash_points, "_WHEN", "here")
    monkeypatch.setattr(crash_points, "_obey", raise_there)
    archive = an_archive(tmp_path, monkeypatch)
    with pytest.raises(error) as left:
        archive.run(turns(9))
    assert left.value is made
    consumer: Any = archive._consumer
    in_lake = {path.name for path in (tmp_path / "drift").rglob("*.parquet")}
    assert max(consumer.committed_at, default=0) == 0 or in_lake


def test_health_moves_with_the_loop_and_a_backlog_that_is_never_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    health = Health(lambda: now_s)
    archive = an_archive(tmp_path, monkeypatch, health)
    consumer: Any = archive._consumer
    consumer.callbacks = {"on_assign": archive._assigned}
    for _ in range(2):  # what comes with an assignment is read again
        archive._read(0.0)
    now_s = 1000.0
    archive._say_healthy()
    parts = health.report()["parts"]
    assert (parts["loop"]["ok"], parts["checkpoint"]["ok"]) == (True, False)
    archive._flush(archive._buffers.values())
    archive._say_healthy()
    assert health.report()["status"] == "ok"
