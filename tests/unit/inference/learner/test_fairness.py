"""Segments past a declared limit raise an alert once there is evidence; it is told once and cleared once."""

import random

import numpy as np
import pytest

from contracts.events import Quality
from inference.learner.fairness import chance
from inference.learner.settings import FairnessSettings
from tests.unit.inference.learner.support import (
    DAY_MS,
    START_MS,
    Label,
    Payment,
    feed,
    make_core,
    settings,
)


def history(wrong_share: float, until: int = 4000, days: int = 8) -> tuple[list[Payment], list[Label]]:
    """Return payments of two channels; of good ones online, `wrong_share` are reviewed, of others 2 %."""
    chances = random.Random(7)
    payments, labels = [], []
    for at in range(until):
        online = at % 4 == 0
        flagged = chances.random() < (wrong_share if online else 0.02)
        event_ms = START_MS + at * days * DAY_MS // until
        payments.append(
            Payment(
                id=f"t{at}", event_ms=event_ms, offset=at, score=0.6 if flagged else 0.1,
                decision="review" if flagged else "approve", channel="ecommerce" if online else "pos",
            )
        )  # fmt: skip
        labels.append(Label(id=f"t{at}", label_ms=event_ms + DAY_MS, fraud=0, pos=at))
    return payments, labels


def told(wrong_share: float, until: int = 4000, **fields: object) -> list[Quality]:
    """Return the report after that history."""
    core = make_core(settings(fairness=FairnessSettings(segments="channel", **fields)))  # type: ignore[arg-type]
    feed(core, *history(wrong_share, until))
    return core.report(START_MS + 15 * DAY_MS).quality


def codes(records: list[Quality]) -> set[tuple[object, object]]:
    return {(r.code, r.segment) for r in records if r.kind == "fairness_alert"}


def test_rates_are_counted_by_segment() -> None:
    found = {r.segment: r for r in told(0.30) if r.kind == "segment"}
    online, shop = found["channel=ecommerce"], found["channel=pos"]
    assert online.counts["payments"], shop.counts["payments"] == (1000, 3000)
    assert online.counts["good"] == 1000
    assert online.figures["false_positive_rate"] == online.counts["good_flagged"] / 1000
    assert online.figures["disparate_impact"] == pytest.approx(
        online.figures["approval_rate"] / shop.figures["approval_rate"]
    )
    assert shop.figures["disparate_impact"] == 1.0


def test_a_segment_past_its_limits_is_told_with_what_to_do() -> None:
    records = told(0.30)
    segment = "channel=ecommerce"
    assert codes(records) == {("Q_DISPARATE_IMPACT", segment), ("Q_FALSE_POSITIVES", segment)}
    assert all(r.what_to_do for r in records if r.kind == "fairness_alert")


@pytest.mark.parametrize(
    ("share", "until", "fields"),
    [
        (0.02, 4000, {}),  # equal treatment
        (0.30, 400, {}),  # too few payments
        (0.12, 4000, {"error_ratio_max": 20.0}),  # ten points less often approved: within the limits
    ],
)
def test_no_alert_within_the_limit_or_without_evidence(
    share: float, until: int, fields: dict[str, float]
) -> None:
    assert codes(told(share, until, **fields)) == set()


def test_an_alert_is_told_once_and_cleared_when_it_is_over() -> None:
    given = settings(fairness=FairnessSettings(segments="channel", window_days=7))
    core = make_core(given)
    feed(core, *history(0.30, days=6))
    kinds = [
        [r.kind for r in core.report(START_MS + day * DAY_MS).quality if "fairness" in r.kind]
        for day in (13, 14, 25)
    ]
    assert kinds == [["fairness_alert"] * 2, [], ["fairness_cleared"] * 2]


def test_chance_is_that_of_two_proportions() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.binomial(200, 0.3, (20_000, 2)) / 200
    wide = np.abs(drawn[:, 0] - drawn[:, 1]) >= abs(60 - 75) / 200 - 1e-9
    assert chance(60, 200, 75, 200) == pytest.approx(float(wide.mean()), abs=0.02)
