"""Each figure against its definition spelled out."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.offline.training.metrics_offline import (
    Judged,
    average_precision,
    brier,
    precision_at_keys,
    reliability,
    roc_auc,
)

DAY_MS = 86_400_000
ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(0, 2), st.integers(0, 4)),
    min_size=1, max_size=30,
)  # fmt: skip


def slow_auc(rows: list[tuple[int, float]]) -> float:
    pairs = [(f, g) for (a, f), (b, g) in itertools.product(rows, rows) if a == 1 and b == 0]
    if not pairs:
        return float("nan")
    return float(sum(Fraction(2 if f > g else 1 if f == g else 0, 2) for f, g in pairs) / len(pairs))


def slow_average_precision(rows: list[tuple[int, float]]) -> float:
    frauds = sum(fraud for fraud, _ in rows)
    if not frauds:
        return float("nan")
    total, before = Fraction(0), 0
    for threshold in sorted({score for _, score in rows}, reverse=True):
        taken = [fraud for fraud, score in rows if score >= threshold]
        total += Fraction(sum(taken), len(taken)) * Fraction(sum(taken) - before, frauds)
        before = sum(taken)
    return float(total)


@given(rows=ROWS)
def test_figures_are_those_of_the_definition(rows: list[tuple[int, float, int, int]]) -> None:
    fraud = np.array([row[0] for row in rows])
    score = np.array([row[1] for row in rows])
    pairs = [(row[0], row[1]) for row in rows]
    assert roc_auc(fraud, score) == pytest.approx(slow_auc(pairs), nan_ok=True)
    assert average_precision(fraud, score) == pytest.approx(slow_average_precision(pairs), nan_ok=True)
    assert brier(fraud, score) == pytest.approx(np.mean([(s - f) ** 2 for f, s in pairs]))


@given(rows=ROWS, cards=st.integers(1, 3))
def test_precision_at_keys_calls_the_customers_with_the_highest_scores(
    rows: list[tuple[int, float, int, int]], cards: int
) -> None:
    score = np.linspace(0, 1, len(rows))  # no ties: whom a team calls first among equals is not defined
    judged = Judged(
        positive=np.array([row[0] for row in rows]), score=score,
        event_ms=np.array([row[2] * DAY_MS for row in rows]),
        key=np.array([f"c{row[3]}".encode() for row in rows]),
    )  # fmt: skip
    shares = []
    for day in sorted({row[2] for row in rows}):
        best: dict[int, float] = {}
        bad: dict[int, int] = {}
        for (fraud, _, its_day, customer), value in zip(rows, score.tolist(), strict=True):
            if its_day == day:
                best[customer] = max(best.get(customer, -1.0), value)
                bad[customer] = max(bad.get(customer, 0), fraud)
        called = sorted(best, key=lambda customer: -best[customer])[:cards]
        shares.append(sum(bad[customer] for customer in called) / len(called))
    assert precision_at_keys(judged, cards) == pytest.approx(sum(shares) / len(shares))


def test_bins_of_a_calibrated_score_show_the_share_they_promise() -> None:
    chance = np.random.default_rng(3)
    score = chance.random(20_000)
    fraud = (chance.random(20_000) < score).astype(np.int64)
    bins = reliability(fraud, score)
    assert sum(part["rows"] for part in bins) == 20_000
    assert all(abs(part["score_mean"] - part["positive_share"]) < 0.04 for part in bins)
