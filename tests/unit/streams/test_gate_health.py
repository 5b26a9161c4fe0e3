"""What a gate says of its health: its loop turns, and what it took comes under committed offsets."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition
from prometheus_client import CollectorRegistry

from contracts.connections import KafkaConnection
from load.this_project import PIPELINE
from runtime import kafka_clients
from runtime.health import Health
from streams.gate.metrics import GateMetrics
from streams.gate.settings import GateSettings
from streams.gate.worker import GateWorker


class Client:
    """A producer or a consumer of a quiet Kafka."""

    def __init__(self, _options: dict[str, Any]) -> None:
        self.committed: list[TopicPartition] = []

    def list_topics(self, timeout: float) -> Any:
        names = ("events.customer", "events.terminal", "transactions.dlq", "labels.dlq")
        return SimpleNamespace(topics={name: SimpleNamespace(partitions={0: None}) for name in names})

    def poll(self, _timeout_s: float) -> int:
        return 0

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self.committed += offsets

    def get_watermark_offsets(self, _place: TopicPartition, cached: bool) -> tuple[int, int]:
        return 0, 0


def test_a_gate_is_stuck_when_nothing_it_took_is_ever_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_clients, "Producer", Client)
    monkeypatch.setattr(kafka_clients, "Consumer", Client)
    now_s = 0.0
    health = Health(lambda: now_s)
    settings = GateSettings(
        kafka=KafkaConnection(bootstrap_servers="nowhere"), partitions=1, commit_interval_ms=0.0
    )
    gate = GateWorker(PIPELINE, settings, GateMetrics(CollectorRegistry()), health)

    def after(seconds: float) -> str:
        nonlocal now_s
        now_s += seconds
        gate._turn([])
        return str(health.report()["status"])

    assert after(1000.0) == "ok"
    delivered = gate._acks.expect({("transactions", 0): 5}, 1)
    assert after(30.0) == "ok"
    assert after(60.0) == "stuck"
    delivered(None, None)
    gate._turn([])
    assert after(0.0) == "ok"
    refused = TopicPartition("transactions", 0, 5)
    gate._on_commit(KafkaError(KafkaError._FAIL), [refused])
    assert after(61.0) == "stuck", "the coordinator refuses for ever"
    gate._on_commit(None, [refused])
    assert health.report()["status"] == "ok"


def test_a_gate_that_no_longer_turns_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_clients, "Producer", Client)
    monkeypatch.setattr(kafka_clients, "Consumer", Client)
    now_s = 0.0
    health = Health(lambda: now_s)
    GateWorker(
        PIPELINE,
        GateSettings(kafka=KafkaConnection(bootstrap_servers="nowhere"), partitions=1),
        GateMetrics(CollectorRegistry()),
        health,
    )
    now_s = 31.0
    assert health.report()["status"] == "stuck"
