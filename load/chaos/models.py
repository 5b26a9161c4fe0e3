"""Models for chaos runs of any project: trees on drawn vectors, whose scores only have to be reproduced."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from load.this_project import DECISIONS, SERVICE
from load.trained_model import promote_trained

ROWS = 4_000
POSITIVE_SHARE, NULL_SHARE = 0.15, 0.15
SHARES = (0.05, 0.01)  # of events above the least and the greatest threshold


def promote_random_model(models: Path, trees: int, seed: int) -> str:
    """Train on drawn vectors of this process's project, promote, and return the version."""
    rng = np.random.default_rng([seed, trees])
    vectors = _vectors(rng)
    known = np.nan_to_num(vectors)
    score = np.log1p(np.abs(known[:, :: max(1, known.shape[1] // 6)])).sum(axis=1) + rng.normal(0, 1, ROWS)
    positive = (score > np.quantile(score, 1 - POSITIVE_SHARE)).astype(np.float64)
    shares = np.linspace(*SHARES, len(DECISIONS.severer)).tolist()
    return promote_trained(
        models, "chaos", (vectors, positive), trees, dict(zip(DECISIONS.severer, shares, strict=True))
    )


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
