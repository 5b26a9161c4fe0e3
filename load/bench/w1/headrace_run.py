"""W1 on headrace: the real gate's process and the real customer stage's, on a backlog, from a warm start."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from contracts.frame import decode
from contracts.lanes import Lanes, accept
from feature_repo.generate import workload
from feature_repo.generator.payments import Generated, generate
from headrace.traffic.input_files import Record
from headrace.traffic.producer import RecordProducer
from load.bench.measure import Figures, TreeMeter
from load.bench.stack import BenchStack, Places
from load.bench.w1.backlog import Backlog
from load.payment_records import payments_of

WARM_UP_EVENTS = 50_000
CHECKPOINTS_S = 1.2  # the last checkpoint of the warm-up is written before the meter starts
Answer = tuple[str, list[float]]


class Work(msgspec.Struct, frozen=True):
    """Payments of W1: a warm-up, then those that are measured."""

    made: Generated
    records: list[Record]
    warm: int = WARM_UP_EVENTS

    @classmethod
    def of(cls, events: int, **changes: int) -> "Work":
        """Return the workload's first payments; `changes` are of its plan."""
        made = generate(replace(workload("w1"), events=WARM_UP_EVENTS + events, **changes))  # type: ignore[arg-type]
        table = payments_of(made)
        return cls(made, table.slice(0, made.transactions.num_rows))

    @property
    def events(self) -> int:
        """Return how many payments are measured."""
        return len(self.records) - self.warm


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A run's form: JSON out instead of record batches, how many windows, and whether to profile."""

    json: bool = False
    windows: int = 3
    profile: str = os.environ.get("W1_PROFILE", "")

    @property
    def command(self) -> list[str]:
        """Return the stage process's command."""
        words = ["load.bench.w1.stage_process", "--windows", str(self.windows)]
        words += ["--json"] if self.json else []
        return words + (["--profile", self.profile] if self.profile else [])


def measure(stack: BenchStack, work: Work, asked: Asked) -> dict[str, Figures]:
    """Return figures of `headrace` (both processes), `gate` and `stage`.

    The measured payments are written in one transaction, so that both processes find them all at once.
    """
    pids = {
        **stack.start(("gate",)),
        "stage": stack.start_module(
            "stream-customer", *asked.command, HEADRACE_STAGE_RECORDS_UNACKNOWLEDGED_MAX="100000"
        ),
    }
    producer = RecordProducer(stack.kafka)
    producer.send(stack.topic("transactions"), work.records[: work.warm])
    producer.flush()
    producer.close()
    _await(stack, stack.ends(["transactions"]))
    backlog = Backlog(stack.kafka, stack.topic("transactions"))
    backlog.add(work.records[work.warm :])
    backlog.hide()
    ends = stack.ends(["transactions"])
    time.sleep(CHECKPOINTS_S)
    whole = TreeMeter(pids.values())
    parts = {name: TreeMeter([pid]) for name, pid in pids.items()}
    backlog.show()
    _await(stack, ends)
    figures = {"headrace": whole.read(work.events)}
    if asked.profile:
        os.kill(pids["stage"], signal.SIGRTMIN)
        time.sleep(CHECKPOINTS_S)
    return figures | {name: meter.read(work.events) for name, meter in parts.items()}


def _await(stack: BenchStack, ends: Places) -> None:
    """Wait until the gate has passed `ends`, and the stage what the gate made of it."""
    stack.await_group("gate", ends)
    stack.await_group("stage-customer", stack.ends(["events.customer"]))


def answers(stack: BenchStack, columns: tuple[str, ...], *, json: bool) -> Iterator[Answer]:
    """Yield each payment's id and as-of values as a reader of the stage's topic finds them."""
    lanes: Lanes = {}
    seen: dict[int, int] = {}
    for partition, value in _values(stack, "events.terminal"):
        if json:
            row = orjson.loads(value)
            if row["source"] > seen.get(partition, -1):
                seen[partition] = row["source"]
                yield row["transaction_id"], [_number(row[name]) for name in columns]
            continue
        rows = accept(decode(value), lanes, lambda frame: None)
        for name, numbers in zip(rows["transaction_id"].tolist(), rows["customer_values"], strict=True):
            yield name.decode(), numbers.tolist()


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _values(stack: BenchStack, topic: str) -> Iterator[tuple[int, bytes]]:
    """Yield partition and value of all that is in a topic now."""
    consumer = Consumer(
        {**stack.kafka.librdkafka(), "group.id": f"check-{time.time_ns()}", "enable.auto.commit": False}
    )
    places = [TopicPartition(stack.topic(topic), i, OFFSET_BEGINNING) for i in range(stack.run.partitions)]
    ends = {p.partition: consumer.get_watermark_offsets(p, timeout=10.0)[1] for p in places}
    left = {partition for partition, end in ends.items() if end}
    consumer.assign(places)
    while left:
        for message in consumer.consume(1_000, 1.0):
            partition, offset = message.partition(), message.offset()
            if message.error() is None and partition in left and offset is not None:
                yield partition, message.value() or b""
                if offset + 1 >= ends[partition]:
                    left.discard(partition)
    consumer.close()


def log_of(stack: BenchStack) -> Path:
    """Return where the stage's process wrote its log."""
    return stack.run.logs / "stream-customer.log"
