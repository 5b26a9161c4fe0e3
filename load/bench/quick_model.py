"""A model for benchmarks: a hundred trees on the features of a workload's first payments, made in seconds.

Its features come from the same windows as the service's, so that scores, and with them the share of
payments that need reasons, are of the usual kind. It has no batch features and is not meant to be good.
"""

from pathlib import Path

import lightgbm
import numpy as np
import orjson
from numpy.typing import NDArray

from contracts.frame import Columns, Kind, position, strings
from feature_repo.generator.frauds import Pattern
from feature_repo.generator.payments import Generated
from features.catalog import CUSTOMER, CUSTOMER_PROFILE, DEFINITIONS_HASH, PROJECT, SERVICE, TERMINAL
from features.service_meaning import service_meaning
from features.state import EntityState
from features.vector import vectors_of
from inference.models.manifest import GOLDEN_FILE, MODEL_FILE
from inference.release.registry import Change, Registry

TREES = 100
REVIEW_SHARE, DECLINE_SHARE = 0.01, 0.001
GOLDEN_ROWS = 16


def promote_quick_model(models: Path, made: Generated, rows: int = 30_000, trees: int = TREES) -> str:
    """Train on the first `rows` deliveries of a workload, promote, and return the version."""
    vectors = _vectors(made, rows)
    fraud = (made.pattern[:rows] != Pattern.HONEST).astype(np.float64)
    data = lightgbm.Dataset(vectors, fraud, feature_name=list(SERVICE.columns))
    parameters = {"objective": "binary", "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": 1}
    text = lightgbm.train(parameters, data, num_boost_round=trees).model_to_string()
    booster = lightgbm.Booster(model_str=text)
    scores = np.asarray(booster.predict(vectors, num_threads=1))
    manifest = {
        "definitions_hash": DEFINITIONS_HASH,
        "service": SERVICE.name,
        "features": list(SERVICE.columns),
        "categories": {name: list(values) for name, values in SERVICE.categories.items()},
        "feature_hashes": service_meaning(PROJECT).features,
        "thresholds": {
            "review": float(np.quantile(scores, 1 - REVIEW_SHARE)),
            "decline": float(np.quantile(scores, 1 - DECLINE_SHARE)),
        },
        "metrics": {},
    }
    files = {MODEL_FILE: text.encode(), GOLDEN_FILE: _golden(vectors[:GOLDEN_ROWS], scores[:GOLDEN_ROWS])}
    change = Change(who="bench", at_ms=0, why="a benchmark needs some model")
    registry = Registry(models)
    return registry.promote(registry.add("bench", files, manifest, change).id, change).version


def _vectors(made: Generated, rows: int) -> NDArray[np.float64]:
    table = made.transactions.slice(0, rows)
    events: Columns = {
        "pos": np.array([position(i) for i in range(rows)], np.int64),
        "customer_id": strings(table["customer_id"].to_pylist()),
        "terminal_id": strings(table["terminal_id"].to_pylist()),
        "event_time": np.asarray(table["event_time"]),
        "amount_minor": np.asarray(table["amount_minor"]),
    }
    customer = EntityState(CUSTOMER).apply(events, Kind.SCORED).values
    terminal = EntityState(TERMINAL).apply(events, Kind.SCORED).values
    profile = np.full((rows, len(CUSTOMER_PROFILE.columns)), np.nan)
    return vectors_of(PROJECT).assemble(events, (customer, terminal), profile)


def _golden(vectors: NDArray[np.float64], scores: NDArray[np.float64]) -> bytes:
    rows = [[None if np.isnan(value) else float(value) for value in row] for row in vectors]
    return orjson.dumps({"vectors": rows, "scores": scores.tolist()})
