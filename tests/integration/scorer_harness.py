"""What the scorer's integration tests share: feature rows into the log, a worker process, predictions out."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer

from contracts.connections import KafkaConnection
from contracts.events import Prediction
from contracts.frame import Columns, Kind, length, take
from contracts.lanes import LaneWriter
from contracts.topics import FEATURES_LOG, PREDICTIONS
from runtime.run import Run
from tests.unit.inference.support import feature_rows
from tests.waiting import until

CHECKOUT = Path(__file__).resolve().parents[2]
Change = Callable[[Columns], Columns]


class LogWriter:
    """Plays the terminal stage: one lane a partition, plain idempotent produces."""

    def __init__(self, run: Run, kafka: KafkaConnection, partitions: int = 2) -> None:
        self._topic = FEATURES_LOG.full_name(run.topic_prefix)
        self._producer = Producer(kafka.librdkafka() | {"enable.idempotence": True, "linger.ms": 1})
        self._lanes = [LaneWriter(f"events.terminal/{n}", base=0) for n in range(partitions)]
        self._reached = [0] * partitions

    def send(
        self, rows: int, kind: int = Kind.SCORED, copies: int = 1, amount_factor: int = 1,
        change: Change = lambda rows: rows,
    ) -> Columns:  # fmt: skip
        """Send as many rows, perhaps changed, to each partition, 50 a record; return the last's."""
        sent: Columns = {}
        for number, lane in enumerate(self._lanes):
            at = self._reached[number]
            sent = change(feature_rows(rows, seed=at + number, partition=number, first_offset=at))
            sent["amount_minor"] = sent["amount_minor"] * amount_factor
            for begin in range(0, rows, 50):
                part = take(sent, slice(begin, begin + 50))
                targets = np.full(length(part), number, np.int32)
                for target, data in lane.emit(kind, part, targets, upto=int(part["pos"][-1]) + 1):
                    for _ in range(copies):
                        self._producer.produce(self._topic, data, partition=target)
            self._reached[number] += rows
        self.flush()
        return sent

    def send_bytes(self, data: bytes) -> None:
        """Send a record of any bytes to partition 0."""
        self._producer.produce(self._topic, data, partition=0)
        self.flush()

    def flush(self) -> None:
        """Wait until all is in the log."""
        assert self._producer.flush(20) == 0


class Subscriber:
    """Reads committed predictions only, as every subscriber must."""

    def __init__(self, run: Run, kafka: KafkaConnection) -> None:
        self._consumer = Consumer(
            kafka.librdkafka()
            | {
                "group.id": f"{run.topic_prefix}subscriber", "auto.offset.reset": "earliest",
                "isolation.level": "read_committed", "enable.auto.commit": False,
            }
        )  # fmt: skip
        self._consumer.subscribe([PREDICTIONS.full_name(run.topic_prefix)])
        self.seen: list[Prediction] = []

    def until(self, count: int, timeout_s: float = 60.0, quiet_s: float = 1.0) -> list[Prediction]:
        """Read until there are `count`, then for `quiet_s` more, so that one too many is seen too."""
        deadline_s = time.monotonic() + timeout_s
        while len(self.seen) < count:
            assert time.monotonic() < deadline_s, f"{len(self.seen)} of {count} predictions"
            self._read(0.2)
        self._read(quiet_s)
        return self.seen

    def read(self, wait_s: float) -> list[Prediction]:
        """Read what comes in `wait_s` seconds and return all that was seen."""
        self._read(wait_s)
        return self.seen

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _read(self, wait_s: float) -> None:
        # for a time, not until all is quiet: under load it never is
        deadline_s = time.monotonic() + wait_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            for message in self._consumer.consume(1000, min(left_s, 0.1)):
                assert message.error() is None, message.error()
                self.seen.append(msgspec.json.decode(message.value() or b"", type=Prediction))


@contextmanager
def scorer_process(
    run: Run, *arguments: str, program: str = "-m headrace score"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a scorer; SIGTERM must end it with exit code 0 unless the test ended it otherwise."""
    log = run.logs / "scorer.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *program.split(), *arguments], cwd=CHECKOUT, env=os.environ.copy(), stderr=output
        )
    try:
        yield process
        if process.poll() is None:
            until(lambda: _ready(run, process, arguments), timeout_s=60, what="the scorer is ready")
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0, log.read_text()[-3000:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def _ready(run: Run, process: "subprocess.Popen[bytes]", arguments: tuple[str, ...]) -> bool:
    """Tell whether the worker has noted where its metrics are, which it does last."""
    slot = arguments[arguments.index("--slot") + 1] if "--slot" in arguments else "0"
    noted = run.ports / f"scorer-{slot}.json"
    return noted.exists() and msgspec.json.decode(noted.read_bytes())["pid"] == process.pid
