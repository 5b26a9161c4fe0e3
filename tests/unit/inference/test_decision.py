"""Rules, thresholds and fallback: who settles a decision."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import StateError
from contracts.frame import Columns
from features.expressions import parse
from inference.models.manifest import RowLimits
from inference.policy.decision import DECIDED_BY, RISK_BANDS, decide
from inference.policy.policy import read_policy
from inference.policy.reasons import family
from inference.policy.rule import Rule
from inference.policy.rules import Outcome, RuleBook, declared_rules
from inference.scorer.position import decode_lanes, encode_lanes
from load.chaos.collect import declared
from load.oracle import decisions as oracle
from load.oracle.dump import ModelText
from load.oracle.sources import ProjectOracle
from load.this_project import DECISIONS as DECLARED
from load.this_project import PROJECT, SERVICE
from tests.unit.inference.support import policy

THRESHOLDS = (0.5, 0.9)
PLAIN = declared(PROJECT, 1, 1)
DECISIONS = DECLARED.names
REVIEW, DECLINE = 1, 2


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


def test_what_no_rule_touched_is_not_said_to_be_a_rules() -> None:
    decided = decide(None, THRESHOLDS, np.array([0, 1, 2], np.uint8))
    assert [DECISIONS[code] for code in decided.decision] == ["approve", "review", "decline"]
    assert [DECIDED_BY[code] for code in decided.decided_by] == ["default", "rule", "rule"]


@pytest.mark.parametrize(
    ("limits", "score", "decision"),
    [
        ((0.5, 1.0), 1.0, "review"),
        ((1.0, 1.0), 1.0, "approve"),
        ((0.5, np.nextafter(1.0, 0.0)), 1.0, "decline"),
        ((np.array([0.5]), np.array([1.0])), 1.0, "review"),
        ((np.array([1.0]), np.array([1.0])), 1.0, "approve"),
    ],
)
def test_a_threshold_of_one_is_reached_by_no_score(limits: RowLimits, score: float, decision: str) -> None:
    decided = decide(np.array([score]), limits, np.zeros(1, np.uint8))
    assert DECISIONS[decided.decision[0]] == decision


@given(
    st.sampled_from([0.0, 0.3, 0.5, np.nextafter(1.0, 0.0), 1.0]),
    st.sampled_from([0.3, 0.5, np.nextafter(1.0, 0.0), 1.0]),
    st.sampled_from([None, 0.0, 0.3, 0.5, 1.0]),
    st.integers(0, 2),
    st.sampled_from(["approve", "review", "decline"]),
)
def test_the_oracle_decides_the_same_on_its_own(
    review: float, decline: float, score: float | None, by_rules: int, fallback: str
) -> None:
    limits = (min(review, decline), decline)
    model = ModelText("", dict(zip(DECISIONS[1:], limits, strict=True)))
    said = msgspec.structs.replace(PLAIN, fallback=fallback)
    scores = np.array([np.nan if score is None else score])
    mine = decide(scores, limits, np.array([by_rules], np.uint8), DECISIONS.index(fallback))
    words = zip((DECISIONS, DECIDED_BY, RISK_BANDS), mine, strict=True)
    assert oracle.decide(score, by_rules, said, model) == tuple(names[code[0]] for names, code in words)


def test_a_fallback_that_approves_leaves_rules_their_say() -> None:
    decided = decide(np.array([np.nan, np.nan]), THRESHOLDS, np.array([0, 1], np.uint8), 0)
    assert [DECISIONS[code] for code in decided.decision] == ["approve", "review"]
    assert [DECIDED_BY[code] for code in decided.decided_by] == ["fallback", "rule"]


def _hits(**values: float) -> dict[str, int]:
    vector = np.full((1, len(SERVICE.columns)), np.nan)
    for name, value in values.items():
        vector[0, SERVICE.columns.index(name)] = value
    book = RuleBook(declared_rules(policy().policy.rules, PROJECT), SERVICE.columns, PROJECT)
    return dict(zip([rule.id for rule in book.rules], book.judge(vector, {})[0].tolist(), strict=True))


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


def _rule(name: str, when: str, severity: int = REVIEW) -> Rule:
    return Rule(name, "1", severity, "", parse(when), "")


def test_a_rule_that_fails_answers_error_and_asks_for_nothing_and_no_other_rule_does() -> None:
    rules = [_rule("late", "hour(event_time) > 22", DECLINE), _rule("zero", "amount_minor == 0")]
    book, vectors = RuleBook(rules, SERVICE.columns, PROJECT), np.zeros((2, len(SERVICE.columns)))
    outcomes = book.judge(vectors, {})  # the rows lack their times
    assert outcomes.tolist() == [[Outcome.ERROR, Outcome.HIT]] * 2
    assert book.severity(outcomes).tolist() == [REVIEW] * 2
    assert book.answered(vectors, outcomes).all()


def test_a_rule_reads_what_is_recorded_of_the_event() -> None:
    book = RuleBook(
        [_rule("late", "hour(event_time) > 22 and terminal_id != 's1'")], SERVICE.columns, PROJECT
    )
    rows: Columns = {
        "event_time": np.array([23, 22, 23]) * 3_600_000, "terminal_id": np.array([b"s2", b"s2", b"s1"])
    }  # fmt: skip
    assert book.judge(np.zeros((3, len(SERVICE.columns))), rows).ravel().tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("when", "hit", "knew"),
    [
        ("amount_minor > 5 and customer_count_1h > 5", False, False),
        ("amount_minor > 5 or customer_count_1h > 5", True, True),
        ("not customer_count_1h > 5", False, False),
        ("customer_count_1h is null", True, True),
        ("coalesce(customer_count_1h, 9) > 5", True, True),
        ("customer_count_1h / is_night > 0 or amount_minor == 6", False, False),
        ("amount_minor / is_night > 0", False, True),
    ],
)
def test_null_is_as_in_sql_and_a_hit_knows_enough(when: str, hit: bool, knew: bool) -> None:
    vector = np.zeros((1, len(SERVICE.columns)))
    vector[0, SERVICE.columns.index("amount_minor")] = 7.0
    vector[0, SERVICE.columns.index("customer_count_1h")] = np.nan
    book = RuleBook([_rule("it", when)], SERVICE.columns, PROJECT)
    outcomes = book.judge(vector, {})
    assert (bool(outcomes[0, 0] == Outcome.HIT), bool(book.answered(vector, outcomes)[0])) == (hit, knew)


def _old_rules(v: dict[str, float]) -> list[bool]:
    """The four rules as they were in Python; a comparison with NaN is false."""
    return [
        v["amount_minor"] > 1_000_000,
        v["customer_count_1h"] > 10,
        v["customer_amount_ratio_30d"] > 20.0 and v["amount_minor"] > 20_000,
        v["terminal_fraud_ratio_7d"] >= 0.5 and v["terminal_labels_7d"] >= 4,
    ]


def test_the_shipped_rules_are_those_that_were_code_and_the_oracle_agrees() -> None:
    rng, rules = np.random.default_rng(8), declared_rules(policy().policy.rules, PROJECT)
    vectors = np.zeros((2000, len(SERVICE.columns)))
    near = {
        "amount_minor": [0, 20_000, 20_001, 1_000_000, 1_000_001], "customer_count_1h": [10, 11],
        "customer_amount_ratio_30d": [20.0, np.nextafter(20.0, 21)], "terminal_labels_7d": [3, 4],
        "terminal_fraud_ratio_7d": [0.5, np.nextafter(0.5, 0)],
    }  # fmt: skip
    for name, values in near.items():
        vectors[:, SERVICE.columns.index(name)] = rng.choice([*values, np.nan], len(vectors))
    outcomes = RuleBook(rules, SERVICE.columns, PROJECT).judge(vectors, {})
    theirs = oracle.Rules(PLAIN, ProjectOracle(PLAIN).scored.kinds)
    for vector, outcome in zip(vectors.tolist(), outcomes.tolist(), strict=True):
        known = dict(zip(SERVICE.columns, vector, strict=True))
        hits = [code == Outcome.HIT for code in outcome]
        assert hits == _old_rules(known) == list(theirs.hits(known).values())
    assert {0, 1} == set(outcomes.ravel().tolist())


def test_every_feature_of_the_service_has_a_family() -> None:
    texts = read_policy(PROJECT.policy_path, PROJECT).policy.reasons.texts
    assert [name for name in SERVICE.columns if family(name, texts)[0] == "OTHER"] == []


def test_lanes_survive_the_metadata_and_what_is_not_ours_is_refused() -> None:
    lanes = {f"events.terminal/{n}": n << 40 for n in range(90)}
    assert decode_lanes(encode_lanes(lanes, "x"), "x") == lanes
    for text in (None, "", "{}", '{"v":2,"lanes":{}}'):
        with pytest.raises(StateError):
            decode_lanes(text, "features.log/0")
    with pytest.raises(StateError):
        encode_lanes({f"events.terminal/{n}": n << 40 for n in range(400)}, "x")
