"""Scenario `label-alignment`: where labels stand among the payments of a replay of files, and its price.

The card data (`HANDBOOK_DATA`) goes through `headrace demo`, payments and labels as two files, as fast as
they are digested. Then the run's lake says of every payment which labels its terminal had, and of every label
which payments were before it. Beside that stands what the declared window holds when each label stands at the
very moment at which it became known: tiles counted here, by no code of the product.

    python -m load.bench.label_alignment SUMMARY.json     a demo that has run: its summary
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import ConfigError
from features.definition import Window
from inference.offline.lake.lake import Lake
from load.bench.measure import Figures
from load.bench.outcome import Outcome
from load.this_project import ENTITIES, PROJECT
from runtime import launch

FEATURE, KEY = "terminal_labels_1d", "terminal_id"
ENTITY = ENTITIES[-1].name
FILES = ("transactions-2018q2.parquet", "labels-2018q2.parquet")
HOUR_MS = 3_600_000
PERCENT = (1, 10, 50, 90, 99, 99.9)
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def run() -> Outcome:
    """Run the demo on all of the card data, and measure its lake.

    Raises:
        ConfigError: E_INPUT_FILE, the card data is not there.
        RuntimeError: the demo's counts do not add up.
    """
    folder = Path(os.environ.get("HANDBOOK_DATA", "data/handbook"))
    files = [folder / name for name in FILES]
    if not all(file.is_file() for file in files):
        raise ConfigError("E_INPUT_FILE", f"no {FILES[0]}", str(folder), "name the folder with HANDBOOK_DATA")
    summary_file = Path(f"label-alignment-{time.time_ns()}.json")
    try:
        demo = ("demo", "--input", str(files[0]), "--labels", str(files[1]), "--json", str(summary_file))
        subprocess.run(launch.command("headrace", *demo), check=True)
        summary = orjson.loads(summary_file.read_bytes())
    finally:
        summary_file.unlink(missing_ok=True)
    if summary["problems"]:
        raise RuntimeError(f"the demo's counts do not add up: {summary['problems']}")
    seconds = summary["seconds"]["history"] + summary["seconds"]["live"]
    return Outcome(
        figures=Figures(events=summary["events_in"], wall_s=seconds, cpu_s=0.0, peak_rss_mib=0.0),
        seed=0,
        more={"demo": _kept(summary), **measured(Lake(Path(summary["run"]) / "lake", PROJECT))},
        notes=["the demo's events a second are of its parts at full speed, training apart"],
    )


def measured(lake: Lake) -> dict[str, Any]:
    """Return how `terminal_labels_1d` compares with labels at their own moments, and where labels stand."""
    place = f"{ENTITY}_partition", f"{ENTITY}_pos"
    payments = lake.read("features", [KEY, "event_time", FEATURE, *place])
    labels = lake.read("label_log", [KEY, "label_time", *place])
    due = ideal(
        _codes(payments, labels), _ints(payments, "event_time"), _ints(labels, "label_time"), window()
    )
    found = np.asarray(payments[FEATURE].to_numpy(), np.float64)
    return {
        "rows": len(due),
        "labels": labels.num_rows,
        "equal_share": round(float((found == due).mean()), 5),
        "mean_found": round(float(found.mean()), 5),
        "mean_due": round(float(due.mean()), 5),
        "mean_ratio": round(float(found.mean() / due.mean()), 5),
        "too_few_share": round(float((found < due).mean()), 5),
        "too_many_share": round(float((found > due).mean()), 5),
        "label_hours_behind": _standing(payments, labels, place),
    }


def window() -> Window:
    """Return the window of the feature, as it is declared."""
    declared = (feature for entity in ENTITIES for view in entity.views for feature in view.features)
    return next(one.window for one in declared if one.name == FEATURE and one.window is not None)


def ideal(keys: tuple[Ints, Ints], event_ms: Ints, label_ms: Ints, seen: Window) -> Floats:
    """Return for each payment how many labels of its terminal its window holds (n,).

    A label counts from its own moment on, until the tile that it is in has left the window.

    Args:
        keys: of the payments (n,) and of the labels (m,), as numbers.

    >>> hour = Window.of(hours=1)
    >>> ideal((np.array([1, 1, 2]), np.array([1, 1])), np.array([5, 9, 9]), np.array([5, 8]), hour).tolist()
    [1.0, 2.0, 0.0]
    """
    span_ms = int(max(event_ms.max(), label_ms.max(), 0)) + seen.length_ms + 1
    order = np.sort(keys[1] * span_ms + label_ms)
    first_ms = np.maximum((event_ms - seen.length_ms) // seen.hop_ms * seen.hop_ms, 0)
    until = np.searchsorted(order, keys[0] * span_ms + event_ms, side="right")
    since = np.searchsorted(order, keys[0] * span_ms + first_ms, side="left")
    return (until - since).astype(np.float64)


def _standing(payments: pa.Table, labels: pa.Table, place: tuple[str, str]) -> dict[str, float]:
    """Return by how many hours of event time labels stand behind their moment; less than 0: before it.

    Behind: the newest payment before it in the last stage's input is that much later than the label. Before:
    the first payment after it is that much earlier.
    """
    hours: list[Floats] = []
    for number in np.unique(_ints(payments, place[0])).tolist():
        own, others = (_ints(t, place[0]) == number for t in (payments, labels))
        at, label_at = _ints(payments, place[1])[own], _ints(labels, place[1])[others]
        order = np.argsort(at, kind="stable")
        times, label_ms = _ints(payments, "event_time")[own][order], _ints(labels, "label_time")[others]
        behind = np.searchsorted(at[order], label_at)
        newest = np.maximum.accumulate(times)[np.maximum(behind - 1, 0)]
        following = np.minimum.accumulate(times[::-1])[::-1][np.minimum(behind, len(times) - 1)]
        off_ms = np.where(newest > label_ms, newest - label_ms, np.minimum(following - label_ms, 0))
        hours.append(off_ms / HOUR_MS)
    off = np.concatenate(hours)
    shares = {f"p{p}": round(float(np.percentile(off, p)), 3) for p in PERCENT}
    return {
        "mean": round(float(off.mean()), 3), **shares,
        "least": round(float(off.min()), 3), "most": round(float(off.max()), 3),
        "before_share": round(float((off < 0).mean()), 5),
    }  # fmt: skip


def _codes(payments: pa.Table, labels: pa.Table) -> tuple[Ints, Ints]:
    """Return the keys of both as numbers."""
    both = pa.chunked_array([*payments[KEY].chunks, *labels[KEY].chunks]).combine_chunks()
    codes = np.asarray(both.dictionary_encode().indices.to_numpy(), np.int64)
    return codes[: payments.num_rows], codes[payments.num_rows :]


def _ints(table: pa.Table, name: str) -> Ints:
    return np.asarray(table[name].to_numpy(), np.int64)


def _kept(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what of the demo's summary is stored."""
    names = (
        "events_in", "labels_in", "predictions", "duplicates", "events_per_second", "latency_ms", "model",
        "drift_incidents", "drift_alerts", "seconds",
    )  # fmt: skip
    return {name: summary[name] for name in names}


if __name__ == "__main__":
    shown = orjson.loads(Path(sys.argv[1]).read_bytes())
    report = {"demo": _kept(shown), **measured(Lake(Path(shown["run"]) / "lake", PROJECT))}
    sys.stdout.write(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode() + "\n")
