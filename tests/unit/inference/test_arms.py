"""Who decides a payment when champion, canary and shadows are there, and that no other changes it."""

from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.events import Prediction
from contracts.frame import Columns
from inference.models.manifest import Manifest, Thresholds
from inference.models.model import LightGbmModel, Model, ModelName
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.served import FeatureServer
from inference.release.arms import Arms, assigned_to, score_arms
from inference.release.live import Live, LiveCanary, Staged, id_of
from inference.scorer.core import Scored, ScorerCore
from load.oracle.release import arm_of
from load.this_project import PROJECT, SERVICE
from tests.unit.inference.support import (
    EPOCH,
    OWN_POLICY,
    MemoryReader,
    StillClock,
    feature_rows,
    policy,
    trained_text,
)

Floats = NDArray[np.float64]
ID = "fraud/0002-ab"


def trained(version: str, seed: int, stage: str = "champion", review: float = 0.5) -> Model:
    manifest = Manifest(
        name="fraud", version=version, definitions_hash="", features=list(SERVICE.columns),
        sha256={"model.txt": version * 64}, thresholds=Thresholds(review=review, decline=max(0.8, review)),
    )  # fmt: skip
    return Staged(LightGbmModel(trained_text(trees=10, leaves=7, seed=seed), manifest), stage)


class Broken:
    """Fails, or gives scores that are none."""

    identity = ModelName("broken", "1", "shadow", "0" * 64)
    thresholds = Thresholds()

    def __init__(self, gives: float | None = None) -> None:
        self._gives = gives

    def predict(self, vectors: Floats) -> Floats:
        """Return the same useless score for all, or fail."""
        if self._gives is None:
            raise RuntimeError("broken")
        return np.full(len(vectors), self._gives)

    def contributions(self, vectors: Floats) -> Floats:
        """Return nothing of use."""
        return np.zeros((len(vectors), vectors.shape[1] + 1))


class Releases:
    """Models that a test sets."""

    def __init__(self, live: Live) -> None:
        self.now = live

    def current(self) -> Model | None:
        """Return the champion."""
        return self.now.champion

    def live(self) -> Live:
        """Return all."""
        return self.now


CHAMPION, OTHER = trained("1", 1), trained("2", 2)


def scored(live: Live, rows: Columns, reasons_rows_max: int = 64) -> Scored:
    server = FeatureServer(PROJECT, MemoryReader(), Breaker(250.0), EPOCH, cache_rows=100)
    policies = FixedPolicy(policy(reasons={"a_row": 3, "rows_max": reasons_rows_max}))
    core = ScorerCore(PROJECT, server, Releases(live), StillClock(), EPOCH, policies)
    return core.score(rows, 0.0)


def read(found: Scored) -> list[Prediction]:
    predictions = [msgspec.json.decode(data, type=Prediction) for data in found.predictions]
    assert [msgspec.json.encode(one) for one in predictions] == found.predictions
    return predictions


def canary(model: Model, share_percent: float = 50.0) -> LiveCanary:
    return LiveCanary(Staged(model, "canary"), share_percent, 7)


def as_decided(prediction: Prediction) -> tuple[object, ...]:
    return (
        prediction.score, prediction.decision, prediction.decided_by, prediction.risk_band,
        prediction.reasons, prediction.rules, prediction.model, prediction.features,
    )  # fmt: skip


@pytest.mark.parametrize("shadow", [Staged(OTHER, "shadow"), Broken(), Broken(np.nan), Broken(7.0)])
def test_a_shadow_whatever_it_does_changes_no_decision(shadow: Model) -> None:
    rows = feature_rows(300)
    alone, beside = read(scored(Live(CHAMPION), rows)), read(scored(Live(CHAMPION, None, (shadow,)), rows))
    assert [as_decided(one) for one in alone] == [as_decided(one) for one in beside]
    assert all(one.shadow == [] for one in alone)


def test_shadow_scores_are_the_models_own_on_the_vector_that_is_told() -> None:
    rows = feature_rows(200)
    shadows = (Staged(OTHER, "shadow"), Broken(), Staged(trained("3", 3), "shadow"))
    predictions = read(scored(Live(CHAMPION, None, shadows), rows))
    vectors = np.array([[np.nan if v is None else v for v in one.features.values] for one in predictions])
    expected = [OTHER.predict(vectors), shadows[2].predict(vectors)]
    told = [[(s.model, s.score) for s in one.shadow] for one in predictions]
    assert told == [
        [("fraud/2", a), ("fraud/3", b)] for a, b in zip(*(e.tolist() for e in expected), strict=True)
    ]


def test_without_a_champion_shadows_score_and_rules_decide() -> None:
    predictions = read(scored(Live(None, None, (Staged(OTHER, "shadow"),)), feature_rows(20)))
    by = {(one.decided_by, any(rule.outcome == "hit" for rule in one.rules)) for one in predictions}
    assert by <= {("rule", True), ("default", False)}
    assert all(len(one.shadow) == 1 and one.score is msgspec.UNSET for one in predictions)


def test_a_canary_decides_its_own_customers_payments_and_no_others() -> None:
    rows = feature_rows(400)
    other = trained("2", 2, review=0.2)
    predictions = read(scored(Live(CHAMPION, canary(other)), rows, reasons_rows_max=1000))
    champion = read(scored(Live(CHAMPION), rows, reasons_rows_max=1000))
    alone = read(scored(Live(other), rows, reasons_rows_max=1000))
    arms = {"champion": 0, "canary": 0}
    for one, by_champion, by_other in zip(predictions, champion, alone, strict=True):
        assert one.experiment is not msgspec.UNSET
        assert one.experiment is not None
        assert (one.experiment.id, one.experiment.share_percent) == ("fraud/2", 50.0)
        arm = arm_of({"id": "fraud/2", "share_percent": 50.0}, one.keys["customer"] or "")
        arms[arm] += 1
        assert (one.experiment.arm, one.model.stage) == (arm, arm)  # type: ignore[union-attr]
        due = by_other if arm == "canary" else by_champion
        assert (one.score, one.decision, one.risk_band, one.reasons) == (
            due.score, due.decision, due.risk_band, due.reasons,
        )  # fmt: skip
        shadow = [(s.model, s.score) for s in one.shadow]
        assert shadow == ([("fraud/1", by_champion.score)] if arm == "canary" else [])
    assert min(arms.values()) > 120


def test_where_the_canary_gives_no_score_the_champion_decides() -> None:
    rows = feature_rows(100)
    for broken in (Broken(), Broken(np.nan)):
        predictions = read(scored(Live(CHAMPION, canary(broken)), rows))
        alone = read(scored(Live(CHAMPION), rows))
        assert [as_decided(one) for one in predictions] == [as_decided(one) for one in alone]
        assert {one.experiment.arm for one in predictions} == {"champion", "canary"}  # type: ignore[union-attr]


def test_shadows_and_a_canary_go_together() -> None:
    rows = feature_rows(100)
    live = Live(CHAMPION, canary(OTHER), (Staged(trained("3", 3), "shadow"), Broken()))
    for one in read(scored(live, rows)):
        mine = one.experiment.arm == "canary"  # type: ignore[union-attr]
        assert [s.model for s in one.shadow] == ["fraud/3"] + (["fraud/1"] if mine else [])


def test_the_drift_detector_hears_the_champions_scores_of_all_payments() -> None:
    clock, rows = StillClock(), feature_rows(64)
    vectors = np.random.default_rng(1).gamma(2.0, 3.0, (64, len(SERVICE.columns)))
    arms = score_arms(Live(CHAMPION, canary(OTHER)), rows["customer_id"], vectors, clock)
    assert arms.champion is not None
    assert arms.scores is not None
    np.testing.assert_array_equal(arms.champion, CHAMPION.predict(vectors))
    assert (arms.scores != arms.champion).any()


def test_the_arm_is_a_function_of_customer_version_and_share_alone() -> None:
    customers = np.array([f"c{n}".encode() for n in range(20_000)])
    half = assigned_to(ID, 50, customers)
    assert half[:8].tolist() == assigned_to(ID, 50, customers[:8]).tolist()
    assert half[:12].tolist() == PINNED, "another hash would move customers between arms"
    assert [arm_of({"id": ID, "share_percent": 50}, f"c{n}") == "canary" for n in range(200)] == half[
        :200
    ].tolist()
    other = assigned_to("fraud/0003-cd", 50, customers)
    assert 0.48 < (half == other).mean() < 0.52, "two canaries draw alike"


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_larger_share_keeps_the_customers_of_a_smaller_one(one: float, other: float) -> None:
    customers = np.array([f"c{n}".encode() for n in range(4000)])
    less, more = (assigned_to(ID, share, customers) for share in sorted((one, other)))
    assert not (less & ~more).any()
    assert abs(more.mean() - max(one, other) / 100) < 0.04


def test_a_source_of_champions_alone_is_enough() -> None:
    rows = feature_rows(10)
    source = SimpleNamespace(current=lambda: CHAMPION)
    server = FeatureServer(PROJECT, MemoryReader(), Breaker(250.0), EPOCH, cache_rows=100)
    core = ScorerCore(PROJECT, server, source, StillClock(), EPOCH, FixedPolicy(OWN_POLICY))
    assert {one.model.version for one in read(core.score(rows, 0.0))} == {"1"}  # type: ignore[union-attr]


def test_names_of_shadows_with_percent_signs_are_written_as_they_are(tmp_path: Path) -> None:
    odd = Staged(OTHER, "shadow")
    odd._identity = odd.identity._replace(version="2%b")
    predictions = read(scored(Live(CHAMPION, None, (odd,)), feature_rows(3)))
    assert id_of(odd) == predictions[0].shadow[0].model == "fraud/2%b"


def test_a_payment_that_its_decider_need_not_score_is_not_scored() -> None:
    rows = feature_rows(60)
    vectors = np.random.default_rng(1).gamma(2.0, 3.0, (60, len(SERVICE.columns)))
    live = Live(CHAMPION, canary(OTHER))
    of_champion, of_canary = np.arange(60) % 2 == 0, np.arange(60) % 3 == 0

    def clears(model: Model) -> NDArray[np.bool_]:
        return of_canary if id_of(model) == "fraud/2" else of_champion

    arms = score_arms(live, rows["customer_id"], vectors, StillClock(), clears)
    mine = assigned_to("fraud/2", 50, rows["customer_id"])
    assert arms.scores is not None
    assert arms.cleared is not None
    assert arms.cleared.tolist() == np.where(mine, of_canary, of_champion).tolist()
    assert np.isnan(arms.scores).tolist() == arms.cleared.tolist()
    assert arms.decided.tolist() == arms.drawn.tolist() == np.flatnonzero(mine).tolist()
    np.testing.assert_array_equal(arms.scores[mine & ~of_canary], OTHER.predict(vectors)[mine & ~of_canary])
    broken = score_arms(Live(CHAMPION, canary(Broken())), rows["customer_id"], vectors, StillClock(), clears)
    assert broken.cleared is not None
    assert broken.cleared.tolist() == of_champion.tolist(), "where the canary fails, the champion clears"


def test_deciding_rows_are_shared_out_whole() -> None:
    live = Live(CHAMPION, canary(OTHER))
    arms = Arms(live, np.zeros(6), np.zeros(6), decided=np.array([1, 4]))
    parts = arms.deciding(np.array([0, 1, 4, 5]))
    assert [(id_of(model), places.tolist()) for model, places in parts] == [
        ("fraud/1", [0, 3]), ("fraud/2", [1, 2]),
    ]  # fmt: skip


PINNED = [True, True, False, True, False, False, False, True, False, False, True, False]
