"""The learner on real Kafka: every moment reported once, whatever dies, and equal to the offline figures."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from confluent_kafka import Consumer, Producer

from contracts.connections import KafkaConnection
from contracts.events import Quality
from contracts.frame import Columns, Kind, length, take
from contracts.lanes import LaneWriter
from contracts.topics import FEATURES_LOG, PREDICTIONS, QUALITY
from runtime.run import Run
from tests.unit.inference.learning.offline import matured
from tests.unit.inference.learning.support import (
    DAY_MS,
    START_MS,
    Label,
    Payment,
    label_rows,
    payment_rows,
    record,
)
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
CHECKOUT = Path(__file__).resolve().parents[2]
PARTITIONS = 2
DAYS = 24


class Log:
    """Plays gate, terminal stage and scorer: payments with their predictions, then labels, day by day."""

    def __init__(self, run: Run, kafka: KafkaConnection) -> None:
        self._prefix = run.topic_prefix
        self._producer = Producer(kafka.librdkafka() | {"enable.idempotence": True, "linger.ms": 1})
        self._lanes = [LaneWriter(f"events.terminal/{n}", base=0) for n in range(PARTITIONS)]
        self._positions = [0] * PARTITIONS
        self.payments: list[Payment] = []
        self.labels: list[Label] = []
        chance = random.Random(4)
        for at in range(DAYS * 60):
            score = round(chance.random() ** 2, 3)
            decision = "approve" if score < 0.5 else "review" if score < 0.9 else "decline"
            event_ms = START_MS + at * DAY_MS // 60
            payment = Payment(
                id=f"t{at}", event_ms=event_ms, offset=at // 2, partition=at % 2, score=score,
                decision=decision, amount_minor=chance.randrange(1, 50_000),
            )  # fmt: skip
            self.payments.append(payment)
            fraud = int(chance.random() < score)
            known_ms = event_ms + chance.randrange(1, 6 * DAY_MS)
            self.labels.append(
                Label(id=payment.id, label_ms=known_ms, fraud=fraud, event_ms=event_ms, pos=2 * at)
            )
            if at % 9 == 0:
                corrected = Label(
                    id=payment.id, label_ms=known_ms + DAY_MS, fraud=1 - fraud, event_ms=event_ms,
                    pos=2 * at + 1,
                )  # fmt: skip
                self.labels.append(corrected)
            if at % 200 == 0:
                self.labels.append(Label(id=f"ghost{at}", label_ms=known_ms, fraud=1, event_ms=event_ms))

    def send(self, from_ms: int, to_ms: int) -> None:
        """Send what happened in (from_ms, to_ms]: payments to both partitions, labels to the first."""
        paid = [p for p in self.payments if from_ms < p.event_ms <= to_ms]
        for number in range(PARTITIONS):
            mine = [p for p in paid if p.partition == number]
            self._frame(payment_rows(mine), Kind.SCORED, number)
            for payment in mine:
                self._produce(PREDICTIONS.full_name(self._prefix), record(payment), number)
        self._frame(label_rows([e for e in self.labels if from_ms < e.label_ms <= to_ms]), Kind.LABEL, 0)
        assert self._producer.flush(20) == 0

    def _frame(self, rows: Columns, kind: Kind, number: int) -> None:
        count = length(rows)
        rows["pos"] = self._positions[number] + np.arange(count)
        self._positions[number] += count
        for begin in range(0, count, 40):
            part = take(rows, slice(begin, begin + 40))
            targets = np.full(length(part), number, np.int32)
            for target, data in self._lanes[number].emit(kind, part, targets, int(part["pos"][-1]) + 1):
                for _ in range(2):  # a stage that was killed sends again
                    self._produce(FEATURES_LOG.full_name(self._prefix), data, target)

    def _produce(self, topic: str, value: bytes, partition: int) -> None:
        self._producer.produce(topic, value, partition=partition)


def learn(run: Run, *arguments: str, crash_at: str = "") -> "subprocess.Popen[bytes]":
    """Start the worker; its log is `learn.log`."""
    environment = os.environ | {"HEADRACE_CRASH_AT": crash_at, "HEADRACE_LEARNER_POLL_MS": "100"}
    environment |= {"HEADRACE_LEARNER_WAIT_DAYS": "2", "HEADRACE_LEARNER_SNAPSHOT_REPORTS": "4"}
    with (run.logs / "learn.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "headrace", "learn", *arguments], cwd=CHECKOUT, env=environment,
            stderr=output,
        )  # fmt: skip


def told(run: Run, kafka: KafkaConnection) -> list[Quality]:
    """Return every committed record of `quality`."""
    reader = Consumer(
        kafka.librdkafka()
        | {
            "group.id": f"{run.topic_prefix}eyes", "auto.offset.reset": "earliest",
            "isolation.level": "read_committed", "enable.auto.commit": False, "enable.partition.eof": True,
        }
    )  # fmt: skip
    reader.subscribe([QUALITY.full_name(run.topic_prefix)])
    found: list[Quality] = []
    while True:
        message = reader.poll(10.0)
        assert message is not None
        if message.error() is not None:
            reader.close()
            return found
        found.append(msgspec.json.decode(message.value() or b"", type=Quality))


def test_killed_anywhere_it_reports_each_moment_once_and_right(run: Run, kafka: KafkaConnection) -> None:
    log = Log(run, kafka)
    half_ms, end_ms = START_MS + DAYS // 2 * DAY_MS, START_MS + DAYS * DAY_MS
    log.send(START_MS - 1, half_ms)
    for point, exit_code in (("learner.after_produce:3", -9), ("learner.after_commit:4", -9)):
        assert learn(run, "--to-the-end", crash_at=point).wait(90) == exit_code
    assert learn(run, "--to-the-end").wait(90) == 0, (run.logs / "learn.log").read_text()[-3000:]
    worker = learn(run)
    try:
        log.send(half_ms, end_ms - 3 * DAY_MS)
        until(
            lambda: max(r.at for r in told(run, kafka)) >= end_ms - 4 * DAY_MS, timeout_s=60,
            what="the worker reports what came while it ran",
        )  # fmt: skip
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    finally:
        worker.kill()
    log.send(end_ms - 3 * DAY_MS, end_ms)
    assert learn(run, "--to-the-end").wait(90) == 0, (run.logs / "learn.log").read_text()[-3000:]

    said = told(run, kafka)
    known = [e.label_ms for e in log.labels if e.label_ms <= end_ms]
    newest_ms = max(*known, *[p.event_ms for p in log.payments])
    ids = [r.quality_id for r in said]
    assert len(ids) == len(set(ids))
    daily = sorted({r.at for r in said if r.kind == "labels" and r.at % DAY_MS == 0})
    assert daily == list(range(daily[0], daily[-1] + 1, DAY_MS))
    assert daily[0] == START_MS + DAY_MS
    assert daily[-1] >= end_ms - DAY_MS
    for at_ms, days in ((newest_ms, 7), (newest_ms, 28), (START_MS + 12 * DAY_MS, 7)):
        found = next(
            r for r in reversed(said)
            if r.kind == "matured" and r.at == at_ms and r.window_days == days and r.stage == "champion"
        )  # fmt: skip
        expected = matured(log.payments, log.labels, at_ms, days, 7.0, 500, "fraud/1")
        for name in ("events", "labelled", "positives", "true_positives", "caught_minor", "saved_minor"):
            assert found.counts[name] == expected["counts"][name], name
        for name in ("average_precision", "precision", "recall", "ece"):
            assert found.figures[name] == pytest.approx(expected["figures"][name], abs=1e-12), name
    ghosts = [r.event_id for r in said if r.kind == "label_unmatched"]
    due = {e.id for e in log.labels if e.id.startswith("ghost") and e.label_ms + 2 * DAY_MS <= daily[-1]}
    assert len(ghosts) == len(set(ghosts))
    assert due <= set(ghosts)
    assert [r.kind for r in said].count("restart") >= 3
    started = [
        line for line in (run.logs / "learn.log").read_text().splitlines() if "learner_started" in line
    ]
    assert any('"snapshot": true' in line for line in started)
    assert any('"snapshot": false' in line for line in started)
