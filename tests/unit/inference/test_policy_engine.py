"""A policy at work: the default decides as before, and every other part does what it says and no more."""

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.events import Prediction
from contracts.frame import Columns
from inference.models.manifest import Manifest, Thresholds
from inference.models.model import LightGbmModel, Model
from inference.models.trees import Box
from inference.policy.decision import decide
from inference.policy.ladder import RUNG_NAMES
from inference.policy.rules import RuleBook, declared_rules
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.served import FeatureServer
from inference.scorer.core import ScorerCore
from load.chaos import collect
from load.oracle.decisions import Scores
from load.oracle.dump import ModelText
from load.oracle.sources import ProjectOracle
from load.this_project import CUSTOMER_PROFILE, PROJECT, SERVICE
from tests.unit.inference.support import (
    EPOCH,
    START_MS,
    MemoryReader,
    StillClock,
    StoredRow,
    feature_rows,
    policy,
    trained_text,
)
from tests.unit.inference.test_scorer_core import BrokenModel, OneModel

LATER, EARLIER = "2030-01-01T00:00:00Z", "2001-01-01T00:00:00Z"
PEOPLE = {"who": "ana", "why": "a test"}


@pytest.fixture(scope="module")
def model() -> LightGbmModel:
    manifest = Manifest(
        name="fraud", version="7", definitions_hash="", features=list(SERVICE.columns),
        sha256={"model.txt": "a" * 64}, thresholds=Thresholds(review=0.5, decline=0.8),
    )  # fmt: skip
    return LightGbmModel(trained_text(), manifest)


class Bench:
    """A core over a store in memory, a set model and a policy of the test's."""

    def __init__(self, model: Model | None = None, **parts: object) -> None:
        self.reader, self.declared = MemoryReader(), policy(**parts)
        server = FeatureServer(PROJECT, self.reader, Breaker(250.0), EPOCH, cache_rows=100)
        self.core = ScorerCore(
            PROJECT, server, OneModel(model), StillClock(), EPOCH, FixedPolicy(self.declared)
        )
        self.rules = self.declared.policy.rules

    def score(self, rows: Columns) -> list[Prediction]:
        """Return the predictions, each byte checked against the contract's own encoding."""
        written = self.core.score(rows, 0.0).predictions
        read = [msgspec.json.decode(data, type=Prediction) for data in written]
        assert [msgspec.json.encode(one) for one in read] == written
        return read


def _rows(count: int = 400) -> Columns:
    rows = feature_rows(count)
    rng = np.random.default_rng(3)
    small, large = rng.integers(1, 30, count), rng.integers(1, 2_000_000, count)
    rows["amount_minor"] = np.where(rng.random(count) < 0.6, small, large)
    return rows


def _decisions(predictions: list[Prediction]) -> list[tuple[str, str, str]]:
    return [(one.decision, one.decided_by, one.risk_band) for one in predictions]


@pytest.mark.parametrize("kind", ["model", "none", "broken"])
def test_the_default_decides_as_rules_thresholds_and_fallback_alone_do(
    kind: str, model: LightGbmModel
) -> None:
    """The severer of model and rules, said once more without the engine."""
    used: Model | None = {"model": model, "none": None, "broken": BrokenModel()}[kind]
    rows = _rows()
    predictions = Bench(used).score(rows)
    vectors = np.array([[np.nan if v is None else v for v in one.features.values] for one in predictions])
    book = RuleBook(declared_rules(policy().policy.rules, PROJECT), SERVICE.columns, PROJECT)
    scores = None if used is None else used.predict(vectors)
    if scores is not None:
        scores = np.where((scores >= 0) & (scores <= 1), scores, np.nan)
    limits = (Thresholds() if used is None else used.thresholds).limits(("approve", "review", "decline"))
    due = decide(scores, limits, book.severity(book.judge(vectors, rows)))
    words = (
        ("approve", "review", "decline"),
        ("model", "rule", "fallback", "override", "default", "gatekeeper"),
        ("low", "medium", "high", "not_assessed"),
    )
    assert _decisions(predictions) == [
        tuple(names[code] for names, code in zip(words, codes, strict=True))
        for codes in zip(*(part.tolist() for part in due), strict=True)
    ]
    assert len({one.decision for one in predictions}) > 1


def test_a_prediction_names_its_policy(model: LightGbmModel) -> None:
    bench = Bench(model, version="9", name="night")
    used = bench.score(_rows(3))[0].policy
    assert isinstance(used, msgspec.Struct)
    assert (used.name, used.version, used.sha256) == ("night", "9", bench.declared.sha256)  # type: ignore[attr-defined]


def test_a_new_policy_decides_from_the_next_batch_on(model: LightGbmModel) -> None:
    bench = Bench(model)
    source: FixedPolicy = bench.core._policies  # type: ignore[assignment]
    assert {one.decision for one in bench.score(_rows())} != {"decline"}
    source._declared = policy(version="2", thresholds={"review": 0.0, "decline": 0.0})
    after = bench.score(_rows())
    assert {(one.decision, one.policy.version) for one in after} == {("decline", "2")}  # type: ignore[union-attr]


def test_thresholds_of_the_policy_go_before_the_models(model: LightGbmModel) -> None:
    for one in Bench(model, thresholds={"review": 0.2, "decline": 0.3}).score(_rows()):
        assert isinstance(one.score, float)
        assert one.risk_band == ("high" if one.score >= 0.3 else "medium" if one.score >= 0.2 else "low")


def test_a_rule_that_is_not_enabled_is_not_asked_and_a_severity_is_obeyed(model: LightGbmModel) -> None:
    rules = msgspec.to_builtins(policy().policy.rules)
    rules["amount_limit"]["severity"], rules["amount_jump"]["enabled"] = "decline", False
    predictions = Bench(model, rules=rules).score(_rows())
    assert {tuple(rule.id for rule in one.rules) for one in predictions} == {
        ("amount_limit", "customer_velocity", "terminal_frauds")
    }
    hit = [one for one in predictions if one.rules[0].outcome == "hit"]
    assert len(hit) > 50
    assert {one.decision for one in hit} == {"decline"}


def test_an_override_decides_until_its_time_and_says_so(model: LightGbmModel) -> None:
    rows = _rows()
    mine = rows["customer_id"][0].decode()
    until = [{"id": "o", "customer": mine, "decision": "decline", "until": LATER, **PEOPLE}]
    past = [until[0] | {"until": EARLIER}]
    plain = Bench(model).score(rows)
    for prediction, before, late in zip(
        Bench(model, overrides=until).score(rows),
        plain,
        Bench(model, overrides=past).score(rows),
        strict=True,
    ):
        assert _decisions([late]) == _decisions([before])
        if prediction.keys["customer"] == mine:
            assert (prediction.decision, prediction.decided_by) == ("decline", "override")
            assert prediction.reasons[0].code == "OVERRIDE"
            assert prediction.score == before.score
        else:
            assert _decisions([prediction]) == _decisions([before])


def test_of_two_overrides_the_severest_holds_and_an_approval_has_no_reasons(model: LightGbmModel) -> None:
    rows = _rows()
    customer, terminal = rows["customer_id"][0].decode(), rows["terminal_id"][0].decode()
    two = [
        {"id": "a", "terminal": terminal, "decision": "review", "until": LATER, **PEOPLE},
        {"id": "b", "customer": customer, "decision": "approve", "until": LATER, **PEOPLE},
    ]
    for one in Bench(model, overrides=two).score(rows):
        if one.keys["terminal"] == terminal:
            assert (one.decision, one.decided_by) == ("review", "override")
        elif one.keys["customer"] == customer:
            assert (one.decision, one.decided_by, one.reasons) == ("approve", "override", [])


def test_a_muted_rule_hits_and_moves_nothing() -> None:
    rows = _rows()
    muted = [{"id": "s", "rule": "amount_limit", "until": LATER, **PEOPLE}]
    moved = 0
    for one, before in zip(Bench(snoozes=muted).score(rows), Bench().score(rows), strict=True):
        assert one.rules == before.rules
        others = {rule.id for rule in one.rules if rule.outcome == "hit"} - {"amount_limit"}
        assert one.decision == ("review" if others else "approve")
        assert "RULE_AMOUNT_LIMIT" not in {reason.code for reason in one.reasons}
        moved += one.decision != before.decision
    assert moved > 2


def test_a_customers_muted_reviews_become_approvals_and_declines_stay(model: LightGbmModel) -> None:
    rows = _rows()
    rows["customer_id"] = np.full(len(rows["customer_id"]), b"c1")
    muted = [{"id": "s", "customer": "c1", "until": LATER, **PEOPLE}]
    pairs = list(zip(Bench(model, snoozes=muted).score(rows), Bench(model).score(rows), strict=True))
    assert {(before.decision, one.decision, one.decided_by == "override") for one, before in pairs} == {
        ("approve", "approve", False), ("review", "approve", True), ("decline", "decline", False)
    }  # fmt: skip


GATE = {
    "mode": "declared",
    "clear": {"amount_minor": {"at_most": 500_000}, "customer_count_1h": {"at_most": 5}},
}


class Asked:
    """A model that counts the rows it was asked for."""

    def __init__(self, model: LightGbmModel) -> None:
        self._model, self.rows = model, 0
        self.identity, self.thresholds = model.identity, model.thresholds

    def predict(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores."""
        self.rows += len(vectors)
        return self._model.predict(vectors)

    def contributions(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the contributions."""
        return self._model.contributions(vectors)

    def ceiling(self, box: Box) -> float:
        """Return the model's."""
        return self._model.ceiling(box)


def test_what_the_gatekeeper_clears_is_approved_unasked_and_the_rest_is_as_before(
    model: LightGbmModel,
) -> None:
    rows, asked = _rows(), Asked(model)
    cleared = 0
    for one, before in zip(Bench(asked, gatekeeper=GATE).score(rows), Bench(model).score(rows), strict=True):
        values = dict(zip(SERVICE.columns, before.features.values, strict=True))
        amount, count = values["amount_minor"], values["customer_count_1h"]
        inside = amount is not None and amount <= 500_000 and count is not None and count <= 5
        if inside and not any(rule.outcome == "hit" for rule in before.rules):
            cleared += 1
            assert (one.rung, one.decision, one.decided_by) == ("gatekeeper", "approve", "gatekeeper")
            assert one.score is msgspec.UNSET
            assert not one.degraded
        else:
            assert (one.rung, one.score) == ("full", before.score)
            assert _decisions([one]) == _decisions([before])
    assert 20 < cleared < len(rows["event_time"])
    assert asked.rows == len(rows["event_time"]) - cleared


def test_a_proven_gatekeeper_never_decides_otherwise_than_the_model(model: LightGbmModel) -> None:
    """The bounds are so wide that the model could decide otherwise: nothing is cleared."""
    rows = _rows()
    wide = Bench(model, gatekeeper=GATE | {"mode": "proven"}).score(rows)
    assert _decisions(wide) == _decisions(Bench(model).score(rows))
    assert {one.rung for one in wide} == {"full"}


def test_a_proven_gatekeeper_clears_where_no_vector_can_reach_the_threshold(model: LightGbmModel) -> None:
    rows = _rows()
    proven = {**GATE, "mode": "proven"}
    never = {"review": 1.0, "decline": 1.0}
    with_gate = Bench(model, gatekeeper=proven, thresholds=never).score(rows)
    without = Bench(model, thresholds=never).score(rows)
    assert [one.decision for one in with_gate] == [one.decision for one in without]
    assert sum(one.rung == "gatekeeper" for one in with_gate) > 20


# the ladder


def _profile(bench: Bench, rows: Columns, age_ms: int) -> None:
    for key in set(rows["customer_id"].tolist()):
        at_ms = int(rows["event_time"].max()) - age_ms
        bench.reader.rows[CUSTOMER_PROFILE.name, key] = StoredRow(np.arange(5.0), at_ms, -1)


def test_each_rung_is_said(model: LightGbmModel) -> None:
    rows = feature_rows(1)
    old_ms, fresh_ms = CUSTOMER_PROFILE.max_age_ms + 1, 1000
    told = {}
    bench = Bench(model)
    told["full"] = bench.score(rows)[0]
    bench.reader.down = True
    told["own_row"] = bench.score(rows)[0]
    stale = Bench(model)
    _profile(stale, rows, old_ms)
    told["last_known"] = stale.score(rows)[0]
    remembered = Bench(model)
    _profile(remembered, rows, fresh_ms)
    remembered.score(rows)
    remembered.reader.down = True
    assert remembered.score(rows)[0].rung == "last_known"
    failing = BrokenModel()
    failing.fails = True
    told["rules"] = Bench(failing).score(rows)[0]
    assert Bench(None).score(rows)[0].rung == "rules"
    assert {rung: one.rung for rung, one in told.items()} == {rung: rung for rung in told}
    assert [told[rung].degraded for rung in told] == [False, True, True, True]
    assert set(RUNG_NAMES) == {*told, "not_assessed", "gatekeeper"}


def _only(*enabled: str) -> dict[str, dict[str, object]]:
    rules: dict[str, dict[str, object]] = msgspec.to_builtins(policy().policy.rules)
    for name, terms in rules.items():
        terms["enabled"] = name in enabled
    return rules


@pytest.mark.parametrize("fallback", ["approve", "review", "decline"])
@pytest.mark.parametrize("kind", ["none", "failing"])
def test_where_no_rule_knows_enough_either_the_fallback_decides(kind: str, fallback: str) -> None:
    broken = BrokenModel()
    broken.fails = True
    rows = feature_rows(3)
    rows["customer_values"] = np.full_like(rows["customer_values"], np.nan)
    rows["terminal_values"] = np.full_like(rows["terminal_values"], np.nan)
    rules = _only("customer_velocity", "amount_jump", "terminal_frauds")
    bench = Bench(broken if kind == "failing" else None, fallback=fallback, rules=rules)
    for one in bench.score(rows):
        assert (one.rung, one.risk_band) == ("not_assessed", "not_assessed")
        assert (one.decision, one.decided_by) == (fallback, "fallback")
        assert [reason.code for reason in one.reasons] == (["SCORE_MISSING"] if fallback != "approve" else [])


def test_with_no_rule_enabled_and_no_model_nothing_is_assessed() -> None:
    assert {one.rung for one in Bench(rules=_only()).score(feature_rows(3))} == {"not_assessed"}


def test_snoozes_and_overrides_end_by_event_time(model: LightGbmModel) -> None:
    rows = _rows(20)
    moment = START_MS + 10 * 60_000
    until = np.datetime64(moment, "ms").astype(str) + "+00:00"
    rows["customer_id"] = np.full(20, b"c1")
    overrides = [{"id": "o", "customer": "c1", "decision": "decline", "until": until, **PEOPLE}]
    by = [one.decided_by == "override" for one in Bench(model, overrides=overrides).score(rows)]
    assert by == [True] * 10 + [False] * 10


NIGHT: dict[str, dict[str, object]] = {
    "night": {
        "when": "(hour(event_time, '+01:00') < 6 or is_weekend == 1) and amount_minor > least",
        "figures": {"least": 1_000_000}, "severity": "decline", "feature": "amount_minor",
        "reason": "A large amount at an unusual time.",
    },
    "new_customer": {
        "when": "customer_count_30d is null and terminal_id not in ('s1', 's2')", "severity": "review",
        "reason": "Nothing is known of this customer.",
    },
    "spread": {
        "when": "log1p(coalesce(customer_terminals_30d, 0)) > 2.5 and abs(amount_minor - 500000) >= 1",
        "severity": "review", "feature": "customer_terminals_30d", "reason": "Many terminals",
    },
}  # fmt: skip


def _oracle_of(bench: Bench) -> Scores:
    rules = collect.rule_texts(PROJECT, declared_rules(bench.rules, PROJECT))
    declared = msgspec.structs.replace(collect.declared(PROJECT, 1, 1), rules=rules)
    models = {"a" * 64: ModelText(trained_text(), {"review": 0.5, "decline": 0.8}, "fraud/7")}
    return Scores(declared, models, ProjectOracle(declared).scored.kinds)


def _events(rows: Columns) -> list[dict[str, Any]]:
    """Return what the oracle reads of each row's event."""
    columns = {
        name: [one.decode() if isinstance(one, bytes) else one for one in column.tolist()]
        for name, column in rows.items()
        if column.ndim == 1
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_rules_that_no_code_knows_decide_and_the_oracle_finds_them_right(model: LightGbmModel) -> None:
    bench = Bench(model, rules=NIGHT)
    rows = _rows()
    predictions = bench.score(rows)
    plain: list[dict[str, Any]] = [msgspec.to_builtins(one) for one in predictions]
    assert [wrong for wrong in _oracle_of(bench).check(plain, _events(rows)) if wrong] == []
    hits = Counter(rule.id for one in predictions for rule in one.rules if rule.outcome == "hit")
    assert all(hits[name] > 5 for name in NIGHT)
    reasons = {reason.code: reason for one in predictions for reason in one.reasons}
    unknown = "Nothing is known of this customer: customer_count_30d is not known."
    assert (reasons["RULE_NEW_CUSTOMER"].text, reasons["RULE_NEW_CUSTOMER"].value) == (unknown, None)
    assert reasons["RULE_SPREAD"].text.startswith("Many terminals: customer_terminals_30d is ")


@pytest.mark.parametrize("rule", NIGHT)
def test_the_oracle_finds_a_rule_that_answered_wrongly(rule: str, model: LightGbmModel) -> None:
    bench = Bench(model, rules=NIGHT)
    rows = _rows(40)
    plain: list[dict[str, Any]] = [msgspec.to_builtins(one) for one in bench.score(rows)]
    for one in plain:
        said = next(answer for answer in one["rules"] if answer["id"] == rule)
        said["outcome"] = "no_hit" if said["outcome"] == "hit" else "hit"
    assert all(_oracle_of(bench).check(plain, _events(rows)))
