"""Scenario `serve`: the HTTP door beside the running stream, both open loop, everything on the same cores.

Half of the requests score a pending payment, half ask for the features of a customer and a terminal as of
now; each is timed from the moment it was due. The stream's own predictions are read meanwhile, so that what
the door costs them is seen: the same rate runs once without callers and once with them.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from feature_repo.generate import workload
from feature_repo.generator.payments import Generated
from headrace.door_note import door_of, token_of
from headrace.servers import Servers
from headrace.traffic.latency import latencies_ms, percentiles_ms
from headrace.traffic.pacing import Pacer, at_rate
from headrace.traffic.producer import RecordProducer
from load.bench.door_client import Callers, Request
from load.bench.latency import payments, records_of
from load.bench.measure import Figures, TreeMeter
from load.bench.outcome import Outcome
from load.bench.quick_model import promote_quick_model
from load.bench.scoring import WORKERS
from load.bench.stack import BenchStack
from load.bench.subscriber import Subscriber

RATE = 1_000.0  # payments a second on the stream
DOOR_RATE = 100.0  # requests a second at the door
WARM_UP_S, ALONE_S, BESIDE_S = 20.0, 20.0, 40.0
DROPPED_S = 2.0
QUIET_S = 30.0
PATHS = ("/score", "/features")


class _Run(NamedTuple):
    """When each payment was due, epoch ms; the door's callers; what the processes did beside them."""

    scheduled_ms: NDArray[np.float64]
    callers: Callers
    figures: dict[str, Figures]


def run(root: Path, servers: Servers, rate: float = RATE) -> Outcome:
    """Measure the door at 100 requests a second beside a stream of `rate` payments a second."""
    events = int(rate * (WARM_UP_S + ALONE_S + BESIDE_S))
    made = payments(events)
    with BenchStack(root, servers, "serve") as stack:
        promote_quick_model(stack.run.models, made)
        pids = stack.start(*WORKERS) | stack.server_pids
        pids["serve"] = stack.start_module("serve", "headrace", "serve", "--port", "0")
        subscriber = Subscriber(stack.kafka, stack.run.topic_prefix, events)
        subscriber.start()
        done = _measure(stack, made, rate, pids)
        subscriber.wait(events, QUIET_S)
        subscriber.stop()
    return _outcome(done, subscriber.moments["readable"], rate)


def _measure(stack: BenchStack, made: Generated, rate: float, pids: dict[str, int]) -> _Run:
    events = made.transactions.num_rows
    records, producer = records_of(made), RecordProducer(stack.kafka, linger_ms=1.0)

    def pause(seconds: float) -> None:
        producer.poll()
        time.sleep(seconds)

    callers = _callers(stack, made)
    pacer = Pacer(at_rate(events, rate), time.time, pause)
    begin = int(rate * (WARM_UP_S + ALONE_S))
    meters: dict[str, TreeMeter] = {}
    upto = 0
    while upto < events:
        low, upto = pacer.due()
        producer.send(stack.topic("transactions"), records[low:upto])
        if upto >= begin and not meters:
            meters = {name: TreeMeter([pid]) for name, pid in pids.items()}
            callers.start()
    callers.finish()
    figures = {name: meter.read(len(callers.statuses)) for name, meter in meters.items()}
    producer.flush()
    producer.close()
    return _Run(pacer.scheduled_s() * 1e3, callers, figures)


def _callers(stack: BenchStack, made: Generated) -> Callers:
    """Return callers with requests about the workload's own customers and terminals."""
    door = door_of(stack.run)
    if door is None:
        raise RuntimeError("the door left no note of where it is")
    count = int(DOOR_RATE * BESIDE_S)
    rows = made.transactions.slice(0, count).to_pylist()
    now_ms = int(made.transactions["event_time"][-1].as_py())
    requests = []
    for number, row in enumerate(rows):
        if number % 2:
            asked = {name: row[name] for name in ("customer_id", "terminal_id")} | {"now_ms": now_ms}
            requests.append(Request("/features", orjson.dumps(asked)))
        else:
            pending = {name: value for name, value in row.items() if value is not None}
            pending |= {"transaction_id": f"pending-{number}", "event_time": now_ms}
            requests.append(Request("/score", orjson.dumps(pending)))
    address = f"http://{door.host}:{door.port}"
    return Callers(address, token_of(stack.run), requests, at_rate(count, DOOR_RATE))


def _outcome(done: _Run, readable_ms: NDArray[np.float64], rate: float) -> Outcome:
    callers, door = done.callers, done.figures["serve"]
    first = int(DOOR_RATE * DROPPED_S)
    whole = _percentiles(callers.latency_ms[first:])
    by_path = {}
    for place, path in enumerate(PATHS):
        by_path[path] = _percentiles(callers.latency_ms[first:][(first + place) % 2 :: 2])
    statuses, counts = np.unique(callers.statuses, return_counts=True)
    return Outcome(
        figures=Figures(
            events=door.events, wall_s=door.wall_s, cpu_s=door.cpu_s, peak_rss_mib=door.peak_rss_mib,
            extra=whole | {"rate": DOOR_RATE, "stream_rate": rate, "cores": door.cpu_s / door.wall_s},
        ),
        parts=done.figures,
        seed=workload("bank").seed,
        more={
            "paths": by_path,
            "statuses": {str(status): int(number) for status, number in zip(statuses, counts, strict=True)},
            "degraded": callers.degraded,
            "stream": _stream(done.scheduled_ms, readable_ms, rate),
        },
        notes=[
            f"open loop: {DOOR_RATE:.0f} requests a second beside {rate:,.0f} payments a second",
            f"{BESIDE_S - DROPPED_S:.0f} s; each request from the moment it was due to its whole answer",
        ],
    )  # fmt: skip


def _stream(
    scheduled_ms: NDArray[np.float64], readable_ms: NDArray[np.float64], rate: float
) -> dict[str, dict[str, float]]:
    """Return the stream's own latency without and with callers at the door."""
    bounds = {
        "alone": (WARM_UP_S, WARM_UP_S + ALONE_S),
        "beside": (WARM_UP_S + ALONE_S + DROPPED_S, WARM_UP_S + ALONE_S + BESIDE_S),
    }
    found = {}
    for name, (begin_s, end_s) in bounds.items():
        part = slice(int(rate * begin_s), int(rate * end_s))
        found[name] = _percentiles(latencies_ms(scheduled_ms[part] / 1e3, readable_ms[part] / 1e3))
    return found


def _percentiles(latency_ms: NDArray[np.float64]) -> dict[str, float]:
    measured = percentiles_ms(latency_ms[np.isfinite(latency_ms)])
    return {f"{name}_ms": value for name, value in measured.items()}
