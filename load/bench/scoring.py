"""Scenarios `scorer` and `pipeline`: decisions out of the real workers, beside the plain pipeline.

`scorer` fills the feature log first and then starts the scorer alone; `pipeline` runs everything at once,
servers too, on the cores that there are.
"""

import time
from dataclasses import replace
from pathlib import Path

import msgspec

from feature_repo.generate import workload
from feature_repo.generator.payments import Generated, generate
from headrace.servers import Servers
from headrace.traffic.input_files import Record
from headrace.traffic.producer import RecordProducer
from load.bench.measure import Figures, TreeMeter
from load.bench.outcome import Outcome
from load.bench.quick_model import promote_quick_model
from load.bench.stack import BenchStack
from load.payment_records import payments_of
from load.peers import plain
from load.peers.progress import TopicCount

WORKERS = (("gate",), ("stream", "customer"), ("stream", "terminal"), ("score",), ("archive",))
WARM_UP_EVENTS = 20_000
SCORER_EVENTS = 200_000
PIPELINE_EVENTS = 200_000
PLAIN_EVENTS = 400
SLICE_EVENTS = 5_000
TIMEOUT_S = 300.0
PLAIN_DATABASE = 509


def run_scorer(root: Path, servers: Servers) -> Outcome:
    """Measure the scorer's process from its first tenth to its last decision on a full feature log."""
    made = payments(SCORER_EVENTS)
    with BenchStack(root, servers, "scorer") as stack:
        promote_quick_model(stack.run.models, made)
        stack.start(("gate",), ("stream", "customer"), ("stream", "terminal"))
        send(stack, ready(made))
        for group, topics in (("gate", ["transactions"]), ("stage-customer", ["events.customer"])):
            stack.await_group(group, stack.ends(topics))
        stack.await_group("stage-terminal", stack.ends(["events.terminal"]))
        pids = stack.start(("score",))
        count = TopicCount(stack.kafka, stack.topic("predictions"))
        count.wait(SCORER_EVENTS // 10, TIMEOUT_S)
        meter, first = TreeMeter(pids.values()), count.count
        count.wait(SCORER_EVENTS, TIMEOUT_S)
        figures = meter.read(count.count - first)
        count.close()
        peers = _plain(stack, made)
    return Outcome(
        figures=figures,
        peers=peers,
        ratios={"plain": figures.events_per_cpu_s / peers["plain scorer"].events_per_cpu_s},
        seed=workload("bank").seed,
        notes=["by CPU seconds of the scoring processes; a backlog, so batches are large"],
    )


def run_pipeline(root: Path, servers: Servers) -> Outcome:
    """Measure everything from the first payment sent to the last prediction readable."""
    made = payments(WARM_UP_EVENTS + PIPELINE_EVENTS)
    slices = ready(made)
    warm = WARM_UP_EVENTS // SLICE_EVENTS
    with BenchStack(root, servers, "pipeline") as stack:
        promote_quick_model(stack.run.models, made)
        pids = stack.start(*WORKERS)
        count = TopicCount(stack.kafka, stack.topic("predictions"))
        send(stack, slices[:warm])
        count.wait(WARM_UP_EVENTS, TIMEOUT_S)
        whole = TreeMeter([*pids.values(), *stack.server_pids.values()])
        parts = {name: TreeMeter([pid]) for name, pid in {**pids, **stack.server_pids}.items()}
        send(stack, slices[warm:])
        count.wait(WARM_UP_EVENTS + PIPELINE_EVENTS, TIMEOUT_S)
        figures = whole.read(PIPELINE_EVENTS)
        apart = {name: meter.read(PIPELINE_EVENTS) for name, meter in parts.items()}
        count.close()
        peers = _plain(stack, made)
    return Outcome(
        figures=figures,
        parts=apart,
        peers=peers,
        ratios={"plain": figures.events_per_s / peers["plain"].events_per_s},
        seed=workload("bank").seed,
        notes=["by the wall clock, sender and subscriber included on the same cores"],
    )


def payments(events: int) -> Generated:
    """Return a bank's payments, each once and without optional fields."""
    plan = replace(workload("bank"), events=events, duplicate_ratio=0.0, optional_fields=False)
    return generate(plan)


def ready(made: Generated) -> list[list[Record]]:
    """Return the records to send, in slices."""
    records = payments_of(made)
    count = made.transactions.num_rows
    return [records.slice(i, min(i + SLICE_EVENTS, count)) for i in range(0, count, SLICE_EVENTS)]


def send(stack: BenchStack, parts: list[list[Record]]) -> None:
    """Send the slices and wait until the broker has them."""
    producer = RecordProducer(stack.kafka)
    for part in parts:
        producer.send(stack.topic("transactions"), part)
    producer.flush()
    producer.close()


def _plain(stack: BenchStack, made: Generated) -> dict[str, Figures]:
    """Run the plain pipeline on the same payments' beginning, in a database of its own."""
    records = payments_of(made)
    folder = stack.run.home / f"plain-{time.time_ns()}"
    redis = msgspec.structs.replace(stack.redis, db=PLAIN_DATABASE)
    return plain.run(stack.kafka, redis, folder, records, PLAIN_EVENTS)
