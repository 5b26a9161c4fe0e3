"""What the whole watch costs in the scorer's path: all columns of the service, by the size of batches."""

import time

import numpy as np

from inference.drift.baseline import measure, with_columns
from inference.drift.season import CALENDAR
from inference.drift.settings import DriftSettings
from inference.drift.watch import DriftWatch
from load.bench.drift.scenes import MONDAY_MS
from load.this_project import PROJECT, SERVICE

ROWS = 131_072
BATCHES = (100, 1000, 4096)
REPEATS = 3


def watch_cost(settings: DriftSettings | None = None) -> dict[str, float]:
    """Return CPU microseconds an event by rows a batch: the least of three runs, warm."""
    rng = np.random.default_rng(7)
    names = [name for name in SERVICE.columns if name not in CALENDAR]
    vectors = rng.lognormal(3, 1, (ROWS, len(SERVICE.columns)))
    vectors[rng.random(vectors.shape) < 0.03] = np.nan
    event_ms = MONDAY_MS + np.arange(ROWS) * 5000  # a week of it
    scores, refused = rng.beta(1, 20, ROWS), (rng.random(ROWS) < 0.01).astype(np.uint8)
    inputs = vectors[:, [SERVICE.columns.index(name) for name in names]]
    null = np.asarray(np.isnan(inputs).mean(axis=1), np.float64)
    usual = measure(names, inputs, event_ms, {"null_share": null})
    shares = {"refused": refused.astype(np.float64)}
    usual = with_columns(usual, measure(["score"], scores[:, None], event_ms, shares))
    partitions = np.zeros(ROWS, np.int32)
    found = {}
    for batch in BATCHES:
        took = []
        for _ in range(REPEATS):
            watch = DriftWatch(SERVICE.columns, PROJECT, settings)
            watch.model_is("bench/1", usual)
            watch.restart([0], "bench")
            began_s = time.process_time()
            for at in range(0, ROWS, batch):
                part = slice(at, at + batch)
                watch.feed(partitions[part], event_ms[part], vectors[part], scores[part], refused[part])
            took.append(time.process_time() - began_s)
        found[str(batch)] = round(1e6 * min(took) / ROWS, 4)
    return found
