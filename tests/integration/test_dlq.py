"""`headrace dlq` on real Kafka: list, show and replay what the gate refused."""

import json
import time
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from contracts.connections import KafkaConnection
from contracts.frame import Kind
from headrace.commands.dlq import command
from runtime.run import Run
from tests.integration.test_gate import frames, payment, running_gate, send
from tests.waiting import until


def dlq(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(command, [*arguments, "--json"])


def listed(*arguments: str) -> list[dict[str, Any]]:
    """Return what the list shows."""
    result = dlq("list", *arguments)
    assert result.exit_code == 0, result.output
    return list(json.loads(result.output))


@pytest.mark.timeout(120)
def test_refused_records_are_listed_shown_and_replayed(kafka: KafkaConnection, run: Run) -> None:
    topic = run.topic_prefix + "transactions"
    key, value = payment(1, "c1")
    soon = json.loads(value) | {
        "event_time": int(time.time() * 1000) + 303_000,
        "email": "someone@example.org",
    }
    early = key, json.dumps(soon).encode()
    send(kafka, topic, [early, (key, b'{"no": "json"'), payment(2, "c1")])
    with running_gate(kafka, run) as gate:
        until(lambda: gate.judged() >= 3, timeout_s=30, what="all is judged")
        rows = {row["code"]: row for row in listed("--topic", "transactions")}
        assert set(rows) == {"E_TIME_FUTURE", "E_DECODE_JSON"}
        assert [row["code"] for row in listed("--code", "E_DECODE_JSON", "--limit", "1")] == ["E_DECODE_JSON"]

        assert len(listed("--key", "c1", "--limit", "1")) == 1
        assert listed("--key", "nobody") == []
        told = CliRunner().invoke(command, ["list"]).output.splitlines()
        assert told[0].split() == ["time", "(UTC)", "origin", "code", "reason"]
        assert {"1 E_TIME_FUTURE", "1 E_DECODE_JSON", "2 dead letters"} <= set(told)

        origin = rows["E_TIME_FUTURE"]["origin"]
        masked = json.loads(dlq("show", origin).output)
        assert "someone" not in str(masked)
        assert json.loads(masked["value"])["email"] == "***"
        assert json.loads(dlq("show", origin, "--bytes").output)["value"] == early[1].decode()

        still_bad = dlq("replay", rows["E_DECODE_JSON"]["origin"])
        assert still_bad.exit_code == 3
        assert [r["code"] for r in json.loads(still_bad.output)["refused"]] == ["E_DECODE_JSON"]

        until(
            lambda: time.time() * 1000 + 300_000 > soon["event_time"], timeout_s=10, what="its time has come"
        )
        dry = json.loads(dlq("replay", origin, "--dry-run").output)
        assert (dry["acceptable"], dry["replayed"]) == (1, 0)
        assert json.loads(dlq("replay", origin).output)["replayed"] == 1
        once_more = dlq("replay", origin)
        assert once_more.exit_code == 3
        assert [r["code"] for r in json.loads(once_more.output)["refused"]] == ["E_DLQ_REPLAYED"]
        until(lambda: gate.judged() >= 4, timeout_s=30, what="the replay is judged")
    ids = frames(kafka, run.topic_prefix + "events.customer", Kind.SCORED)["transaction_id"]
    assert sorted(ids.tolist()) == [b"t1", b"t2"]


@pytest.mark.timeout(60)
def test_strangers_and_copies_on_the_topic_do_no_harm(kafka: KafkaConnection, run: Run) -> None:
    producer = Producer(kafka.librdkafka())
    facts = {
        "code": "E_X",
        "reason": "r",
        "topic": "labels",
        "partition": "0",
        "offset": "7",
        "timestamp": "5",
    }
    ours = [(f"headrace.dlq.{name}", fact.encode()) for name, fact in facts.items()]
    name = run.topic_prefix + "labels.dlq"
    producer.produce(name, b"stranger", partition=0)
    producer.produce(name, b"bad", partition=0, headers=[("headrace.dlq.topic", b"\xff")])
    for _ in range(2):
        producer.produce(name, b"v", b"k", 0, headers=list(ours))
    assert producer.flush(10) == 0
    assert [row["origin"] for row in listed()] == ["labels/0/7"]


def test_an_origin_that_is_none_is_refused(run: Run) -> None:
    result = CliRunner().invoke(command, ["show", "transactions/x/1"])
    assert getattr(result.exception, "code", "") == "E_DLQ_ORIGIN"
    result = CliRunner().invoke(command, ["show", "transactions/0/999"])
    assert getattr(result.exception, "code", "") == "E_DLQ_NONE"
    assert CliRunner().invoke(command, ["replay"]).exit_code == 2
