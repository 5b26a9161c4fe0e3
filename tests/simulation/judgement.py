"""Hands what a run left behind to the oracle, in the oracle's words."""

import math
import struct
from collections.abc import Sequence
from typing import Any

from load.this_project import CUSTOMER, SERVICE, TERMINAL
from tests.simulation.oracle_pipeline import Durable, Judge, KeyState, Letter
from tests.simulation.workers import EPOCH, Stage

FRAMES = ("events.customer", "events.terminal", "features.log")
PREFIX = "headrace.dlq."
NULL_BITS = 0x7FF8000000000000


def judge_payments(simulation: Any) -> list[str]:
    """Return what is wrong with what is durable."""
    entities = {"customer": CUSTOMER, "terminal": TERMINAL}
    return Judge(durable(simulation), entities, SERVICE.columns, score_of).judge()


def durable(simulation: Any) -> Durable:
    """Gather logs, states and store."""
    logs = simulation.broker.logs
    return Durable(
        raw={
            place: [(r.key, r.value, r.timestamp_ms) for r in log]
            for place, log in logs.items()
            if place[0] in ("transactions", "labels")
        },
        frames={place: [r.value for r in log] for place, log in logs.items() if place[0] in FRAMES},
        letters={
            place: [_letter(r) for r in log if r.txn is None or _is_read(r)]
            for place, log in logs.items()
            if place[0].endswith(".dlq")
        },
        predictions=[
            r.value for place, log in logs.items() if place[0] == "predictions" for r in log if _is_read(r)
        ],
        states=_states(simulation),
        store={
            key: KeyState(
                _floats(row.values), row.stamp[1] if row.stamp[0] == EPOCH else -1, row.event_time_ms
            )
            for key, row in simulation.store.rows.items()
        },
    )


def score_of(values: Sequence[float]) -> float:
    """The model of the simulation, spelled out."""
    total = 0
    for at, value in enumerate(values):
        bits = NULL_BITS if math.isnan(value) else int.from_bytes(struct.pack("<d", value), "little")
        weight = (at + 1) * 0x9E3779B97F4A7C15
        total = (total + bits * weight) % 2**64
    return (total >> 12) / 2.0**52


def _is_read(record: Any) -> bool:
    return not record.control and record.txn.state == "committed"


def _letter(record: Any) -> Letter:
    facts = {name.removeprefix(PREFIX): value.decode() for name, value in record.headers}
    return record.key, record.value, facts


def _states(simulation: Any) -> dict[tuple[str, bytes], KeyState]:
    found = {}
    for worker in simulation.live.values():
        if isinstance(worker, Stage):
            for live in worker.worker._live.values():
                newest = live.partition.core.rows.latest()
                for at, key in enumerate(newest.keys.tolist()):
                    values = newest.values[at].tolist()
                    found[worker.role, key] = KeyState(
                        values, int(newest.positions[at]), int(newest.event_time_ms[at])
                    )
    return found


def _floats(data: bytes) -> list[float]:
    return [value for (value,) in struct.iter_unpack("<d", data)]
