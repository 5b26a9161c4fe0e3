"""Segments past a declared limit raise an alert once there is evidence; it is told once and cleared once."""

import random

import numpy as np
import pytest

from contracts.events import Quality
from inference.learning.fairness import chance, segments
from inference.learning.settings import FairnessSettings
from tests.unit.inference.learning.support import (
    DAY_MS,
    START_MS,
    Label,
    Payment,
    feed,
    make_core,
    settings,
)


def history(
    wrong_share: float, until: int = 4000, days: int = 8, others_share: float = 0.02
) -> tuple[list[Payment], list[Label]]:
    """Return payments of two channels; of good ones online, `wrong_share` are reviewed, of others fewer."""
    chances = random.Random(7)
    payments, labels = [], []
    for at in range(until):
        online = at % 4 == 0
        flagged = chances.random() < (wrong_share if online else others_share)
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
    assert online.counts["events"], shop.counts["events"] == (1000, 3000)
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


def counted(good: tuple[int, int], frauds: tuple[int, int] = (0, 0)) -> dict[str, np.ndarray]:
    """Return payments of two channels: of channel 0 all right, of channel 1 (errors, payments)."""
    rows: list[tuple[int, int, int]] = [(0, 0, 0)] * 3000 + [(0, 1, 1)] * 3000  # channel, decision, fraud
    rows += [(1, int(at < good[0]), 0) for at in range(good[1])]
    rows += [(1, int(at >= frauds[0]), 1) for at in range(frauds[1])]
    channel, decision, fraud = (np.array(column) for column in zip(*rows, strict=True))
    none = np.full(len(rows), -1)
    return {
        "channel": channel, "country": none, "amount_minor": none, "decision": decision, "positive": fraud,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("good", "frauds", "code"),
    [((25, 500), (0, 0), "Q_FALSE_POSITIVES"), ((0, 0), (40, 400), "Q_FALSE_NEGATIVES")],
)
def test_an_error_rate_is_told_although_the_others_have_none(
    good: tuple[int, int], frauds: tuple[int, int], code: str
) -> None:
    words = {"channel": ["pos", "ecommerce"], "country": []}
    _, breaches = segments(counted(good, frauds), words, FairnessSettings(segments="channel"))
    found = [breach for breach in breaches if breach.code == code]
    assert [breach.segment for breach in found] == ["channel=ecommerce"]
    assert "0 of the others" in found[0].what
    assert all(np.isfinite(value) for value in found[0].figures.values())
    assert found[0].figures["others"] == 0.0


@pytest.mark.parametrize("good", [(1, 3), (1, 200), (2, 200), (3, 3)])
def test_a_few_errors_are_no_evidence_even_against_none(good: tuple[int, int]) -> None:
    words = {"channel": ["pos", "ecommerce"], "country": []}
    settings = FairnessSettings(segments="channel", rows_min=1, impact_min=0.0)
    assert segments(counted(good), words, settings)[1] == []


def test_equal_small_rates_seldom_raise_an_alert() -> None:
    chances, words = np.random.default_rng(5), {"channel": ["pos", "ecommerce"], "country": []}
    settings = FairnessSettings(segments="channel", rows_min=1, impact_min=0.0)
    raised = 0
    for _ in range(100):
        rows = counted((0, 300))
        rows["decision"][rows["positive"] == 0] = chances.random(int((rows["positive"] == 0).sum())) < 0.004
        raised += bool(segments(rows, words, settings)[1])
    assert raised <= 1


def test_a_rate_against_none_is_told_through_the_learner() -> None:
    core = make_core(settings(fairness=FairnessSettings(segments="channel")))
    feed(core, *history(0.30, others_share=0.0))
    found = codes(core.report(START_MS + 15 * DAY_MS).quality)
    assert ("Q_FALSE_POSITIVES", "channel=ecommerce") in found


def test_chance_is_that_of_two_proportions() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.binomial(200, 0.3, (20_000, 2)) / 200
    wide = np.abs(drawn[:, 0] - drawn[:, 1]) >= abs(60 - 75) / 200 - 1e-9
    assert chance(60, 200, 75, 200) == pytest.approx(float(wide.mean()), abs=0.02)
