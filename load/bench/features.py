"""Scenario `features`: the windows of the customer entity, in memory, on the work engines are compared on."""

import numpy as np

from contracts.frame import Columns, Kind, position, strings, take
from feature_repo.generate import workload
from feature_repo.generator.payments import generate
from features.state import EntityState
from load.bench.apart import apart
from load.bench.measure import Figures, Meter
from load.bench.outcome import Outcome
from load.this_project import CUSTOMER

EVENTS = 900_000
WARM_UP_EVENTS = 20_000
BATCH_EVENTS = 1_000


def run() -> Outcome:
    """Measure the state alone, batches of 1,000, then batches of 10 on fewer events."""
    figures = apart(fold, EVENTS, BATCH_EVENTS)
    small = apart(fold, 200_000, 10)
    return Outcome(figures=figures, parts={"batches_of_10": small}, seed=workload("w1").seed)


def fold(events: int, batch_events: int) -> Figures:
    """Fold events into windows, each answered as of itself; compiling is not measured."""
    rows = _rows(events + WARM_UP_EVENTS)
    state = EntityState(CUSTOMER)
    for start in range(0, WARM_UP_EVENTS, batch_events):
        state.apply(take(rows, slice(start, start + batch_events)), Kind.SCORED)
    meter = Meter()
    for start in range(WARM_UP_EVENTS, WARM_UP_EVENTS + events, batch_events):
        state.apply(take(rows, slice(start, start + batch_events)), Kind.SCORED)
    return meter.read(events, keys=len(state), state_bytes_per_key=state.nbytes / len(state))


def _rows(count: int) -> Columns:
    table = generate(workload("w1")).transactions
    table = table.slice(0, min(count, table.num_rows))
    return {
        "pos": np.array([position(i) for i in range(table.num_rows)], np.int64),
        "customer_id": strings(table["customer_id"].to_pylist()),
        "terminal_id": strings(table["terminal_id"].to_pylist()),
        "event_time": np.asarray(table["event_time"]),
        "amount_minor": np.asarray(table["amount_minor"]),
    }
