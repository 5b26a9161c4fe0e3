"""Batches of feature rows become decisions: with and without store and model, and always one a row."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.events import Prediction
from contracts.frame import Columns, concat, length, take
from inference.drift.settings import DriftSettings
from inference.drift.watch import DriftWatch
from inference.models.manifest import Manifest, Thresholds
from inference.models.model import LightGbmModel, Model, ModelName
from inference.policy.reasons import family
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.served import FeatureServer
from inference.scorer.core import Scored, ScorerCore
from load.this_project import CUSTOMER_PROFILE, PROJECT, SERVICE, TERMINAL
from tests.unit.inference.support import (
    EPOCH,
    OWN_POLICY,
    MemoryReader,
    StillClock,
    StoredRow,
    feature_rows,
    policy,
    trained_text,
)

DAY_MS = 86_400_000


class OneModel:
    """A source that a test sets."""

    def __init__(self, model: Model | None = None) -> None:
        self.model = model

    def current(self) -> Model | None:
        """Return the set model."""
        return self.model


class BrokenModel:
    """Gives NaN, infinite, too large and good scores in turn, or fails."""

    identity = ModelName("broken", "1", "champion", "0" * 64)
    thresholds = Thresholds()
    fails = False

    def predict(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return bad scores."""
        if self.fails:
            raise RuntimeError("broken")
        return np.resize([np.nan, np.inf, 1.5, 0.25], len(vectors))

    def contributions(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return nothing of use."""
        return np.zeros((len(vectors), vectors.shape[1] + 1))


@pytest.fixture(scope="module")
def model() -> LightGbmModel:
    manifest = Manifest(
        name="fraud", version="7", definitions_hash="", features=list(SERVICE.columns),
        sha256={"model.txt": "a" * 64}, thresholds=Thresholds(review=0.5, decline=0.8),
    )  # fmt: skip
    return LightGbmModel(trained_text(), manifest)


class Bench:
    """A core over a store in memory and a set model."""

    def __init__(self, model: Model | None = None, **parts: object) -> None:
        self.reader, self.clock, self.models = MemoryReader(), StillClock(), OneModel(model)
        server = FeatureServer(PROJECT, self.reader, Breaker(250.0), EPOCH, cache_rows=100)
        policies = FixedPolicy(policy(**parts) if parts else OWN_POLICY)
        self.core = ScorerCore(PROJECT, server, self.models, self.clock, EPOCH, policies)

    def score(self, rows: Columns) -> list[Prediction]:
        """Return the predictions, checked against the contract."""
        return _read(self.core.score(rows, self.clock.now_ms()))


def _read(scored: Scored) -> list[Prediction]:
    return [msgspec.json.decode(data, type=Prediction) for data in scored.predictions]


def _quiet(rows: Columns) -> Columns:
    """Return rows at which no rule hits."""
    calm = dict(rows)
    calm["customer_values"] = np.minimum(rows["customer_values"], 5.0)
    calm["terminal_values"] = np.ones_like(rows["terminal_values"])
    calm["terminal_values"][:, -3:] = 0.0
    return calm


def test_every_row_gets_its_prediction_in_order(model: LightGbmModel) -> None:
    rows = concat([feature_rows(30, partition=0), feature_rows(20, partition=3, seed=2)])
    predictions = Bench(model).score(rows)
    assert [p.prediction_id for p in predictions] == [f"{EPOCH}-0-{n}" for n in range(30)] + [
        f"{EPOCH}-3-{n}" for n in range(20)
    ]
    assert [p.event_id.encode() for p in predictions] == rows["transaction_id"].tolist()
    assert all(p.model is not None and p.contract == "transactions/1.1.0" for p in predictions)


def test_batches_of_any_size_give_the_same_decisions(model: LightGbmModel) -> None:
    rows = feature_rows(40)
    whole = Bench(model).score(rows)
    bench = Bench(model)
    parts = [p for at in range(0, 40, 7) for p in bench.score(take(rows, slice(at, at + 7)))]
    for one, other in zip(whole, parts, strict=True):
        assert (one.score, one.decision, one.features) == (other.score, other.decision, other.features)


def test_no_row_is_no_prediction() -> None:
    assert Bench().core.score({}, 0.0).predictions == []


def test_without_a_model_rules_decide_and_no_score_is_said() -> None:
    rows = _quiet(feature_rows(4))
    rows["amount_minor"] = np.array([100, 100, 5_000_000, 100])
    predictions = Bench().score(rows)
    assert [p.decision for p in predictions] == ["approve", "approve", "review", "approve"]
    assert [p.decided_by for p in predictions] == ["default", "default", "rule", "default"]
    assert {p.risk_band for p in predictions} == {"not_assessed"}
    assert all(p.score is msgspec.UNSET and p.model is msgspec.UNSET for p in predictions)
    assert [r.code for r in predictions[2].reasons] == ["RULE_AMOUNT_LIMIT", "RULE_AMOUNT_JUMP"]
    assert [r.outcome for r in predictions[2].rules] == ["hit", "no_hit", "hit", "no_hit"]


def test_a_score_that_is_no_probability_goes_to_the_fallback() -> None:
    predictions = Bench(BrokenModel()).score(_quiet(feature_rows(4)))
    assert [p.decided_by for p in predictions] == ["fallback", "fallback", "fallback", "model"]
    assert [p.risk_band for p in predictions[:3]] == ["not_assessed"] * 3
    assert all(p.score is msgspec.UNSET and p.degraded_why == ["score_failed"] for p in predictions[:3])
    assert predictions[0].reasons[0].code == "SCORE_MISSING"
    assert predictions[3].score == 0.25


def test_a_failing_model_ends_no_worker() -> None:
    broken = BrokenModel()
    broken.fails = True
    assert {p.decided_by for p in Bench(broken).score(_quiet(feature_rows(4)))} == {"fallback"}


def test_values_that_json_cannot_hold_are_null(model: LightGbmModel) -> None:
    rows = feature_rows(3)
    rows["customer_values"] = np.full_like(rows["customer_values"], np.nan)
    rows["terminal_values"][:, TERMINAL.columns.index("terminal_customers_24h")] = np.inf
    scored = Bench(model).core.score(rows, 0.0)
    assert all(b"nan" not in data.lower() and b"inf" not in data.lower() for data in scored.predictions)
    values = _read(scored)[0].features.values
    assert values[SERVICE.columns.index("customer_count_1h")] is None
    assert values[SERVICE.columns.index("terminal_customers_24h")] is None


def test_a_down_store_is_said_and_the_breaker_spares_it(model: LightGbmModel) -> None:
    bench = Bench(model)
    bench.reader.down = True
    first = bench.score(feature_rows(5))
    assert {tuple(p.degraded_why) for p in first} == {("store_unavailable",)}
    assert {p.features.groups["profile"].status for p in first} == {"default"}
    for _ in range(5):
        bench.score(feature_rows(5))
    assert bench.reader.reads == 1
    bench.clock.at_ms += 250
    bench.reader.down = False
    assert not any(p.degraded for p in bench.score(feature_rows(5)))


def test_the_last_known_profile_serves_while_the_store_is_down(model: LightGbmModel) -> None:
    bench, rows = Bench(model), feature_rows(1)
    key, at_ms = rows["customer_id"].tolist()[0], int(rows["event_time"][0])
    bench.reader.rows[CUSTOMER_PROFILE.name, key] = StoredRow(np.arange(5.0), at_ms - DAY_MS, -1)
    fresh = bench.score(rows)[0]
    assert (fresh.features.groups["profile"].status, fresh.features.groups["profile"].age_ms) == (
        "store",
        DAY_MS,
    )
    bench.reader.down = True
    alone = bench.score(rows)[0]
    assert (alone.features.groups["profile"].status, alone.features.groups["profile"].age_ms) == (
        "stale",
        DAY_MS,
    )
    assert alone.features.values == fresh.features.values
    assert alone.degraded_why == ["store_unavailable", "profile_stale"]


def test_an_old_profile_is_stale(model: LightGbmModel) -> None:
    bench, rows = Bench(model), feature_rows(1)
    at_ms = int(rows["event_time"][0]) - CUSTOMER_PROFILE.max_age_ms - 1
    key = rows["customer_id"].tolist()[0]
    bench.reader.rows[CUSTOMER_PROFILE.name, key] = StoredRow(np.arange(5.0), at_ms, -1)
    prediction = bench.score(rows)[0]
    assert prediction.features.groups["profile"].status == "stale"
    assert prediction.degraded_why == ["profile_stale"]


def _store_terminal(bench: Bench, rows: Columns, values: NDArray[np.float64], position: int) -> None:
    at = 0
    for view in TERMINAL.views:
        row = StoredRow(values[at : at + len(view.columns)], int(rows["event_time"][0]), position)
        bench.reader.rows[view.name, rows["terminal_id"].tolist()[0]] = row
        at += len(view.columns)


def test_a_stored_row_counts_only_at_the_events_own_position_and_bits(model: LightGbmModel) -> None:
    rows = feature_rows(1)
    own, position = rows["terminal_values"][0], int(rows["terminal_pos"][0])
    for values, at, status, outcome in (
        (own, position, "store", "confirmed"),
        (own + 1, position + 1, "exact", "moved_on"),
        (np.nextafter(own, np.inf), position, "exact", "mismatched"),
    ):
        bench = Bench(model)
        _store_terminal(bench, rows, values, at)
        scored = bench.core.score(rows, 0.0)
        prediction = _read(scored)[0]
        assert prediction.features.groups["terminal"].status == status
        begin = SERVICE.columns.index(TERMINAL.columns[0])
        assert prediction.features.values[begin : begin + len(own)] == own.tolist()
        assert scored.judged is not None
        assert getattr(scored.judged.served.counts["terminal"], outcome) == 1


def test_reasons_add_up_and_come_with_what_is_not_approved(model: LightGbmModel) -> None:
    rows = feature_rows(200)
    bench = Bench(model, reasons={"a_row": len(SERVICE.columns), "rows_max": 1000})
    scored = bench.core.score(rows, 0.0)
    assert scored.judged is not None
    vectors = scored.judged.vectors
    added = model.contributions(vectors)
    raw = np.log(model.predict(vectors) / (1 - model.predict(vectors)))
    assert np.allclose(added.sum(axis=1), raw, atol=1e-9)
    for row, prediction in enumerate(_read(scored)):
        if prediction.decision == "approve":
            assert prediction.reasons == []
            continue
        told = [r for r in prediction.reasons if isinstance(r.contribution, float)]
        for reason in told:
            assert reason.contribution == added[row, SERVICE.columns.index(str(reason.feature))]
        mine = [added[row, SERVICE.columns.index(str(r.feature))] for r in told]
        assert mine == sorted(mine, reverse=True)
        most: dict[str, float] = {}
        texts = policy().policy.reasons.texts
        for name, value in zip(SERVICE.columns, added[row, :-1], strict=True):
            code = family(name, texts)[0]
            most[code] = max(value, most.get(code, 0.0))
        assert {r.code: r.contribution for r in told} == {code: v for code, v in most.items() if v > 0}


def test_a_reason_says_its_value_and_stands_once_in_its_list(model: LightGbmModel) -> None:
    rows = feature_rows(200)
    rows["amount_minor"][:20] = 5_000_000
    refused = [one for one in Bench(model).score(rows) if one.decision != "approve" and one.score]
    assert len({reason.feature for one in refused for reason in one.reasons}) > 3
    for one in refused:
        assert len({reason.code for reason in one.reasons}) == len(one.reasons)
        assert len({reason.text for reason in one.reasons}) == len(one.reasons)
        for reason in one.reasons:
            if reason.feature is msgspec.UNSET:
                continue
            value = dict(zip(SERVICE.columns, one.features.values, strict=True))[str(reason.feature)]
            assert reason.value == value
            said = "not known" if value is None else f"{value:.4g}" if value % 1 else f"{value:.0f}"
            assert reason.text.endswith(f": {reason.feature} is {said}.")


def test_more_reasons_than_are_computed_at_once_are_said_to_be_missing(model: LightGbmModel) -> None:
    rows = _quiet(feature_rows(300, seed=4))
    rows["amount_minor"] = np.full(300, 30)
    refused = [
        p for p in Bench(model, reasons={"a_row": 3, "rows_max": 3}).score(rows) if p.decision != "approve"
    ]
    assert len(refused) > 3
    explained = [p for p in refused if p.reasons[0].code != "NOT_EXPLAINED"]
    assert len(explained) == 3
    assert min(float(p.score or 0) for p in explained) >= max(
        float(p.score or 0) for p in refused if p not in explained
    )


def test_drift_of_inputs_scores_and_decisions_comes_with_the_batch(model: LightGbmModel) -> None:
    settings = DriftSettings(
        sample_every=1, chunk_rows=50, first_rows=500, first_ms=3_600_000, rows_min=300, look_rows=100,
        window_ms=5 * 3_600_000, pane_ms=3_600_000,
    )  # fmt: skip
    bench = Bench(model)
    bench.core.drift = DriftWatch(SERVICE.columns, PROJECT, settings)
    told = []
    for batch in range(30):
        rows = _quiet(feature_rows(100, seed=batch, first_offset=100 * batch))
        rows["amount_minor"] = rows["amount_minor"] // (1000 if batch < 15 else 1)
        told.append(bench.core.score(rows, 0.0).drift)
    assert [event.kind for event in told[0]] == ["restart"]
    assert not any(told[1:15])
    late = {event.feature: event for events in told[15:] for event in events}
    assert {"amount_minor", "score"} <= set(late)
    assert late["amount_minor"].model == "fraud/7"


def test_latency_is_told_by_step_and_never_negative(model: LightGbmModel) -> None:
    bench, rows = Bench(model), feature_rows(2)
    rows["appended_ms"] = np.array([int(bench.clock.at_ms) - 40, int(bench.clock.at_ms) + 40])
    total = [p.latency_ms["total"] for p in bench.score(rows)]
    assert total == [40.0, 0.0]


def test_keys_are_the_customers(model: LightGbmModel) -> None:
    rows = feature_rows(9)
    scored = Bench(model).core.score(rows, 0.0)
    assert scored.keys == rows["customer_id"].tolist()
    assert length(rows) == len(scored.predictions)
