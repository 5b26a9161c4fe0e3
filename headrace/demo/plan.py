"""What a demo does, worked out before it starts: which rows are history, which are live, which are paced."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACED_EVENTS_MAX = 20_000
REFRESH_MS = 7 * 86_400_000  # of event time: the batch views are made again before they are too old to serve
FAULT_RATE = 300.0  # records a second while a fault strikes: enough to show that input remains
FAULT_MARGIN_S = 12.0  # live traffic before and after a fault, together


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is injected while live records come; nothing by default."""

    malformed_ratio: float = 0.0
    redis_outage_s: float = 0.0
    redis_flush: bool = False
    kafka_restart: bool = False

    @property
    def server_seconds(self) -> float:
        """Return how long the servers' faults take together, with margins; 0 when there are none."""
        outage = self.redis_outage_s + FAULT_MARGIN_S if self.redis_outage_s else 0.0
        flush = FAULT_MARGIN_S if self.redis_flush else 0.0
        restart = 20.0 + FAULT_MARGIN_S if self.kafka_restart else 0.0
        return outage + flush + restart


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """A demo's input and sizes.

    Args:
        workload: what the project's generator makes where no file is given; None for its usual one.
        files: `SOURCE=FILE`, or the file of the scored source.
        events: at most this many scored records.
        paced_ratio: a share of the live part, that comes at `paced_rate` records a second.
        paced_speed: everything comes in its own event time, this many times as fast.
    """

    workload: str | None = None
    files: tuple[str, ...] = ()
    labels_file: Path | None = None
    events: int | None = None
    history_ratio: float = 0.6
    paced_ratio: float = 0.1
    paced_rate: float = 1_000.0
    paced_speed: float | None = None
    faults: Faults = field(default_factory=Faults)
    partitions: int = 1  # as many as workers of a kind: more lanes only make smaller batches
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Parts:
    """Row numbers: history [0, live); live: full speed, [faults, paced) faults, [paced, end) paced."""

    live: int
    faults: int
    paced: int
    end: int


def parts(moment_ms: NDArray[np.int64], plan: DemoPlan) -> Parts:
    """Cut rows in delivery order: history is the first `history_ratio` of them, cut between two moments.

    Rows of one moment stay together, so that history is a range of event time.

    >>> parts(np.arange(100_000), DemoPlan())
    Parts(live=60000, faults=96000, paced=96000, end=100000)
    >>> parts(np.arange(100_000), DemoPlan(paced_speed=3600.0))
    Parts(live=60000, faults=60000, paced=60000, end=100000)
    """
    end = len(moment_ms)
    live = int(np.searchsorted(moment_ms, moment_ms[int(end * plan.history_ratio)])) if end else 0
    fault_events = round(plan.faults.server_seconds * FAULT_RATE)
    if plan.paced_speed is None:
        paced = end - min(round((end - live) * plan.paced_ratio), PACED_EVENTS_MAX)
    else:
        paced = min(live + fault_events, end)
    fault_events = min(fault_events, paced - live)
    return Parts(live, paced - fault_events, paced, end)


def refreshes(moment_ms: NDArray[np.int64], start: int, stop: int, every_ms: int = REFRESH_MS) -> list[int]:
    """Return the rows in (start, stop) before which the batch views are due again, counted from `start`.

    >>> refreshes(np.arange(10) * 2, 0, 10, every_ms=6)
    [3, 6, 9]
    """
    if start >= stop:
        return []
    due_ms = np.arange(int(moment_ms[start]) + every_ms, int(moment_ms[stop - 1]) + 1, every_ms)
    rows = np.unique(start + np.searchsorted(moment_ms[start:stop], due_ms))
    return [int(row) for row in rows]
