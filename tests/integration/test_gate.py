"""The gate on real Kafka: good records pass, bad ones land in the dead letters unchanged, nothing stops."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from prometheus_client import CollectorRegistry

from contracts.connections import KafkaConnection
from contracts.frame import Columns, Kind, concat, decode, length
from contracts.keys import partition_of
from contracts.lanes import Lanes, accept
from load.this_project import PIPELINE
from runtime.run import Run
from streams.gate.metrics import GateMetrics
from streams.gate.settings import GateSettings
from streams.gate.worker import GateWorker
from tests.corpus.records import Case, cases
from tests.integration.foreign_producer import send_with_header
from tests.waiting import until

Sent = list[tuple[bytes | None, bytes | None]]


class Gate(NamedTuple):
    """A gate worker in a thread of the test."""

    metrics: GateMetrics
    failures: list[BaseException]

    def judged(self) -> float:
        """Return how many records are done with: refused, or sent on and no longer held.

        What ended the worker fails the test.
        """
        assert not self.failures
        done = [one for metric in (self.metrics.aligned, self.metrics.refused) for one in metric.collect()]
        return sum(sample.value for one in done for sample in one.samples if sample.name.endswith("_total"))


@contextmanager
def running_gate(kafka: KafkaConnection, run: Run) -> Iterator[Gate]:
    """Run a gate until the block ends; a failure in its thread fails the test."""
    stopping = threading.Event()
    metrics = GateMetrics(CollectorRegistry())
    settings = GateSettings(kafka=kafka, topic_prefix=run.topic_prefix, session_timeout_ms=6000)
    worker = GateWorker(PIPELINE, settings, metrics)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            worker.run(stopping.is_set)
        except BaseException as failure:  # noqa: BLE001  # handed to the test below
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield Gate(metrics, failures)
    finally:
        stopping.set()
        thread.join(15)
    assert not thread.is_alive()
    assert not failures


def payment(number: int, customer: str) -> tuple[bytes, bytes]:
    """Return a good payment's key and value."""
    document = {
        "transaction_id": f"t{number}", "event_time": 1_700_000_000_000 + number, "customer_id": customer,
        "terminal_id": f"m{number % 97}", "amount_minor": number, "currency": "EUR", "channel": "pos",
    }  # fmt: skip
    return customer.encode(), json.dumps(document).encode()


def send(
    kafka: KafkaConnection, topic: str, records: list[Case | tuple[bytes, bytes]], **extra: object
) -> None:
    """Publish records as any producer does and wait until they are in the log."""
    producer = Producer(
        kafka.librdkafka()
        | {"partitioner": "murmur2_random", "message.max.bytes": 2_000_000, "linger.ms": 20}
        | extra
    )
    for record in records:
        key, value = (record.key, record.value) if isinstance(record, Case) else record
        headers = record.headers if isinstance(record, Case) else None
        producer.produce(topic, value, key, headers=headers)  # type: ignore[arg-type]
        producer.poll(0)
    assert producer.flush(30) == 0


def read_all(kafka: KafkaConnection, topic: str) -> list[Message]:
    """Return every record of a topic."""
    consumer = Consumer(kafka.librdkafka() | {"group.id": "test", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in partitions}
    consumer.assign([TopicPartition(topic, p, 0) for p, end in ends.items() if end])
    messages: list[Message] = []
    deadline = time.monotonic() + 20
    while len(messages) < sum(ends.values()) and time.monotonic() < deadline:
        messages += consumer.consume(10_000, 0.2)
    consumer.close()
    return messages


def frames(kafka: KafkaConnection, topic: str, kind: int) -> Columns:
    """Return the rows that a reader of an inter-stage topic accepts, with the partition they came in."""
    lanes: dict[int, Lanes] = {}
    parts = []
    gaps: list[object] = []
    for message in read_all(kafka, topic):
        frame = decode(message.value() or b"")
        if frame.kind == kind:
            rows = accept(frame, lanes.setdefault(message.partition() or 0, {}), gaps.append)
            parts.append(rows | {"read_from": np.full(length(rows), message.partition(), np.int32)})
    assert not gaps
    return concat(parts) if parts else {}


def letters(kafka: KafkaConnection, topic: str) -> dict[tuple[str, str], tuple[str, Message]]:
    """Return dead letters by origin, each with its code."""
    found = {}
    for message in read_all(kafka, topic):
        headers: list[tuple[str, bytes]] = message.headers() or []  # type: ignore[assignment]
        facts = {name: value.decode() for name, value in headers if name.startswith("headrace.dlq.")}
        origin = facts["headrace.dlq.partition"], facts["headrace.dlq.offset"]
        found[origin] = (facts["headrace.dlq.code"], message)
    return found


@pytest.mark.timeout(120)
def test_good_pass_and_bad_land_in_the_dead_letters(kafka: KafkaConnection, run: Run) -> None:
    """Five in a hundred are hostile; every codec; headers that no client can read."""
    topic = run.topic_prefix + "transactions"
    hostile = [
        case for case in cases()
        if case.topic == "transactions" and case.code and case.code != "E_HEADER_NAME"
        and case.timestamp_ms > 0 and case.code != "E_TIME_FUTURE"
    ]  # fmt: skip
    good = [payment(number, f"c{number % 301}") for number in range(20 * len(hostile))]
    for number, codec in enumerate(("lz4", "snappy", "zstd", "gzip", "none")):
        mixed: list[Case | tuple[bytes, bytes]] = []
        for index in range(number, len(hostile), 5):
            mixed += [*good[20 * index : 20 * index + 20], hostile[index]]
        send(kafka, topic, mixed, **{"compression.type": codec})
    send_with_header(kafka.bootstrap_servers, topic, 2, payment(0, "c0"), b"\xff\xfename")
    expected = len(good) + len(hostile) + 1
    with running_gate(kafka, run) as gate:
        until(lambda: gate.judged() >= expected, timeout_s=60, what="all is judged")
    rows = frames(kafka, run.topic_prefix + "events.customer", Kind.SCORED)
    assert sorted(rows["transaction_id"].tolist()) == sorted(f"t{n}".encode() for n in range(len(good)))
    assert (rows["read_from"] == partition_of(rows["customer_id"], 4)).all()
    found = letters(kafka, topic + ".dlq")
    assert len(found) == len(hostile) + 1
    seen = sorted((code, m.key() or b"", m.value() or b"", m.value() is None) for code, m in found.values())
    sent = [(case.code, case.key or b"", case.value or b"", case.value is None) for case in hostile]
    assert seen == sorted([*sent, ("E_HEADER_NAME", *payment(0, "c0"), False)])


@pytest.mark.timeout(120)
def test_a_bomb_does_not_stop_its_partition(kafka: KafkaConnection, run: Run) -> None:
    topic = run.topic_prefix + "transactions"
    before, behind = payment(1, "c1"), payment(2, "c1")
    partition = int(partition_of(np.array([b"c1"]), 4)[0])
    bombs = {
        "compression.type": "zstd",
        "message.max.bytes": 100_000_000,
        "batch.size": 100_000_000,
        "linger.ms": 300,
    }
    send(kafka, topic, [before])
    producer = Producer(kafka.librdkafka() | bombs)
    for _ in range(3):
        producer.produce(topic, b"\0" * 30_000_000, b"c1", partition)
    assert producer.flush(30) == 0
    send(kafka, topic, [behind])
    with running_gate(kafka, run) as gate:
        until(lambda: gate.judged() >= 2, timeout_s=30, what="the record behind is judged")
    covered: list[int] = []
    for (_, first), (code, message) in letters(kafka, topic + ".dlq").items():
        assert code == "E_UNREADABLE"
        facts = dict(message.headers() or [])
        covered += range(int(first), int(facts["headrace.dlq.offset_last"] or 0) + 1)
    assert sorted(covered) == [1, 2, 3]  # in as many letters as the producer made batches
    ids = frames(kafka, run.topic_prefix + "events.customer", Kind.SCORED)["transaction_id"]
    assert ids.tolist() == [b"t1", b"t2"]


@pytest.mark.timeout(120)
def test_labels_go_to_the_first_stage_by_their_customer(kafka: KafkaConnection, run: Run) -> None:
    topic = run.topic_prefix + "labels"
    good: list[Case | tuple[bytes, bytes]] = []
    for number in range(200):
        label = {
            "transaction_id": f"t{number}", "customer_id": f"c{number % 7}", "terminal_id": "m1",
            "label": "fraud", "event_time": 1_700_000_000_000,
            "label_time": 1_700_000_100_000, "source": "analyst",
        }  # fmt: skip
        good.append((f"t{number}".encode(), json.dumps(label).encode()))
    bad = [case for case in cases() if case.topic == "labels" and case.code and case.code != "E_TIME_FUTURE"]
    send(kafka, topic, [*good, *bad])
    with running_gate(kafka, run) as gate:
        until(lambda: gate.judged() >= len(good) + len(bad), timeout_s=30, what="all is judged")
    rows = frames(kafka, run.topic_prefix + "events.customer", Kind.LABEL)
    assert len(set(rows["transaction_id"].tolist())) == len(good) == length(rows)
    assert (rows["read_from"] == partition_of(rows["customer_id"], 4)).all()
    codes = sorted(code for code, _ in letters(kafka, topic + ".dlq").values())
    assert codes == sorted(case.code for case in bad)


@pytest.mark.timeout(120)
def test_two_gates_that_come_and_go_lose_nothing(kafka: KafkaConnection, run: Run) -> None:
    """Rebalances and restarts repeat records; a reader's one rule makes them one."""
    topic = run.topic_prefix + "transactions"
    good = [payment(number, f"c{number % 301}") for number in range(6000)]
    with running_gate(kafka, run) as first:
        send(kafka, topic, [*good[:2000]])
        with running_gate(kafka, run) as second:
            send(kafka, topic, [*good[2000:4000]])
            until(
                lambda: first.judged() + second.judged() >= 4000,
                timeout_s=40, what="two gates judged all",
            )  # fmt: skip
        send(kafka, topic, [*good[4000:]])
    with running_gate(kafka, run) as third:
        until(
            lambda: sum(gate.judged() for gate in (first, second, third)) >= 6000,
            timeout_s=40, what="the third gate judged the rest",
        )  # fmt: skip
    rows = frames(kafka, run.topic_prefix + "events.customer", Kind.SCORED)
    assert sorted(rows["transaction_id"].tolist()) == sorted(f"t{n}".encode() for n in range(len(good)))
    assert length(rows) == len(good)
