"""What a Kafka client says of its connections goes to the log, by code, and an exception there comes out."""

import logging

import pytest
from confluent_kafka import Producer

from contracts import connections
from contracts.connections import KafkaConnection
from tests.waiting import until


def client() -> Producer:
    return Producer(KafkaConnection(bootstrap_servers="127.0.0.1:1").librdkafka())


def test_a_broker_that_is_not_there_is_logged_by_code_and_printed_by_nobody(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    producer = client()
    with caplog.at_level(logging.WARNING):
        until(lambda: producer.poll(0.1) >= 0 and bool(caplog.records), timeout_s=20, what="it is logged")
    assert caplog.records[0].getMessage().startswith("E_KAFKA_CLIENT _")
    assert "FAIL" not in capfd.readouterr().err


def test_an_exception_while_it_is_logged_leaves_the_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(logging.Logger):
        def warning(self, *_: object, **__: object) -> None:
            raise TypeError("nobody expected it")

    monkeypatch.setattr(connections, "log", Broken("broken"))
    producer = client()
    with pytest.raises(TypeError, match="nobody expected it"):
        until(lambda: producer.poll(0.1) < 0, timeout_s=20, what="the exception comes")
