"""Each part of the report against values worked out by hand on a handful of payments."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.models.manifest import Thresholds
from inference.offline.training import evaluation
from inference.offline.training.evaluation import (
    Evaluated,
    capacity,
    difference,
    evaluate,
    money,
    robustness,
    segments,
)
from inference.offline.training.metrics_offline import (
    Judged,
    calibration_error,
    precision_at_keys,
    recall_at_keys,
)
from inference.offline.training.report_page import page
from load.this_project import PROJECT, SERVICE

DAY_MS = 86_400_000
Floats = NDArray[np.float64]
#        customer  day  fraud  score  amount  night
ROWS = (
    ("a", 0, 1, 0.9, 5000, 0),
    ("b", 0, 0, 0.8, 1000, 0),
    ("c", 0, 1, 0.2, 9000, 1),
    ("d", 0, 0, 0.1, 400, 1),
    ("a", 1, 0, 0.7, 2000, 0),
    ("b", 1, 1, 0.6, 3000, 1),
    ("b", 1, 0, 0.1, 700, 0),
    ("e", 1, 0, 0.3, 100, 1),
)
JUDGED = Judged(
    positive=np.array([row[2] for row in ROWS]),
    score=np.array([row[3] for row in ROWS]),
    event_ms=np.array([row[1] * DAY_MS for row in ROWS]),
    key=np.array([row[0].encode() for row in ROWS]),
)


def _column(name: str) -> int:
    return SERVICE.columns.index(name)


def _evaluated() -> Evaluated:
    vectors = np.zeros((len(ROWS), len(SERVICE.columns)))
    vectors[:, _column("amount_minor")] = [row[4] for row in ROWS]
    vectors[:, _column("is_night")] = [row[5] for row in ROWS]
    vectors[:, _column("customer_count_30d")] = [20, 5, 5, 20, 20, 5, 5, 20]
    return Evaluated(
        project=PROJECT,
        vectors=vectors,
        judged=JUDGED,
        thresholds=Thresholds(review=0.65, decline=0.85),
        review_cost_minor=500,
    )


def test_precision_and_recall_of_a_team_that_calls_two_a_day() -> None:
    # day 0: a (fraud), b; of the frauds a, c one is called. day 1: a, b (fraud): the only fraud is called.
    assert precision_at_keys(JUDGED, 2) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert recall_at_keys(JUDGED, 2) == pytest.approx((1 + 1) / (2 + 1))
    assert recall_at_keys(JUDGED, 1) == pytest.approx((1 + 0) / 3)
    assert recall_at_keys(JUDGED, 9) == 1
    assert np.isnan(recall_at_keys(Judged(
        positive=np.zeros(2, int), score=np.ones(2), event_ms=np.arange(2), key=np.array([b"a", b"b"])
    )))  # fmt: skip
    rows = capacity(JUDGED)
    assert [row["keys_a_day"] for row in rows] == list(evaluation.KEYS_A_DAY)
    assert rows[0]["recall"] == 1


def test_calibration_error_is_the_mean_distance_of_the_bins() -> None:
    # by score: 0.1 0.1 0.2 0.3 | 0.6 0.7 0.8 0.9 with frauds 0 0 1 0 | 1 0 0 1
    found = calibration_error(JUDGED.positive, JUDGED.score, bins=2)
    assert found == pytest.approx((4 * abs(0.175 - 0.25) + 4 * abs(0.75 - 0.5)) / 8)


def test_money_is_what_is_caught_less_what_the_looks_cost() -> None:
    rows = {row["name"]: row for row in money(_evaluated()) if row["name"]}
    review = rows["review"]  # at or above 0.65: 0.9 (fraud, 5000), 0.8, 0.7
    assert (review["reviews"], review["positives"], review["caught_minor"]) == (3, 1, 5000)
    assert (review["cost_minor"], review["saved_minor"]) == (1500, 3500)
    assert (review["precision"], review["recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert rows["decline"]["saved_minor"] == 5000 - 500
    thresholds = [row["threshold"] for row in money(_evaluated())]
    assert thresholds == sorted(thresholds, reverse=True)


def test_segments_compare_the_chance_of_a_good_payment_to_pass() -> None:
    found = {(row["kind"], row["name"]): row for row in segments(_evaluated())}
    # good by day: 0.8, 0.7, 0.1: one of three passes. good by night: 0.1, 0.3: both pass.
    day, night = found["time", "day"], found["time", "night"]
    assert day["disparate_impact"] == pytest.approx(1 / 3)
    assert (day["adverse"], night["adverse"], night["disparate_impact"]) == (True, False, 1)
    assert (day["rows"], day["positives"], day["flagged"]) == (4, 1, 0.75)
    assert (day["precision"], day["recall"], night["recall"]) == (pytest.approx(1 / 3), 1, 0)
    assert found["customer", "active"]["rows"] == found["customer", "quiet"]["rows"] == 4
    assert ("week", "weekend") not in found  # 1 and 2 January 1970 were a Thursday and a Friday


def _predict(vectors: Floats) -> Floats:
    """A model that looks at the amount by day; a missing amount is 0.5."""
    amount = vectors[:, _column("amount_minor")] * (vectors[:, _column("is_night")] != 1)
    return np.where(np.isnan(amount), 0.5, np.clip(amount / 10_000, 0, 1))


def test_robustness_takes_inputs_away_and_shifts_them() -> None:
    data = _evaluated()
    found = {row["change"]: row for row in robustness(data, _predict, ["amount_minor"])}
    assert {f"without_{group}" for group in SERVICE.groups} < set(found)
    without = found["without_amount_minor"]
    assert without["flagged"] == 0  # all 0.5, review begins at 0.65
    assert without["average_precision"] == pytest.approx(3 / 8)
    assert without["score_moved_mean"] == pytest.approx(np.abs(0.5 - JUDGED.score).mean())
    doubled = found["amounts_doubled"]  # by day 5000, 1000, 2000, 700
    assert doubled["flagged"] == pytest.approx(1 / 8)
    same = found["counts_doubled"]  # this model does not look at them
    assert same["score_moved_mean"] == pytest.approx(np.abs(_predict(data.vectors) - JUDGED.score).mean())
    late = found["clocks_3_hours_late"]  # hour 0 becomes 3: night
    assert late["flagged"] == 0
    assert all(row["finite"] for row in found.values())
    assert data.vectors[0, _column("amount_minor")] == 5000  # the payments themselves stay


def _judged_days(days: int, seed: int, skill: float) -> tuple[Judged, Floats]:
    rng = np.random.default_rng(seed)
    fraud = (rng.random(days * 200) < 0.05).astype(np.int64)
    other = rng.random(len(fraud))
    judged = Judged(
        positive=fraud, score=np.clip(other * (1 - skill) + skill * fraud, 0, 1),
        event_ms=np.repeat(np.arange(days), 200) * DAY_MS, key=np.full(len(fraud), b"c"),
    )  # fmt: skip
    return judged, other


def test_a_difference_has_an_interval_that_holds_nothing_where_nothing_is() -> None:
    judged, other = _judged_days(20, 1, skill=0.3)
    found = difference(judged, other, seed=1)
    low, high = found["gain_95_percent"]
    assert 0 < low < found["gain"] < high
    assert found["better"]
    assert found["gain"] == found["average_precision"] - found["other_average_precision"]
    assert found["days"] == 20
    same = difference(judged, judged.score, seed=1)
    assert (same["gain"], same["gain_95_percent"], same["better"]) == (0, [0, 0], False)
    worse = difference(Judged(
        positive=judged.positive, score=other, event_ms=judged.event_ms, key=judged.key
    ), judged.score, seed=1)  # fmt: skip
    assert worse["gain_95_percent"][1] < 0
    assert difference(judged, other, seed=1) == found


def test_a_report_has_all_its_parts_and_a_page_that_needs_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "LATENCY_REPEATS", 3)
    importance = {name: float(name == "amount_minor") for name in SERVICE.columns}
    others = {"champion": JUDGED.score[::-1].copy(), "constant": np.full(8, 0.1)}
    report: dict[str, Any] = evaluate(_evaluated(), _predict, others, importance, seed=1)
    assert set(report) == {
        "quality", "comparison", "capacity", "money", "segments", "robustness", "latency", "importance",
    }  # fmt: skip
    assert report["quality"]["recall_at_100_keys_a_day"] == 1
    assert set(report["comparison"]) == set(others)
    assert set(report["latency"]) == {"1_rows", "10_rows", "100_rows", "1000_rows"}
    assert all(f["p50_ms"] <= f["p95_ms"] <= f["p99_ms"] for f in report["latency"].values())
    assert next(iter(report["importance"])) == "amount_minor"
    changes = {row["change"] for row in report["robustness"]}
    assert "without_amount_minor" in changes
    assert "without_customer_count_1h" not in changes  # the trees did not use it
    text = page("Evaluation <1>", report | {"judged_on": "holdout"})
    assert "&lt;1&gt;" in text
    assert "http" not in text.replace("http-equiv", "")
    for title in (
        "Keys called a day",
        "Calibration",
        "Money",
        "Segments",
        "Missing",
        "Latency",
        "others",
    ):
        assert title in text
