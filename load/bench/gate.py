"""Scenario `gate`: JSON records on real Kafka, judged and sent on as record batches by the real worker."""

from dataclasses import replace
from pathlib import Path

from feature_repo.generate import workload
from feature_repo.generator.payments import generate
from headrace.servers import Servers
from headrace.traffic.input_files import Record
from headrace.traffic.producer import RecordProducer
from load.bench.measure import TreeMeter
from load.bench.outcome import Outcome
from load.bench.stack import BenchStack
from load.payment_records import payments_of
from load.this_project import CHAIN

WARM_UP_EVENTS = 50_000
EVENTS = 600_000
SLICE_EVENTS = 20_000


def run(root: Path, servers: Servers) -> Outcome:
    """Measure the gate's process from a warm start until it has committed the last record."""
    plan = replace(workload("w1"), events=WARM_UP_EVENTS + EVENTS)
    made = generate(plan)
    records = payments_of(made)
    ready = [records.slice(i, i + SLICE_EVENTS) for i in range(0, plan.events, SLICE_EVENTS)]
    warm = WARM_UP_EVENTS // SLICE_EVENTS + 1
    with BenchStack(root, servers, "gate") as stack:
        pids = stack.start(("gate",))
        producer = RecordProducer(stack.kafka)
        _send(stack, producer, ready[:warm])
        meter = TreeMeter(pids.values())
        _send(stack, producer, ready[warm:])
        figures = meter.read(sum(len(part) for part in ready[warm:]))
        producer.close()
        notes = [f"sent on to {CHAIN.first.input}; the sender shares the two cores, so read events_per_cpu_s"]
    return Outcome(figures=figures, seed=plan.seed, notes=notes)


def _send(stack: BenchStack, producer: RecordProducer, parts: list[list[Record]]) -> None:
    for part in parts:
        producer.send(stack.topic("transactions"), part)
    producer.flush()
    stack.await_group("gate", stack.ends(["transactions"]))
