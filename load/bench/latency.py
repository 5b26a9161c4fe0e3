"""Scenario `latency`: open loop at a steady rate, from the moment a payment was due to its prediction read.

Each payment has its moment before anything is sent, so a sender or a service that falls behind is charged
for it. The first half minute warms the broker's compiler and every worker; each run begins with seconds
that are dropped. Sender and subscriber are on the same cores as everything else.
"""

import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feature_repo.generate import workload
from feature_repo.generator.payments import Generated, generate
from headrace.servers import Servers
from headrace.traffic.input_files import Record
from headrace.traffic.latency import latencies_ms, percentiles_ms
from headrace.traffic.pacing import Pacer, at_rate
from headrace.traffic.producer import RecordProducer
from load.bench import hops
from load.bench.measure import Figures, Meter, TreeMeter
from load.bench.outcome import Outcome
from load.bench.quick_model import promote_quick_model
from load.bench.scoring import WORKERS
from load.bench.stack import BenchStack
from load.bench.steps import Steps
from load.bench.subscriber import Subscriber
from load.payment_records import payments_of

Floats = NDArray[np.float64]
RATE = 2_000.0
WARM_UP_S, RUN_S, DROPPED_S = 30.0, 10.0, 2.0
RUNS = 5
QUIET_S = 30.0
LINGER_MS = 5.0  # of the sender, the client's own default; all that comes later is the service's


class _Sent(NamedTuple):
    """When each payment was due, epoch ms; and what the processes did, by run."""

    scheduled: Floats
    runs: list[dict[str, Figures]]


def run(root: Path, servers: Servers, rate: float = RATE) -> Outcome:
    """Measure at `rate` payments a second; the figures are medians of five runs."""
    events = int(rate * (WARM_UP_S + RUNS * RUN_S))
    made = payments(events)
    records = records_of(made)
    with BenchStack(root, servers, "latency") as stack:
        promote_quick_model(stack.run.models, made)
        pids = stack.start(*WORKERS) | stack.server_pids
        subscriber = Subscriber(stack.kafka, stack.run.topic_prefix, events)
        subscriber.start()
        steps = Steps(stack.run.ports)
        sent = _send(stack, records, rate, pids, steps)
        subscriber.wait(events, QUIET_S)
        subscriber.stop()
        moments = hops.left_ms(stack.kafka, stack.run.topic_prefix, events)
    scored = subscriber.moments["scored"]
    moments |= {"scheduled": sent.scheduled, "readable": subscriber.moments["readable"], "scored": scored}
    moments["appended"] = scored - subscriber.moments["total"]
    moments["received"] = moments["appended"] + subscriber.moments["stage"]
    return _outcome(moments, sent, rate, steps.means_ms())


def _send(stack: BenchStack, records: list[Record], rate: float, pids: dict[str, int], steps: Steps) -> _Sent:
    """Send everything on time; meters are read between the runs."""
    producer = RecordProducer(stack.kafka, linger_ms=LINGER_MS)
    topic = stack.topic("transactions")

    def pause(seconds: float) -> None:
        producer.poll()
        time.sleep(seconds)

    pacer = Pacer(at_rate(len(records), rate), time.time, pause)
    bounds = [int(rate * (WARM_UP_S + number * RUN_S)) for number in range(RUNS + 1)]
    _until(bounds[0], producer, pacer, records, topic)
    steps.begin()
    runs = []
    for first, behind in zip(bounds, islice(bounds, 1, None), strict=False):
        meters: dict[str, Meter | TreeMeter] = {name: TreeMeter([pid]) for name, pid in pids.items()}
        meters["driver"] = Meter()  # this process alone: the workers are its children
        _until(behind, producer, pacer, records, topic)
        runs.append({name: meter.read(behind - first) for name, meter in meters.items()})
    steps.end()
    producer.flush()
    producer.close()
    return _Sent(pacer.scheduled_s() * 1000.0, runs)


def _until(behind: int, producer: RecordProducer, pacer: Pacer, records: list[Record], topic: str) -> None:
    upto = 0
    while upto < behind:
        low, upto = pacer.due()
        if low == upto:
            return
        producer.send(topic, records[low:upto])


def _outcome(moments: dict[str, Floats], sent: _Sent, rate: float, steps: dict[str, float]) -> Outcome:
    parts = [_run_of(number, rate) for number in range(RUNS)]
    runs = [
        percentiles_ms(latencies_ms(moments["scheduled"][part] / 1e3, moments["readable"][part] / 1e3))
        | {"rate": _rate(moments["readable"][part])}
        for part in parts
    ]
    medians = {
        f"{name}_ms" if name != "rate" else name: float(np.median([one[name] for one in runs]))
        for name in runs[0]
    }
    measured = np.concatenate([np.arange(part.start, part.stop) for part in parts])
    processes = {name: _sum([one[name] for one in sent.runs]) for name in sent.runs[0]}
    whole = _whole(processes)
    return Outcome(
        figures=Figures(
            events=whole.events, wall_s=whole.wall_s, cpu_s=whole.cpu_s, peak_rss_mib=whole.peak_rss_mib,
            extra={"cores": whole.cpu_s / whole.wall_s},
        ),
        parts=processes,
        seed=workload("bank").seed,
        more=medians
        | {
            "hops": hops.shares({name: times[measured] for name, times in moments.items()}),
            "steps_ms": steps,
            "runs": runs,
        },
        notes=[
            f"open loop, {rate:,.0f} a second; from the moment due to read by a read_committed subscriber",
            f"medians of {RUNS} runs of {RUN_S - DROPPED_S:.0f} s after {WARM_UP_S:.0f} s of warm-up",
        ],
    )  # fmt: skip


def _run_of(number: int, rate: float) -> slice:
    """Return the payments of a run, less those of its dropped seconds."""
    begin_s = WARM_UP_S + number * RUN_S
    return slice(int(rate * (begin_s + DROPPED_S)), int(rate * (begin_s + RUN_S)))


def _rate(readable_ms: Floats) -> float:
    """Return how many predictions a second came out."""
    return round(float(len(readable_ms) / (np.ptp(readable_ms) / 1e3)), 1)


def _sum(parts: list[Figures]) -> Figures:
    """Return the figures of runs one after the other, with how many cores they kept busy."""
    wall_s, cpu_s = sum(part.wall_s for part in parts), sum(part.cpu_s for part in parts)
    return Figures(
        events=sum(part.events for part in parts), wall_s=wall_s, cpu_s=cpu_s,
        peak_rss_mib=max(part.peak_rss_mib for part in parts), extra={"cores": cpu_s / wall_s},
    )  # fmt: skip


def _whole(processes: dict[str, Figures]) -> Figures:
    """Return the figures of processes side by side."""
    every = list(processes.values())
    return Figures(
        events=every[0].events, wall_s=every[0].wall_s, cpu_s=sum(one.cpu_s for one in every),
        peak_rss_mib=sum(one.peak_rss_mib for one in every),
    )  # fmt: skip


def payments(events: int) -> Generated:
    """Return payments of the bank workload, each once."""
    return generate(replace(workload("bank"), events=events, duplicate_ratio=0.0, optional_fields=False))


def records_of(made: Generated) -> list[Record]:
    """Return the payments as a producer sends them, in order of delivery."""
    records = payments_of(made)
    return records.slice(0, made.transactions.num_rows)
