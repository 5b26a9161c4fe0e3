"""The archive on real Kafka: every record once in the lake, whatever dies; dead letters with their origin."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson
import pytest
from confluent_kafka import Producer

from contracts import topics
from contracts.connections import KafkaConnection
from contracts.frame import Columns, Kind, position
from contracts.lanes import LaneWriter
from inference.offline.lake.lake import Lake
from inference.review.log import ReviewLog
from load.this_project import PIPELINE, PROJECT
from runtime.run import Run
from streams.gate.dead_letters import DeadLetters
from tests.unit.inference.support import feature_rows
from tests.waiting import until

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).resolve().parents[2]
QUICK = {"HEADRACE_ARCHIVE_FLUSH_INTERVAL_MS": "300", "HEADRACE_ARCHIVE_ROWS_A_FILE": "200"}


class Publisher:
    """Publishes raw payments and frames of the feature log."""

    def __init__(self, run: Run, kafka: KafkaConnection) -> None:
        self._prefix = run.topic_prefix
        self._producer = Producer(kafka.librdkafka() | {"enable.idempotence": True})
        self._sent = 0

    def payments(self, count: int) -> None:
        """Send `count` raw payments over all partitions."""
        for number in range(self._sent, self._sent + count):
            event = {"transaction_id": f"t{number}", "customer_id": "c1", "event_time": number}
            self._send(PIPELINE.scored.records, number % 4, orjson.dumps(event))
        self._sent += count
        self._producer.flush(20)

    def frames(self, writer: LaneWriter, rows: Columns, partition: int) -> None:
        """Send rows on one lane of the feature log."""
        targets = np.full(len(rows["pos"]), partition, np.int32)
        for target, record in writer.emit(Kind.SCORED, rows, targets, int(rows["pos"][-1]) + 1):
            self._send(topics.FEATURES_LOG, target, record)
        self._producer.flush(20)

    def refused(self, value: bytes, headers: dict[str, bytes]) -> None:
        """Send a dead letter."""
        self._send(PIPELINE.scored.dead_letters, 0, value, headers)
        self._producer.flush(20)

    def _send(
        self, topic: topics.Topic, partition: int, value: bytes, headers: dict[str, bytes] | None = None
    ) -> None:
        name = topic.full_name(self._prefix)
        self._producer.produce(name, value, partition=partition, headers=list((headers or {}).items()))
        self._producer.poll(0)


@contextmanager
def archiving(run: Run, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run an archive; at the end ask it to stop and see it do so within five seconds."""
    with (run.logs / "archive.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, **QUICK}, stdout=log, stderr=log)
    try:
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(5.0) == 0, (run.logs / "archive.log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(5.0)


def real(run: Run) -> list[str]:
    return [sys.executable, "-m", "headrace", "archive"]


def rows_of(run: Run, dataset: str) -> int:
    lake = Lake(run.lake, PROJECT)
    return lake.read(dataset, ["offset"]).num_rows if lake.has(dataset) else 0


def test_a_stop_leaves_everything_that_was_published_in_the_lake(run: Run, kafka: KafkaConnection) -> None:
    publisher = Publisher(run, kafka)
    publisher.payments(1000)
    publisher.refused(
        b"{", {"headrace.dlq.code": b"E_JSON", "headrace.dlq.reason": b"no end", "headrace.dlq.offset": b"17"}
    )
    with archiving(run, real(run)):
        until(lambda: rows_of(run, "transactions") > 0, timeout_s=30.0, what="a first file")
        publisher.payments(500)
    table = Lake(run.lake, PROJECT).read("transactions")
    assert sorted(table["transaction_id"].to_pylist()) == sorted(f"t{n}" for n in range(1500))
    letter = Lake(run.lake, PROJECT).read("transactions_dlq").to_pylist()
    assert [(row["code"], row["origin_offset"], row["value"]) for row in letter] == [("E_JSON", 17, b"{")]


def test_a_kill_between_the_files_and_the_commit_costs_and_doubles_nothing(
    run: Run, kafka: KafkaConnection
) -> None:
    publisher = Publisher(run, kafka)
    lane = LaneWriter("events.terminal/1", base=0)
    publisher.payments(400)
    publisher.frames(lane, feature_rows(400, partition=1), partition=1)
    dying = [sys.executable, "-m", "tests.integration.archive_that_dies"]
    with archiving(run, dying) as process:
        sent = itertools.count(400, 50)

        def died_after_more() -> bool:
            offset = next(sent)
            publisher.frames(lane, feature_rows(50, partition=1, first_offset=offset), partition=1)
            publisher.payments(50)
            return process.poll() is not None

        until(died_after_more, timeout_s=30.0, what="the archive has died", every_s=0.5)
    count = next(sent)
    assert process.returncode == -signal.SIGKILL
    written = {path.name for path in (run.lake / "transactions").rglob("*.parquet")}
    # A new incarnation of the stage repeats what its dead one had sent.
    again = LaneWriter("events.terminal/1", base=position(380))
    publisher.frames(again, feature_rows(count - 380, partition=1, first_offset=380), partition=1)
    with archiving(run, real(run)):
        until(lambda: rows_of(run, "features") >= count, timeout_s=30.0, what="all features")
    assert written <= {path.name for path in (run.lake / "transactions").rglob("*.parquet")}
    payments = Lake(run.lake, PROJECT).read("transactions")["transaction_id"].to_pylist()
    assert sorted(payments) == sorted(f"t{n}" for n in range(count))
    features = Lake(run.lake, PROJECT).read("features", ["transaction_id"])["transaction_id"].to_pylist()
    assert sorted(features) == sorted(f"t1-{n}" for n in range(count))
    assert list(run.lake.rglob("*.part")) == []


BOMBS: dict[str, str | int] = {
    "compression.type": "zstd", "message.max.bytes": 100_000_000, "batch.size": 100_000_000, "linger.ms": 300,
}  # fmt: skip


@pytest.mark.timeout(180)
def test_a_batch_that_cannot_be_unpacked_holds_nobody_up(run: Run, kafka: KafkaConnection) -> None:
    """Three kilobytes on topics that others write: archive, review queue and `dlq` go on behind them."""
    published = Publisher(run, kafka)
    published.payments(8)
    bombs = Producer(kafka.librdkafka() | BOMBS)
    for topic in (PIPELINE.scored.records, topics.VERDICTS, PIPELINE.scored.dead_letters):
        bombs.produce(topic.full_name(run.topic_prefix), b"\0" * 60_000_000, partition=0)
    assert bombs.flush(30) == 0
    published.payments(8)
    about = {"topic": b"transactions", "partition": b"0", "code": b"E_DECODE_JSON"}
    for offset in (b"--1", b"5"):
        facts = about | {"offset": offset}
        published.refused(b"{", {f"headrace.dlq.{name}": fact for name, fact in facts.items()})
    with archiving(run, real(run)):
        until(
            lambda: rows_of(run, "transactions") == 16,
            timeout_s=60,
            what="the payments are in the lake",
        )
        until(lambda: rows_of(run, "transactions_dlq") == 2, timeout_s=30, what="the letters are in the lake")
    lake = Lake(run.lake, PROJECT)
    for dataset, first in (("transactions_set_aside", 2), ("verdicts_set_aside", 0)):
        rows = lake.read(dataset).to_pylist()
        assert [(row["code"], row["offset"], row["value"]) for row in rows] == [("E_UNREADABLE", first, None)]
    assert ReviewLog(kafka, run.topic_prefix, PROJECT).cases() == {}
    letters = list(DeadLetters(kafka, run.topic_prefix, PIPELINE).letters(("transactions",)))
    assert [(letter.code, letter.origin.offset) for letter in letters] == [("E_DECODE_JSON", 5)]
