"""A LightGBM model of a given shape, trained on seeded noise: for measuring speed, never for scores."""

import lightgbm
import numpy as np


def toy_model(features: list[str], trees: int = 100, leaves: int = 15, seed: int = 3) -> lightgbm.Booster:
    """Return a booster with that many trees over these features.

    >>> toy_model(["a", "b"], trees=3).num_trees()
    3
    """
    rng = np.random.default_rng(seed)
    rows = rng.lognormal(3.0, 2.0, (4_000, len(features)))
    fraud = (np.log(rows).sum(axis=1) + rng.normal(0, 2, len(rows)) > 3.2 * len(features)).astype(float)
    parameters = {"objective": "binary", "num_leaves": leaves, "seed": seed, "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(rows, fraud, feature_name=features)
    return lightgbm.train(parameters, data, num_boost_round=trees)
