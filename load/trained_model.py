"""A model of some trees for benchmarks and chaos runs: trained on given vectors, registered and promoted."""

from collections.abc import Mapping
from pathlib import Path

import lightgbm
import numpy as np
import orjson
from numpy.typing import NDArray

from features.service_meaning import service_meaning
from inference.models.manifest import GOLDEN_FILE, MODEL_FILE
from inference.release.registry import Change, Registry
from load.this_project import DEFINITIONS_HASH, PROJECT, SERVICE

GOLDEN_ROWS = 16
Floats = NDArray[np.float64]


def promote_trained(
    models: Path, who: str, drawn: tuple[Floats, Floats], trees: int, shares: Mapping[str, float]
) -> str:
    """Train on vectors (n, f) and what is positive (n,), promote, and return the version.

    Args:
        who: promotes it; the model is called so too.
        drawn: the vectors, columns of this process's project's service, and 1 where a row is positive.
        shares: of the rows, by decision, that score above its threshold.
    """
    vectors, positive = drawn
    data = lightgbm.Dataset(vectors, positive, feature_name=list(SERVICE.columns))
    parameters = {"objective": "binary", "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": 1}
    text = lightgbm.train(parameters, data, num_boost_round=trees).model_to_string()
    scores = np.asarray(lightgbm.Booster(model_str=text).predict(vectors, num_threads=1))
    manifest = {
        "definitions_hash": DEFINITIONS_HASH,
        "service": SERVICE.name,
        "features": list(SERVICE.columns),
        "categories": {name: list(values) for name, values in SERVICE.categories.items()},
        "feature_hashes": service_meaning(PROJECT).features,
        "thresholds": {name: float(np.quantile(scores, 1 - share)) for name, share in shares.items()},
        "metrics": {},
    }
    files = {MODEL_FILE: text.encode(), GOLDEN_FILE: _golden(vectors[:GOLDEN_ROWS], scores[:GOLDEN_ROWS])}
    change = Change(who=who, at_ms=0, why=f"a {who} run needs some model")
    registry = Registry(models)
    return registry.promote(registry.add(who, files, manifest, change).id, change).version


def _golden(vectors: Floats, scores: Floats) -> bytes:
    rows = [[None if np.isnan(value) else float(value) for value in row] for row in vectors]
    return orjson.dumps({"vectors": rows, "scores": scores.tolist()})
