"""The scorer on real Kafka and Redis: exactly one committed prediction a payment, whatever dies meanwhile."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from confluent_kafka import Consumer

from contracts.connections import KafkaConnection, RedisConnection
from contracts.events import Drift
from contracts.topics import DRIFT, PREDICTIONS
from features.feast_row import RowWriterCodec
from features.vector import vectors_of
from inference.reading.online_reader import RedisFeatureReader
from inference.reading.settings import ReaderSettings
from load.this_project import CUSTOMER_PROFILE, PROJECT, TERMINAL
from runtime.run import Run
from tests.integration.scorer_harness import CHECKOUT, LogWriter, Subscriber, scorer_process
from tests.real_servers import RealServers
from tests.unit.inference.support import promote, trained_text, write_model

pytestmark = pytest.mark.integration


@pytest.fixture
def subscriber(run: Run, kafka: KafkaConnection) -> Iterator[Subscriber]:
    reading = Subscriber(run, kafka)
    yield reading
    reading.close()


def _each_once(subscriber: Subscriber) -> None:
    ids = Counter(prediction.prediction_id for prediction in subscriber.seen)
    assert [name for name, count in ids.items() if count > 1] == []


def test_each_row_gets_one_prediction_whatever_else_is_in_the_log(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber
) -> None:
    writer = LogWriter(run, kafka)
    writer.send(120, copies=2)
    writer.send_bytes(b"not a frame")
    last = writer.send(30)
    with scorer_process(run):
        predictions = subscriber.until(300)
        writer.send(10)
        predictions = subscriber.until(320)
    _each_once(subscriber)
    assert len(predictions) == 320
    by_id = {prediction.prediction_id: prediction for prediction in predictions}
    profile = np.full((30, len(CUSTOMER_PROFILE.columns)), np.nan)
    vectors = vectors_of(PROJECT).assemble(last, (last["customer_values"], last["terminal_values"]), profile)
    for row, offset in enumerate(last["raw_offset"].tolist()):
        prediction = by_id[f"{run.epoch}-1-{offset}"]
        assert prediction.event_id == f"t1-{offset}"
        values = [np.nan if value is None else value for value in prediction.features.values]
        assert np.array_equal(values, vectors[row], equal_nan=True)
        assert prediction.risk_band == "not_assessed"


def test_a_scorer_killed_before_its_commit_leaves_no_trace(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber
) -> None:
    writer = LogWriter(run, kafka)
    writer.send(500)
    with scorer_process(run, program="-m tests.integration.scorer_that_dies") as dying:
        assert dying.wait(60) == -signal.SIGKILL
    with scorer_process(run):
        subscriber.until(1000)
    _each_once(subscriber)
    assert len(subscriber.seen) == 1000


def test_a_scorer_killed_again_and_again_loses_and_doubles_nothing(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber
) -> None:
    writer = LogWriter(run, kafka)
    for sent in range(3):
        with scorer_process(run) as process:
            writer.send(400)
            subscriber.until(200 + sent * 800, quiet_s=0.0)
            process.kill()
            process.wait(10)
    with scorer_process(run):
        subscriber.until(2400)
    _each_once(subscriber)
    assert len(subscriber.seen) == 2400


def test_scoring_goes_on_without_redis_and_says_so(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber, servers: RealServers
) -> None:
    writer = LogWriter(run, kafka)
    with scorer_process(run):
        writer.send(50)
        subscriber.until(100)
        servers.stop_redis()
        try:
            writer.send(50)
            without = subscriber.until(200)[100:]
        finally:
            servers.start_redis()
        subscriber.until(200, quiet_s=0.5)
        writer.send(50)
        after = subscriber.until(300)[200:]
    assert {tuple(prediction.degraded_why) for prediction in without} == {("store_unavailable",)}
    assert {prediction.features.groups["customer"].status for prediction in without} == {"exact"}
    assert not any(prediction.degraded for prediction in after)
    _each_once(subscriber)


def test_a_stored_row_of_the_events_own_position_is_used(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber, servers: RealServers
) -> None:
    writer = LogWriter(run, kafka, partitions=1)
    rows = writer.send(40)
    _store(run, servers, rows, slice(0, 20))
    with scorer_process(run):
        predictions = subscriber.until(40)
    terminal_of = rows["terminal_id"].tolist()
    newest = {key: at for at, key in enumerate(terminal_of[:20])}
    for at, prediction in enumerate(sorted(predictions, key=lambda p: p.source.offset)):
        stored = newest.get(terminal_of[at]) == at
        assert prediction.features.groups["terminal"].status == ("store" if stored else "exact")


def test_the_model_is_swapped_while_running_and_a_bad_one_refused(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber
) -> None:
    first, second = trained_text(seed=1), trained_text(seed=2)
    promote(run.models, "1", write_model(run.models, "1", first))
    sha256_2 = write_model(run.models, "2", second)
    sha256_3 = write_model(run.models, "3", second[: len(second) // 2], golden_text=second)
    writer = LogWriter(run, kafka)
    with scorer_process(run):
        writer.send(20)
        assert {_version(p) for p in subscriber.until(40)} == {"1"}
        promote(run.models, "2", sha256_2)
        _send_until_version(writer, subscriber, "2")
        promote(run.models, "3", sha256_3)
        _await_log(run.logs / "scorer.log", "E_MODEL_STRUCTURE")
        writer.send(5)
        assert _version(subscriber.until(len(subscriber.seen) + 10)[-1]) == "2"
    _each_once(subscriber)
    score = [prediction.score for prediction in subscriber.seen]
    assert all(isinstance(value, float) and 0 <= value <= 1 for value in score)


def test_the_subscriber_of_the_docs_reads_predictions(run: Run, kafka: KafkaConnection) -> None:
    LogWriter(run, kafka).send(3)
    program = CHECKOUT / "docs" / "examples" / "subscriber.py"
    topic = PREDICTIONS.full_name(run.topic_prefix)
    with scorer_process(run), subprocess.Popen(
        [sys.executable, str(program), kafka.bootstrap_servers, topic], stdout=subprocess.PIPE, text=True
    ) as reader:  # fmt: skip
        assert reader.stdout is not None
        lines = [reader.stdout.readline() for _ in range(6)]
        reader.terminate()
    assert sorted(line.split()[0] for line in lines) == sorted(f"t{p}-{n}" for p in (0, 1) for n in range(3))


def test_a_take_over_is_told_on_the_drift_topic(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber
) -> None:
    LogWriter(run, kafka).send(5)
    with scorer_process(run):
        subscriber.until(10)
    consumer = Consumer(kafka.librdkafka() | {"group.id": "drift-look", "auto.offset.reset": "earliest"})
    consumer.subscribe([DRIFT.full_name(run.topic_prefix)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert b'"kind":"restart"' in (message.value() or b"")


def test_a_change_of_the_amounts_is_told_on_the_drift_topic(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour_ms = 3_600_000
    small = {
        "SAMPLE_EVERY": 1, "CHUNK_ROWS": 32, "FIRST_ROWS": 320, "ROWS_MIN": 200, "LOOK_ROWS": 64,
        "FIRST_MS": hour_ms, "WINDOW_MS": 2 * hour_ms, "PANE_MS": hour_ms // 2,
    }  # fmt: skip
    promote(run.models, "1", write_model(run.models, "1", trained_text(seed=1)))
    for name, value in small.items():
        monkeypatch.setenv(f"HEADRACE_DRIFT_{name}", str(value))
    writer = LogWriter(run, kafka, partitions=1)
    calm = writer.send(640)
    with scorer_process(run):
        subscriber.until(640, quiet_s=0.0)
        changed = writer.send(640, amount_factor=20)
        subscriber.until(1280)
    events = _drift(run, kafka)
    first = next(at for at, event in enumerate(events) if event.kind == "alert")
    assert [event.kind for event in events[:first] if event.kind != "restart"] == ["incident"]
    assert events[first].incident == events[first - 1].incident
    begin_ms = int(changed["event_time"][0])
    found = {event.detector: event for event in events[first:] if event.feature == "amount_minor"}
    assert {"psi", "adwin"} <= set(found)
    for alert in found.values():
        assert (alert.what, alert.kind) == ("input", "alert")
        assert begin_ms < alert.at <= int(changed["event_time"][-1])  # type: ignore[operator]
        assert calm["event_time"][320] < alert.since <= alert.at  # type: ignore[operator]


def _drift(run: Run, kafka: KafkaConnection) -> list[Drift]:
    """Return what was committed to the topic, checked against the contract."""
    consumer = Consumer(kafka.librdkafka() | {"group.id": "drift-read", "auto.offset.reset": "earliest"})
    consumer.subscribe([DRIFT.full_name(run.topic_prefix)])
    events: list[Drift] = []
    while (message := consumer.poll(20 if not events else 2)) is not None:
        assert message.error() is None, message.error()
        events.append(msgspec.json.decode(message.value() or b"", type=Drift))
    consumer.close()
    return events


def _version(prediction: object) -> str:
    return str(prediction.model.version)  # type: ignore[attr-defined]


def _send_until_version(writer: LogWriter, subscriber: Subscriber, version: str) -> None:
    for _ in range(60):
        writer.send(2)
        if _version(subscriber.until(len(subscriber.seen) + 4, quiet_s=0.1)[-1]) == version:
            return
    raise AssertionError(f"version {version} never scored")


def _await_log(path: Path, text: str) -> None:
    from tests.waiting import until

    until(lambda: text in path.read_text(), timeout_s=40, what=f"{text} in the log")


def _store(run: Run, servers: RealServers, rows: dict[str, np.ndarray], which: slice) -> None:
    """Write terminal rows as the terminal stage does."""
    import socket

    codec = RowWriterCodec(run.project, TERMINAL.join_key, [(v.name, v.columns) for v in TERMINAL.views])
    redis = RedisConnection.from_url(f"{servers.redis_url}/{run.redis_db}")
    data = codec.encode(
        rows["terminal_id"][which], rows["terminal_values"][which], rows["event_time"][which],
        rows["terminal_pos"][which], run.epoch,
    )  # fmt: skip
    with socket.create_connection((redis.host, redis.port), 5) as line:
        line.sendall(b"SELECT %d\r\n" % redis.db + codec.load() + data)
        answer = b""
        while answer.count(b"\r\n") < 4:
            answer += line.recv(4096)
    assert answer.split(b"\r\n")[-2] == b":20", answer
    reader = RedisFeatureReader(PROJECT, redis, run.project, ReaderSettings())
    _, stored = reader.read(rows["customer_id"][:0], rows["terminal_id"][:1])
    reader.close()
    assert stored.present.all()
