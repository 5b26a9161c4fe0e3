"""The policy on real Kafka and Redis: each rung of the ladder, a change while running, the review queue."""

import json
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer

from contracts.connections import KafkaConnection, RedisConnection
from contracts.events import Prediction, ReviewCase
from contracts.frame import Columns
from contracts.raw import RawBatch
from contracts.topics import REVIEWS, VERDICTS, Topic
from contracts.verdict import judge
from features.feast_row import RowWriterCodec
from headrace.__main__ import cli
from inference.policy.store import POLICY_FILE
from load.this_project import CUSTOMER_PROFILE, PIPELINE
from runtime.run import Run
from tests.integration.scorer_harness import LogWriter, Subscriber, scorer_process
from tests.real_servers import RealServers
from tests.unit.inference.support import feature_rows, policy, promote, trained_text, write_model
from tests.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
def subscriber(run: Run, kafka: KafkaConnection) -> Iterator[Subscriber]:
    reading = Subscriber(run, kafka)
    yield reading
    reading.close()


def _headrace(*words: str, code: int = 0) -> Any:
    answer = CliRunner().invoke(cli, [*words])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout) if "--json" in words else answer.output


def _values(run: Run, kafka: KafkaConnection, topic: Topic, count: int) -> list[bytes]:
    """Return what a topic holds: `count` committed records, and see that there is no more."""
    consumer = Consumer(
        kafka.librdkafka()
        | {
            "group.id": f"{run.topic_prefix}look",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic.full_name(run.topic_prefix)])
    found: list[bytes] = []
    try:
        while message := consumer.poll(20.0 if len(found) < count else 1.0):
            assert message.error() is None
            found.append(message.value() or b"")
    finally:
        consumer.close()
    assert len(found) == count
    return found


def _unknown(rows: Columns) -> Columns:
    """Return rows of which nothing is known but the event."""
    for name in ("customer_values", "terminal_values"):
        rows[name] = np.full_like(rows[name], np.nan)
    return rows


def _store_profiles(run: Run, servers: RealServers, rows: Columns, age_ms: int) -> None:
    view = CUSTOMER_PROFILE
    codec = RowWriterCodec(run.project, view.join_key, [(view.name, view.columns)])
    keys = np.unique(rows["customer_id"])
    count = len(keys)
    redis = RedisConnection.from_url(f"{servers.redis_url}/{run.redis_db}")
    values = np.full((count, len(view.columns)), 3.0)
    time_ms = np.full(count, int(rows["event_time"].max()) - age_ms)
    data = codec.encode(keys, values, time_ms, np.arange(count), run.epoch)
    with socket.create_connection((redis.host, redis.port), 5) as line:
        line.sendall(b"SELECT %d\r\n" % redis.db + codec.load() + data)
        answer = b""
        while answer.count(b"\r\n") < 4:
            answer += line.recv(4096)


def test_each_rung_is_reached_on_real_servers(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber, servers: RealServers
) -> None:
    told: dict[str, list[Prediction]] = {}
    writer = LogWriter(run, kafka, partitions=1)

    def send(rows: int = 20, **how: Any) -> list[Prediction]:
        seen = len(subscriber.seen)
        writer.send(rows, **how)
        return subscriber.until(seen + rows, quiet_s=0.1)[seen:]

    with scorer_process(run):
        told["no model"] = send()
        (run.models / POLICY_FILE).write_bytes(policy(version="few", rules=_without_amount()).data)
        until(lambda: send(1)[0].policy.version == "few", timeout_s=30, what="the policy")  # type: ignore[union-attr]
        told["nothing known"] = send(change=_unknown)
        (run.models / POLICY_FILE).unlink()
    promote(run.models, "1", write_model(run.models, "1", trained_text()))
    with scorer_process(run):
        told["all there"] = send()
        servers.stop_redis()
        try:
            told["store away"] = send()
        finally:
            servers.start_redis()
        until(lambda: not send(1)[0].degraded, timeout_s=30, what="the store is back")
        _store_profiles(run, servers, _next_rows(writer), age_ms=CUSTOMER_PROFILE.max_age_ms + 86_400_000)
        told["old profile"] = send()
    with scorer_process(run, program="-m tests.integration.scorer_whose_model_fails"):
        told["model fails"] = send()
    assert {name: {one.rung for one in some} for name, some in told.items()} == {
        "no model": {"rules"}, "nothing known": {"not_assessed"}, "all there": {"full"},
        "store away": {"own_row"}, "old profile": {"last_known"}, "model fails": {"rules"},
    }  # fmt: skip
    assert {why for one in told["model fails"] for why in one.degraded_why} >= {"score_failed"}
    assert {one.decided_by for one in told["nothing known"]} == {"fallback"}


def _without_amount() -> dict[str, Any]:
    rules: dict[str, Any] = msgspec.to_builtins(policy().policy.rules)
    rules["amount_limit"]["enabled"] = False
    return rules


def _next_rows(writer: LogWriter) -> Columns:
    """Return the rows that the writer sends next."""
    at = writer._reached[0]
    return feature_rows(20, seed=at, partition=0, first_offset=at)


def test_a_policy_is_taken_up_while_running_a_bad_one_refused_and_both_are_told(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber, tmp_path: Path
) -> None:
    writer = LogWriter(run, kafka)
    two, bad = policy(version="2", fallback="decline"), tmp_path / "bad.yaml"
    file = tmp_path / "two.yaml"
    file.write_bytes(two.data)
    bad.write_bytes(two.data.replace(b"fallback: decline", b"fallback: perhaps"))
    with scorer_process(run):
        writer.send(5)
        first = {one.policy.version for one in subscriber.until(10)}  # type: ignore[union-attr]
        _headrace("policy", "activate", str(file))
        _send_until(writer, subscriber, two.sha256)
        assert "E_POLICY_DECISION" in _headrace("policy", "activate", str(bad), code=2)
        shutil.copy(bad, run.models / POLICY_FILE)
        log = run.logs / "scorer.log"
        until(lambda: "policy_refused" in log.read_text(), timeout_s=30, what="the refusal is told")
        writer.send(5)
        last = subscriber.until(len(subscriber.seen) + 10)[-10:]
    assert first == {"1"}
    assert {one.policy.sha256 for one in last} == {two.sha256}  # type: ignore[union-attr]
    with scorer_process(run):  # under the bad file: the last live policy goes on
        writer.send(5)
        again = subscriber.until(len(subscriber.seen) + 10)[-10:]
    assert {one.policy.sha256 for one in again} == {two.sha256}  # type: ignore[union-attr]


def _send_until(writer: LogWriter, subscriber: Subscriber, sha256: str) -> None:
    def taken_up() -> bool:
        writer.send(1)
        used = subscriber.until(len(subscriber.seen) + 2, quiet_s=0.1)[-1].policy
        return used.sha256 == sha256  # type: ignore[union-attr]

    until(taken_up, timeout_s=30, what="the policy is taken up")


def _hit(rows: Columns) -> Columns:
    """Return rows every third of which a rule asks to review."""
    rows["amount_minor"] = np.where(np.arange(len(rows["amount_minor"])) % 3 == 0, 2_000_000, 50)
    rows["customer_values"] = np.ones_like(rows["customer_values"])
    rows["terminal_values"] = np.zeros_like(rows["terminal_values"])
    return rows


def test_reviews_are_one_a_review_and_verdicts_become_labels_whatever_dies(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber
) -> None:
    sample = {"uncertain": {"a_day": 0, "margin": 0.0}, "random": {"a_day": 6, "share": 0.5}}
    (run.models / POLICY_FILE).write_bytes(policy(sample=sample).data)
    writer = LogWriter(run, kafka)
    for sent in range(2):
        with scorer_process(run) as process:
            writer.send(150, change=_hit)
            subscriber.until(100 + sent * 300, quiet_s=0.0)
            process.kill()
            process.wait(10)
    with scorer_process(run):
        predictions = subscriber.until(600)
    asked = {one.prediction_id for one in predictions if one.decision == "review"}
    days = {(one.source.partition, one.event_time // 86_400_000) for one in predictions}
    drawn = sum(2 if partition < 2 else 1 for partition, _ in days)  # six a day over four partitions
    cases = [
        msgspec.json.decode(value, type=ReviewCase)
        for value in _values(run, kafka, REVIEWS, len(asked) + drawn)
    ]
    assert {case.case_id for case in cases if case.why == "decision"} == asked
    assert len({case.case_id for case in cases}) == len(cases)
    assert len(asked) == 200

    listed = _headrace("review", "list", "--limit", "1000", "--json")
    assert {row["case_id"] for row in listed["cases"]} == {case.case_id for case in cases}
    one, other = (row["case_id"] for row in listed["cases"][:2])
    given = _headrace("review", "decide", one, "confirmed", "--who", "ana", "--why", "stolen", "--json")
    again = _headrace("review", "decide", one, "confirmed", "--who", "ana", "--why", "stolen", "--json")
    assert (given["new"], again["new"], again["state"]) == (True, False, "decided")
    _headrace("review", "decide", other, "false_positive", "--who", "ana", "--why", "called")
    differs = _headrace("review", "decide", one, "valuable_alert", "--who", "bob", "--why", "hers", "--json")
    assert (differs["state"], len(differs["verdicts"])) == ("disputed", 2)
    assert _headrace("review", "show", one, "--json")["state"] == "disputed"
    assert "E_REVIEW_UNKNOWN" in _headrace(
        "review", "decide", "nobody", "false_positive", "--who", "ana", "--why", "x", code=5
    )
    open_now = _headrace("review", "list", "--json")
    assert open_now["of"] == len(cases) - 2
    found = _headrace("review", "stats", "--json")
    assert (found["cases"], found["disputed"], found["decided"]) == (len(cases), 1, 1)
    assert found["agreement"] == {"cases_of_several": 1, "agreed_ratio": 0.0}

    assert len(_values(run, kafka, VERDICTS, 3)) == 3
    labels = [json.loads(value) for value in _values(run, kafka, PIPELINE.labels[0].records, 3)]
    assert Counter((label["label"], label["source"]) for label in labels) == {
        ("fraud", "analyst"): 1, ("legitimate", "analyst"): 2
    }  # fmt: skip
    assert all(_accepted(label) for label in labels)


def _accepted(label: dict[str, Any]) -> bool:
    """Return what the gate says of it."""
    record = (
        0,
        0,
        label["label_time"] + 1000,
        label["transaction_id"].encode(),
        json.dumps(label).encode(),
        None,
    )
    return not judge(PIPELINE.labels[0], RawBatch.of([record])).bad
