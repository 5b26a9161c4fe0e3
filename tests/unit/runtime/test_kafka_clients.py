"""What holds for every Kafka client, whoever makes it, and that a maker's own settings go before it."""

from typing import Any

import pytest
from confluent_kafka import KafkaException

from contracts.connections import KafkaConnection
from runtime import kafka_clients
from runtime.kafka_clients import new_admin, new_consumer, new_producer, new_transactional

KAFKA = KafkaConnection(
    bootstrap_servers="127.0.0.1:9", security_protocol="sasl_plaintext", sasl_mechanism="PLAIN",
    sasl_username="u", sasl_password="p",
)  # fmt: skip


class Made:
    """Stands where a client would be made, and keeps its settings."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Consumer", "Producer", "AdminClient"):
        monkeypatch.setattr(kafka_clients, name, Made)


def settings_of(client: object) -> dict[str, Any]:
    assert isinstance(client, Made)
    return client.settings


@pytest.mark.usefixtures("made")
def test_every_client_has_the_connection_a_name_and_says_its_errors_by_code() -> None:
    clients = [
        new_consumer(KAFKA, "gate", "g"), new_producer(KAFKA, "gate"),
        new_transactional(KAFKA, "gate", "t", 10_000), new_admin(KAFKA, "gate"),
    ]  # fmt: skip
    for client in clients:
        settings = settings_of(client)
        assert settings.items() >= KAFKA.librdkafka().items()
        assert settings["client.id"] == "gate"
        assert settings["error_cb"] is not None
        assert settings["reconnect.backoff.max.ms"] == 1000


@pytest.mark.usefixtures("made")
def test_no_consumer_commits_by_a_clock_or_passes_over_a_hole() -> None:
    settings = settings_of(new_consumer(KAFKA, "gate", "g", {"fetch.wait.max.ms": 7}))
    assert settings["group.id"] == "g"
    assert (settings["enable.auto.commit"], settings["auto.offset.reset"]) == (False, "error")
    assert (settings["isolation.level"], settings["fetch.wait.max.ms"]) == ("read_committed", 7)


@pytest.mark.usefixtures("made")
def test_what_a_maker_says_goes_before_what_is_common() -> None:
    settings = settings_of(new_consumer(KAFKA, "ends", "g", {"isolation.level": "read_uncommitted"}))
    assert settings["isolation.level"] == "read_uncommitted"
    assert (
        settings_of(new_producer(KAFKA, "clock", {"enable.idempotence": False}))["enable.idempotence"]
        is False
    )


def test_librdkafka_takes_each_kind_of_client_as_it_is_made() -> None:
    kafka = KafkaConnection(bootstrap_servers="127.0.0.1:9")
    new_consumer(kafka, "a", "g").close()
    assert new_producer(kafka, "b").flush(0) >= 0
    assert new_transactional(kafka, "c", "t", 10_000).flush(0) >= 0
    new_admin(kafka, "d")
    with pytest.raises(KafkaException, match=r"no\.such\.setting"):
        new_producer(kafka, "e", {"no.such.setting": 1})
