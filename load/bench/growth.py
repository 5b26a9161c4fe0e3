"""Scenario `growth`: what an event costs as keys, windows and partitions grow."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, Kind, position
from feature_repo.generate import workload
from feature_repo.generator.plan import START_MS
from features.definition import Entity
from features.state import EntityState
from headrace.servers import Servers
from load.bench.activity import numbered
from load.bench.apart import apart
from load.bench.measure import Figures, Meter
from load.bench.outcome import Outcome
from load.bench.stack import BenchStack
from load.bench.w1.entity import entity
from load.bench.w1.growth import windows_of
from load.bench.w1.headrace_run import Asked, Work, measure
from load.this_project import CUSTOMER

KEYS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
WINDOWS = (3, 6, 9, 12)
PARTITIONS = (1, 2, 4, 8, 16)
WINDOW_KEYS = 20_000
STATE_EVENTS, PARTITION_EVENTS = 400_000, 200_000
BATCH_ROWS = 2_000
SEED = 41
SPAN_MS = 6 * 3_600_000


def run(root: Path, servers: Servers) -> Outcome:
    """Measure the state in memory for keys and windows, both processes on Kafka for partitions."""
    parts = {f"keys {n}": apart(fold, "default", n) for n in KEYS}
    parts |= {f"windows {n}": apart(fold, str(n), WINDOW_KEYS) for n in WINDOWS}
    work = Work.of(PARTITION_EVENTS)
    for count in PARTITIONS:
        with BenchStack(root, servers, f"growth-{count}", partitions=count) as stack:
            parts[f"partitions {count}"] = measure(stack, work, Asked())["headrace"]
    return Outcome(
        figures=parts[f"partitions {PARTITIONS[0]}"],
        parts=parts,
        more={
            name: [
                {"x": int(part.split()[1]), "us": round(1e6 / figures.events_per_cpu_s, 3)}
                for part, figures in parts.items()
                if part.startswith(name)
            ]
            for name in ("keys", "windows", "partitions")
        },
        seed=workload("w1").seed,
        notes=[
            "keys: default features of the customer in memory, payments of keys drawn evenly",
            f"windows: count, sum, mean and max over each, {WINDOW_KEYS:,} keys, in memory",
            "partitions: W1 on one gate and one stage process, checkpoints a partition",
        ],
    )


def fold(which: str, keys: int) -> Figures:
    """Fold evenly drawn payments once every key has been met; its start is not measured."""
    names = numbered(b"c", np.arange(keys), 7)
    state = EntityState(_entity(which))
    rng = np.random.default_rng(SEED)
    order = np.concatenate([rng.permutation(keys), rng.integers(0, keys, STATE_EVENTS)])
    times = START_MS + np.arange(len(order)) * SPAN_MS // len(order)
    batches = [
        _rows(start, names[order[start : start + BATCH_ROWS]], times[start : start + BATCH_ROWS], rng)
        for start in range(0, len(order), BATCH_ROWS)
    ]
    warm = -(-keys // BATCH_ROWS)
    for rows in batches[:warm]:
        state.apply(rows, Kind.SCORED)
    meter = Meter()
    for rows in batches[warm:]:
        state.apply(rows, Kind.SCORED)
    return meter.read(sum(len(rows["pos"]) for rows in batches[warm:]), keys=float(len(state)))


def _entity(which: str) -> Entity:
    return CUSTOMER if which == "default" else entity(windows_of(int(which)))


def _rows(
    start: int, keys: NDArray[np.bytes_], times: NDArray[np.int64], rng: np.random.Generator
) -> Columns:
    return {
        "pos": position(start) + np.arange(len(keys), dtype=np.int64),
        "customer_id": keys,
        "terminal_id": numbered(b"m", rng.integers(0, 5_000, len(keys)), 5),
        "event_time": times,
        "amount_minor": rng.integers(1, 50_000, len(keys)),
    }
