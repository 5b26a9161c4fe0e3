"""A null that training never met goes with the majority of a split's rows, and is no 0."""

from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from inference.models.null_paths import with_null_paths
from inference.models.text import check_model_text

NAMES = ["amount", "count", "sometimes_null"]
Floats = NDArray[np.float64]


def _trained(rows: int = 3000, trees: int = 12, leaves: int = 8) -> tuple[str, Floats]:
    """A model for which a first feature near 0 is a fraud, and the feature itself never null."""
    chance = np.random.default_rng(3)
    vectors = np.column_stack([chance.gamma(2, 3, rows), chance.gamma(2, 3, rows), chance.gamma(2, 3, rows)])
    fraud = (vectors[:, 0] < 1.0).astype(int)
    vectors[chance.random(rows) < 0.1, 2] = np.nan
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": leaves}
    data = lightgbm.Dataset(vectors, fraud, feature_name=NAMES)
    return str(lightgbm.train(parameters, data, trees).model_to_string()), vectors


def _scores(text: str, vectors: Floats) -> Floats:
    return np.asarray(lightgbm.Booster(model_str=text).predict(vectors, num_threads=1))


@pytest.fixture(scope="module", params=[8, 2, 60])
def model(request: pytest.FixtureRequest) -> tuple[str, str, Floats]:
    before, vectors = _trained(leaves=request.param)
    return before, with_null_paths(before), vectors


def test_what_training_met_scores_as_before_in_every_bit(model: tuple[str, str, Floats]) -> None:
    before, after, vectors = model
    np.testing.assert_array_equal(_scores(before, vectors), _scores(after, vectors))
    assert check_model_text(after.encode(), NAMES) == 12
    assert with_null_paths(after) == after, "once is enough"


def test_an_unknown_amount_is_not_an_amount_of_nothing(model: tuple[str, str, Floats]) -> None:
    before, after, vectors = model
    unknown, nothing = vectors[:200].copy(), vectors[:200].copy()
    unknown[:, 0], nothing[:, 0] = np.nan, 0.0
    np.testing.assert_array_equal(_scores(before, unknown), _scores(before, nothing))
    assert _scores(before, unknown).min() > 0.5, "LightGBM alone takes every unknown amount for a fraud"
    assert _scores(after, unknown).max() < 0.5


def test_each_null_goes_where_most_rows_of_its_split_went(model: tuple[str, str, Floats]) -> None:
    _, after, _ = model
    roots = [tree["tree_structure"] for tree in lightgbm.Booster(model_str=after).dump_model()["tree_info"]]

    def leaf(node: Mapping[str, Any]) -> float:
        if "split_feature" not in node:
            return float(node["leaf_value"])
        sides = [node[name] for name in ("left_child", "right_child")]
        counts = [side.get("internal_count", side.get("leaf_count")) for side in sides]
        assert node["missing_type"] == "NaN"
        goes_left = node["default_left"] if NAMES[node["split_feature"]] == "sometimes_null" else None
        return leaf(sides[0] if (counts[0] >= counts[1] if goes_left is None else goes_left) else sides[1])

    raw = sum(map(leaf, roots))
    nulls = np.full((1, 3), np.nan)
    assert _scores(after, nulls)[0] == pytest.approx(1 / (1 + np.exp(-raw)))


def test_a_model_of_one_leaf_stays_as_it_is() -> None:
    data = lightgbm.Dataset(np.ones((50, 3)), np.array([0, 1] * 25), feature_name=NAMES)
    text = lightgbm.train({"objective": "binary", "verbosity": -1}, data, 1).model_to_string()
    assert with_null_paths(text) == text
