"""From raw scores to probabilities: near the truth for every pool, in the order of the scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.models import calibration
from inference.models.calibration import Calibration
from inference.offline.training.metrics_offline import calibration_error


def test_ten_thousand_payments_without_a_fraud_get_about_nothing() -> None:
    fraud = np.array([0] * 10_000 + [1, 0] * 50)
    score = np.array([0.3] * 10_000 + [0.8] * 100)
    found = calibration.fit(fraud, score).apply(np.array([0.01, 0.3, 0.8]))
    assert 0 < found[0] < found[1] < 1e-4
    assert found[2] == pytest.approx(0.5)


def test_a_pool_of_nothing_but_frauds_gets_about_one() -> None:
    fraud = np.array([1, 0] * 50 + [1] * 5000)
    score = np.array([0.3] * 100 + [0.6] * 5000)
    assert calibration.fit(fraud, score).apply(np.array([0.3, 0.6])) == pytest.approx([0.5, 1.0], abs=1e-3)


def test_a_whole_pool_without_a_fraud_gets_about_nothing_up_to_its_end() -> None:
    score = np.append(np.linspace(0.0, 0.4, 10_000), np.full(100, 0.8))
    fraud = np.append(np.zeros(10_000, np.int64), [1, 0] * 50)
    assert calibration.fit(fraud, score).apply(np.linspace(0.0, 0.4, 50)).max() < 1e-4


@pytest.mark.parametrize(("outcome", "expected"), [(0, 0.0), (1, 1.0)])
@pytest.mark.parametrize("at", [2**-40, 0.2, 1.0 - 2**-40])
def test_one_outcome_alone_is_as_sure_as_it_can_be(outcome: int, expected: float, at: float) -> None:
    found = calibration.fit(np.full(1000, outcome), np.full(1000, at))
    assert found.apply(np.array([at])) == pytest.approx([expected], abs=2e-3)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 400), st.sampled_from([0.0, 0.02, 0.5, 1.0]), st.integers(1, 60))
def test_whatever_the_payments_the_line_rises_and_ships(
    seed: int, rows: int, share: float, values: int
) -> None:
    chance = np.random.default_rng(seed)
    score = chance.integers(0, values + 1, rows) / values
    found = calibration.fit((chance.random(rows) < share).astype(np.int64), score)
    assert isinstance(found, Calibration), "the breakpoints are checked where one is made"
    different = np.unique(score)
    assert (np.diff(found.apply(different)) > 0).all(), "no two scores become one"


def test_rare_frauds_keep_their_mean_and_are_not_told_too_high() -> None:
    chance = np.random.default_rng(0)
    x = chance.normal(size=100_000)
    truth = 1 / (1 + np.exp(8 - 2 * x))
    fraud = (chance.random(len(x)) < truth).astype(np.int64)
    odds = np.exp(2 * x - 8) * 50  # as frauds that weigh fifty times would have it
    found = calibration.fit(fraud, odds / (1 + odds)).apply(odds / (1 + odds))
    assert found.mean() == pytest.approx(fraud.mean(), rel=0.06)
    assert calibration_error(fraud, found) < 4e-4
