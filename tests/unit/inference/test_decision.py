"""Rules, thresholds and fallback: who settles a decision."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.errors import StateError
from features.catalog import SERVICE
from inference.models.manifest import Thresholds
from inference.policy.decision import DECIDED_BY, DECISIONS, RISK_BANDS, decide
from inference.policy.reasons import family
from inference.policy.rules import Outcome, Rule, RuleBook, Severity, declared_rules
from inference.scorer.position import decode_lanes, encode_lanes
from tests.unit.inference.support import policy

THRESHOLDS = Thresholds(review=0.5, decline=0.9)


@pytest.mark.parametrize(
    ("score", "by_rules", "decision", "decided_by", "band"),
    [
        (0.0, 0, "approve", "model", "low"),
        (0.5, 0, "review", "model", "medium"),
        (0.9, 0, "decline", "model", "high"),
        (0.1, 1, "review", "rule", "low"),
        (0.6, 1, "review", "model", "medium"),
        (0.6, 2, "decline", "rule", "medium"),
        (np.nan, 0, "review", "fallback", "not_assessed"),
        (np.nan, 1, "review", "rule", "not_assessed"),
        (np.nan, 2, "decline", "rule", "not_assessed"),
    ],
)
def test_the_severer_of_model_and_rules_holds(
    score: float, by_rules: int, decision: str, decided_by: str, band: str
) -> None:
    decided = decide(np.array([score]), THRESHOLDS, np.array([by_rules], np.uint8))
    assert DECISIONS[decided.decision[0]] == decision
    assert DECIDED_BY[decided.decided_by[0]] == decided_by
    assert RISK_BANDS[decided.risk_band[0]] == band


def test_a_fallback_that_approves_leaves_rules_their_say() -> None:
    decided = decide(np.array([np.nan, np.nan]), THRESHOLDS, np.array([0, 1], np.uint8), Severity.APPROVE)
    assert [DECISIONS[code] for code in decided.decision] == ["approve", "review"]
    assert [DECIDED_BY[code] for code in decided.decided_by] == ["fallback", "rule"]


def _hits(**values: float) -> dict[str, int]:
    vector = np.full((1, len(SERVICE.columns)), np.nan)
    for name, value in values.items():
        vector[0, SERVICE.columns.index(name)] = value
    book = RuleBook(declared_rules(policy().policy.rules), SERVICE.columns)
    return dict(zip([rule.id for rule in book.rules], book.judge(vector)[0].tolist(), strict=True))


def test_each_rule_hits_at_its_figure_and_not_below() -> None:
    assert _hits(amount_minor=1_000_000)["amount_limit"] == Outcome.NO_HIT
    assert _hits(amount_minor=1_000_001)["amount_limit"] == Outcome.HIT
    assert _hits(customer_count_1h=10)["customer_velocity"] == Outcome.NO_HIT
    assert _hits(customer_count_1h=11)["customer_velocity"] == Outcome.HIT
    assert _hits(amount_minor=30_000, customer_amount_ratio_30d=21)["amount_jump"] == Outcome.HIT
    assert _hits(amount_minor=300, customer_amount_ratio_30d=21)["amount_jump"] == Outcome.NO_HIT
    assert _hits(terminal_fraud_ratio_7d=0.5, terminal_labels_7d=4)["terminal_frauds"] == Outcome.HIT
    assert _hits(terminal_fraud_ratio_7d=1.0, terminal_labels_7d=3)["terminal_frauds"] == Outcome.NO_HIT
    assert set(_hits().values()) == {Outcome.NO_HIT}


def test_a_rule_that_fails_answers_error_and_asks_for_nothing() -> None:
    def fails(_: object) -> NDArray[np.bool_]:
        raise ZeroDivisionError

    rule = Rule("broken", "1", Severity.DECLINE, "amount_minor", ("amount_minor",), "", fails)
    book = RuleBook([rule], SERVICE.columns)
    outcomes = book.judge(np.zeros((2, len(SERVICE.columns))))
    assert outcomes.ravel().tolist() == [Outcome.ERROR, Outcome.ERROR]
    assert book.severity(outcomes).tolist() == [0, 0]


def test_every_feature_of_the_service_has_a_family() -> None:
    assert [name for name in SERVICE.columns if family(name)[0] == "OTHER"] == []


def test_lanes_survive_the_metadata_and_what_is_not_ours_is_refused() -> None:
    lanes = {f"events.terminal/{n}": n << 40 for n in range(90)}
    assert decode_lanes(encode_lanes(lanes, "x"), "x") == lanes
    for text in (None, "", "{}", '{"v":2,"lanes":{}}'):
        with pytest.raises(StateError):
            decode_lanes(text, "features.log/0")
    with pytest.raises(StateError):
        encode_lanes({f"events.terminal/{n}": n << 40 for n in range(400)}, "x")
