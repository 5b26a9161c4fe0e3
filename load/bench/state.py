"""Scenario `state`: memory of a million customers, bytes of one with full windows, and idle ones gone."""

import gc
from pathlib import Path

import numpy as np

from contracts.frame import Columns, Kind, position
from feature_repo.generator.plan import START_MS
from features.aggregations.distinct import ITEMS_MAX
from features.definition import DAY_MS
from features.state import EntityState
from load.bench.activity import Activity, numbered
from load.bench.apart import apart
from load.bench.measure import Figures, Meter
from load.bench.outcome import Outcome
from load.this_project import CUSTOMER

CUSTOMERS, EVENTS = 1_000_000, 6_000_000
FULL_CUSTOMERS = 20_000
LATER_CUSTOMERS = 50_000
ORDINARY_TERMINALS = 30
PAGE_KIB = 4


def run() -> Outcome:
    """Measure each in a process of its own."""
    ordinary = apart(million)
    full = apart(full_windows, ORDINARY_TERMINALS)
    bounded = apart(full_windows, ITEMS_MAX * 2)
    return Outcome(
        figures=ordinary,
        parts={"full windows": full, "full windows and terminals": bounded},
        more={
            "state_bytes_per_full_key": full.extra["state_bytes_per_key"],
            "state_bytes_per_fullest_key": bounded.extra["state_bytes_per_key"],
        },
        seed=Activity(1, 1).seed,
        notes=[
            f"{CUSTOMERS:,} customers, {EVENTS:,} payments over 30 days, default features",
            "then 50,000 of them go on for 90 days: `keys_after_idle` is who is left",
            f"full windows: a payment in every tile of every window, {ORDINARY_TERMINALS} terminals",
            f"and terminals: more of them than the {ITEMS_MAX} a sketch keeps",
        ],
    )


def million() -> Figures:
    """Fold a month of a million customers, then let most of them fall idle."""
    before_mib = _rss_mib()
    state = EntityState(CUSTOMER)
    meter = Meter()
    for rows in Activity(CUSTOMERS, EVENTS).chunks():
        state.apply(rows, Kind.SCORED)
    gc.collect()
    held = {"keys": float(len(state)), "state_bytes_per_key": state.nbytes / len(state)}
    held |= {"rss_mib": _rss_mib(), "rss_before_mib": before_mib}
    figures = meter.read(EVENTS, **held)
    later = Activity(
        LATER_CUSTOMERS, 20 * LATER_CUSTOMERS, days=90.0, seed=32, start_ms=START_MS + 30 * DAY_MS
    )
    for rows in later.chunks():
        state.apply(rows, Kind.SCORED)
    return Figures(
        events=figures.events, wall_s=figures.wall_s, cpu_s=figures.cpu_s, peak_rss_mib=figures.peak_rss_mib,
        extra={**figures.extra, "keys_after_idle": float(len(state))},
    )  # fmt: skip


def full_windows(terminals: int) -> Figures:
    """Fold payments so that every tile of every window of every key is there."""
    state = EntityState(CUSTOMER)
    meter = Meter()
    times = _moments()
    for number, time_ms in enumerate(times):
        state.apply(_everyone(number, time_ms, terminals), Kind.SCORED)
    keys = numbered(b"c", np.arange(FULL_CUSTOMERS), 7)
    packed = sum(map(len, state.export(keys))) / FULL_CUSTOMERS
    return meter.read(
        len(times) * FULL_CUSTOMERS,
        keys=float(len(state)),
        state_bytes_per_key=state.nbytes / len(state),
        packed_bytes_per_key=packed,
    )


def _moments() -> list[int]:
    """Return, ascending, moments in every tile of every window, and enough of them for a full sketch."""
    end_ms = START_MS + 32 * DAY_MS
    steps = [(w.length_ms, w.hop_ms) for view in CUSTOMER.views for w in view.windows]
    found = {end_ms - back for length, hop in steps for back in range(0, length + hop, hop // 4)}
    return sorted(found)


def _everyone(number: int, time_ms: int, terminals: int) -> Columns:
    who = np.arange(FULL_CUSTOMERS)
    return {
        "pos": position(number) + who,
        "customer_id": numbered(b"c", who, 7),
        "terminal_id": numbered(b"m", (who + number * 7) % terminals, 5),
        "event_time": np.full(FULL_CUSTOMERS, time_ms),
        "amount_minor": 100 + (who * 37 + number * 101) % 50_000,
    }


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * PAGE_KIB / 1024
