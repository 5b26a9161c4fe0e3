"""Sender and subscriber on real Kafka: everything sent is there once, and what comes out is counted."""

import time
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from contracts.connections import KafkaConnection
from contracts.topics import PREDICTIONS
from feature_repo.generator.payments import generate
from feature_repo.generator.plan import PaymentPlan
from headrace.traffic.form import forms_of
from headrace.traffic.observed import Observed
from headrace.traffic.result_reader import ResultReader
from headrace.traffic.sending import Pace, Sending
from load.peers.progress import TopicCount
from load.this_project import PIPELINE, PROJECT
from runtime.run import Run

pytestmark = pytest.mark.integration
FORMS = forms_of(PIPELINE)
PLAN = PaymentPlan(seed=5, events=3_000, customers=100, terminals=40, days=30.0)


def _count(kafka: KafkaConnection, topic: str, wanted: int) -> int:
    count = TopicCount(kafka, topic)
    try:
        count.wait(wanted, timeout_s=20.0)
        return count.take(0.5)
    finally:
        count.close()


def test_files_are_sent_once_with_the_labels_that_fell_due(
    kafka: KafkaConnection, run: Run, tmp_path: Path
) -> None:
    made = generate(PLAN)
    pq.write_table(made.transactions, tmp_path / "transactions.parquet")
    pq.write_table(made.labels, tmp_path / "labels.parquet")
    files = {FORMS[name]: tmp_path / f"{name}.parquet" for name in ("transactions", "labels")}
    counts = Sending(kafka, run.topic_prefix, files, Pace()).run()
    payments = made.transactions.num_rows
    due = sum(1 for ms in made.labels["label_time"].to_pylist() if ms <= made.deliver_ms[-1])
    assert (
        counts["transactions"]
        == payments
        == _count(kafka, PIPELINE.scored.records.full_name(run.topic_prefix), payments)
    )
    assert counts["labels"] == _count(
        kafka, PIPELINE.labels[0].records.full_name(run.topic_prefix), int(counts["labels"])
    )
    # the last moment of the file is its newest event time, a little before the last delivery
    assert 0.98 * due <= counts["labels"] <= due


def test_a_rate_is_kept(kafka: KafkaConnection, run: Run, tmp_path: Path) -> None:
    made = generate(PLAN)
    pq.write_table(made.transactions.slice(0, 400), tmp_path / "payments.parquet")
    files = {FORMS["transactions"]: tmp_path / "payments.parquet"}
    counts = Sending(kafka, run.topic_prefix, files, Pace(rate=200.0)).run()
    assert 1.9 < counts["seconds"] < 6.0


def test_a_subscriber_counts_committed_predictions_and_each_dead_letter_once(
    kafka: KafkaConnection, run: Run
) -> None:
    observed = Observed.of(["t1", "t2", "t3"], PROJECT)
    reader = ResultReader(PIPELINE, kafka, run.topic_prefix, observed)
    reader.start()
    _predict(kafka, run, ["t1", "t2"], commit=True)
    _predict(kafka, run, ["t3"], commit=False)
    _refuse(kafka, run, b'{"transaction_id":"t3"', times=2)
    deadline_s = time.monotonic() + 20.0
    while observed.outcomes.count.sum() < 2 or not observed.dead_letters:
        assert reader.failure is None
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    time.sleep(1.0)
    reader.stop()
    assert observed.outcomes.count.tolist() == [1, 1, 0]
    assert [letter.code for letter in observed.dead_letters.values()] == ["E_DECODE_JSON"]
    assert observed.missing_rows().tolist() == [2]  # the dead letter's bytes do not tell its id


def _predict(kafka: KafkaConnection, run: Run, ids: list[str], *, commit: bool) -> None:
    producer = Producer({**kafka.librdkafka(), "transactional.id": f"{run.name}-{commit}"})
    producer.init_transactions(20.0)
    producer.begin_transaction()
    for name in ids:
        value = {
            "event_id": name,
            "prediction_id": f"p-{name}",
            "decision": "approve",
            "decided_by": "default",
        }
        producer.produce(PREDICTIONS.full_name(run.topic_prefix), orjson.dumps(value), name)
    producer.flush(20.0)
    if commit:
        producer.commit_transaction(20.0)
    else:
        producer.abort_transaction(20.0)


def _refuse(kafka: KafkaConnection, run: Run, value: bytes, times: int) -> None:
    about = {"code": "E_DECODE_JSON", "topic": "transactions", "partition": "1", "offset": "7"}
    headers = [(f"headrace.dlq.{name}", text.encode()) for name, text in about.items()]
    producer = Producer(kafka.librdkafka())
    for _ in range(times):
        producer.produce(
            PIPELINE.scored.dead_letters.full_name(run.topic_prefix), value, b"c1", headers=headers
        )
    producer.flush(20.0)
