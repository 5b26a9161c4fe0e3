"""Versions of a registry: such as are enough for who is in service, and small models that pass every gate."""

import math
from typing import Any

import numpy as np
import orjson

from inference.release.registry import Change, Registry
from load.this_project import DEFINITIONS_HASH, SERVICE
from tests.unit.inference.support import trained_text

CHANGE = Change(who="tester", at_ms=1, why="because")
MANIFEST = {
    "definitions_hash": "0" * 16, "features": ["a"], "thresholds": {"review": 0.1, "decline": 0.9},
    "metrics": {"average_precision": 0.5},
}  # fmt: skip
REPORT: dict[str, Any] = {
    "quality": {"reliability": [{"rows": 50, "score_mean": 0.01, "positive_share": 0.012}]},
    "comparison": {
        "logistic_regression": {"gain": 0.1}, "constant": {"gain": 0.4}, "champion": {"gain": 0.01},
    },
    "segments": [{"disparate_impact": 1.0}, {"disparate_impact": 0.95}, {"disparate_impact": math.nan}],
    "latency": {"1000_rows": {"p99_ms": 6.0}},
}  # fmt: skip


def add(registry: Registry, text: bytes = b"tree") -> str:
    """Add a version and return its id."""
    return registry.add("fraud", {"model.txt": text, "golden.json": b"{}"}, MANIFEST, CHANGE).id


def offer(
    registry: Registry,
    seed: int = 1,
    golden_text: str = "",
    report: dict[str, Any] = REPORT,
    against: str = "",
) -> str:
    """Add a small model with a report, compared with the champion `against`, and return its id."""
    import lightgbm

    if against:
        known = {**report["comparison"], "champion": {"gain": 0.01, "against": against}}
        report = {**report, "comparison": known}

    text = trained_text(trees=3, leaves=5, seed=seed)
    rows = np.random.default_rng(1).gamma(2.0, 3.0, (8, len(SERVICE.columns)))
    scores = lightgbm.Booster(model_str=golden_text or text).predict(rows, num_threads=1)
    files = {
        "model.txt": text.encode(), "report.json": orjson.dumps(report),
        "golden.json": orjson.dumps({"vectors": rows.tolist(), "scores": np.asarray(scores).tolist()}),
    }  # fmt: skip
    manifest = {"definitions_hash": DEFINITIONS_HASH, "features": list(SERVICE.columns)}
    return registry.add("fraud", files, manifest, CHANGE).id
