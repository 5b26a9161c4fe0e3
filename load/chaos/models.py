"""Models for chaos runs of any project: trees on drawn vectors, whose scores only have to be reproduced."""

from pathlib import Path

import lightgbm
import numpy as np
import orjson
from numpy.typing import NDArray

from features.catalog import DECISIONS, DEFINITIONS_HASH, PROJECT, SERVICE
from features.service_meaning import service_meaning
from inference.models.manifest import GOLDEN_FILE, MODEL_FILE
from inference.release.registry import Change, Registry

ROWS, GOLDEN_ROWS = 4_000, 16
POSITIVE_SHARE, NULL_SHARE = 0.15, 0.15
SHARES = (0.05, 0.01)  # of events above the least and the greatest threshold


def promote_random_model(models: Path, trees: int, seed: int) -> str:
    """Train on drawn vectors of this process's project, promote, and return the version."""
    rng = np.random.default_rng([seed, trees])
    vectors = _vectors(rng)
    known = np.nan_to_num(vectors)
    score = np.log1p(np.abs(known[:, :: max(1, known.shape[1] // 6)])).sum(axis=1) + rng.normal(0, 1, ROWS)
    positive = (score > np.quantile(score, 1 - POSITIVE_SHARE)).astype(np.float64)
    data = lightgbm.Dataset(vectors, positive, feature_name=list(SERVICE.columns))
    parameters = {"objective": "binary", "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": 1}
    text = lightgbm.train(parameters, data, num_boost_round=trees).model_to_string()
    scores = np.asarray(lightgbm.Booster(model_str=text).predict(vectors, num_threads=1))
    shares = np.linspace(*SHARES, len(DECISIONS.severer))
    manifest = {
        "definitions_hash": DEFINITIONS_HASH,
        "service": SERVICE.name,
        "features": list(SERVICE.columns),
        "categories": {name: list(values) for name, values in SERVICE.categories.items()},
        "feature_hashes": service_meaning(PROJECT).features,
        "thresholds": {
            name: float(np.quantile(scores, 1 - share))
            for name, share in zip(DECISIONS.severer, shares, strict=True)
        },
        "metrics": {},
    }
    files = {MODEL_FILE: text.encode(), GOLDEN_FILE: _golden(vectors[:GOLDEN_ROWS], scores[:GOLDEN_ROWS])}
    change = Change(who="chaos", at_ms=0, why="a chaos run needs some model")
    registry = Registry(models)
    return registry.promote(registry.add("chaos", files, manifest, change).id, change).version


def _vectors(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return rows of the service's columns: counts of many sizes, codes of categories, nulls."""
    columns = []
    for name in SERVICE.columns:
        values = SERVICE.categories.get(name)
        if values:
            columns.append(rng.integers(0, len(values) + 1, ROWS).astype(np.float64))
            continue
        column = np.floor(rng.lognormal(0.5, 1.5, ROWS))
        column[rng.random(ROWS) < NULL_SHARE] = np.nan
        columns.append(column)
    return np.column_stack(columns)


def _golden(vectors: NDArray[np.float64], scores: NDArray[np.float64]) -> bytes:
    rows = [[None if np.isnan(value) else float(value) for value in row] for row in vectors]
    return orjson.dumps({"vectors": rows, "scores": scores.tolist()})
