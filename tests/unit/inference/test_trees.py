"""The highest score within bounds is one that nothing inside exceeds; thresholds are where scores turn."""

import numpy as np
import pytest

from inference.models.calibration import Calibration
from inference.models.manifest import Manifest
from inference.models.model import LightGbmModel
from inference.models.trees import Box
from load.this_project import SERVICE
from tests.unit.inference.support import trained_text

WIDTH = len(SERVICE.columns)


@pytest.fixture(scope="module", params=[None, Calibration(raw=[0.0, 0.3, 1.0], probability=[0.0, 0.05, 1.0])])
def model(request: pytest.FixtureRequest) -> LightGbmModel:
    manifest = Manifest(
        name="fraud",
        version="1",
        definitions_hash="",
        features=list(SERVICE.columns),
        sha256={"model.txt": "a"},
    )
    return LightGbmModel(trained_text(), manifest, calibration=request.param)


def _inside(box: Box, rng: np.random.Generator, count: int) -> np.ndarray:
    low, high = np.maximum(box.low, 0.0), np.minimum(box.high, 60.0)
    vectors = low + rng.random((count, WIDTH)) * (high - low)
    edge = rng.random(vectors.shape)
    vectors = np.where(edge < 0.1, low, np.where(edge > 0.9, high, vectors))
    return np.where(box.nullable & (rng.random(vectors.shape) < 0.1), np.nan, vectors)


def test_no_vector_in_a_box_scores_above_its_ceiling(model: LightGbmModel) -> None:
    rng = np.random.default_rng(1)
    near = 0
    for _ in range(60):
        box = Box.anywhere(WIDTH)
        bounded = rng.random(WIDTH) < 0.5
        box.low[bounded] = rng.random(bounded.sum()) * 5
        box.high[bounded] = box.low[bounded] + rng.gamma(1.0, 4.0, bounded.sum())
        box.nullable[bounded] = rng.random(bounded.sum()) < 0.3
        ceiling, scores = model.ceiling(box), model.predict(_inside(box, rng, 300))
        assert scores.max() <= ceiling
        near += scores.max() > ceiling - 0.2
    assert near > 5, "a bound so loose that it says nothing"


def test_a_box_of_one_vector_has_that_vectors_score(model: LightGbmModel) -> None:
    rng = np.random.default_rng(2)
    for vector in rng.gamma(2.0, 3.0, (50, WIDTH)):
        box = Box(vector, vector, np.zeros(WIDTH, np.bool_))
        assert model.ceiling(box) == pytest.approx(model.predict(vector[None])[0], abs=1e-8)


def test_between_two_thresholds_a_score_does_not_change(model: LightGbmModel) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.gamma(2.0, 3.0, (200, WIDTH))
    moved = vectors.copy()
    for column, marks in enumerate(model.trees.thresholds):
        if len(marks):
            edges = np.concatenate([[0.0], marks, [marks[-1] + 100.0]])
            gap = np.searchsorted(marks, vectors[:, column])
            moved[:, column] = np.nextafter(edges[gap], np.inf) if len(marks) else moved[:, column]
            moved[:, column] = np.where(gap == 0, 0.0, moved[:, column])
    assert np.array_equal(model.predict(moved), model.predict(vectors))
    assert sum(map(len, model.trees.thresholds)) > 50


def test_an_objective_that_is_not_understood_proves_nothing() -> None:
    text = trained_text().replace("objective=binary sigmoid:1", "objective=poisson")
    manifest = Manifest(
        name="fraud",
        version="1",
        definitions_hash="",
        features=list(SERVICE.columns),
        sha256={"model.txt": "a"},
    )
    assert LightGbmModel(text, manifest).ceiling(Box.anywhere(WIDTH)) == 1.0
