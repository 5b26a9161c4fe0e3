"""Scenario `gate`: JSON records on real Kafka, judged and sent on as record batches by the real worker."""

from dataclasses import replace
from pathlib import Path

from contracts.topics import EVENTS_CUSTOMER
from headrace.servers import Servers
from load.bench.measure import TreeMeter
from load.bench.outcome import Outcome
from load.bench.stand import Stand
from load.generator import generate
from load.producer import Outbox
from load.source import Record, TableRecords
from load.workloads import workload

WARM_UP_EVENTS = 50_000
EVENTS = 600_000
SLICE_EVENTS = 20_000


def run(root: Path, servers: Servers) -> Outcome:
    """Measure the gate's process from a warm start until it has committed the last record."""
    plan = replace(workload("w1"), events=WARM_UP_EVENTS + EVENTS)
    made = generate(plan)
    records = TableRecords(made.transactions, "customer_id", "event_time", made.deliver_ms)
    ready = [records.slice(i, i + SLICE_EVENTS) for i in range(0, plan.events, SLICE_EVENTS)]
    warm = WARM_UP_EVENTS // SLICE_EVENTS + 1
    with Stand(root, servers, "gate") as stand:
        pids = stand.start(("gate",))
        outbox = Outbox(stand.kafka)
        _send(stand, outbox, ready[:warm])
        meter = TreeMeter(pids.values())
        _send(stand, outbox, ready[warm:])
        figures = meter.read(sum(len(part) for part in ready[warm:]))
        outbox.close()
        notes = [
            f"sent on to {EVENTS_CUSTOMER.name}; the sender shares the two cores, so read events_per_cpu_s"
        ]
    return Outcome(figures=figures, seed=plan.seed, notes=notes)


def _send(stand: Stand, outbox: Outbox, parts: list[list[Record]]) -> None:
    for part in parts:
        outbox.send(stand.topic("transactions"), part)
    outbox.flush()
    stand.await_group("gate", stand.ends(["transactions"]))
