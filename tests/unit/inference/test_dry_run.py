"""A dry run says what another policy would have decided, and thresholds are the cheapest there are."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import StateError
from inference.offline.lake.lake import Lake
from inference.offline.replay.dry_run import DryRun, DryRunner
from inference.policy.policy import DeclaredPolicy, ReviewTerms
from inference.policy.store import find
from inference.policy.threshold_choice import Scored, choose, of_lake
from inference.release.registry import Registry
from load.this_project import PROJECT
from runtime.clock import SystemClock
from tests.unit.inference.conftest import Made
from tests.unit.inference.decided import TIGHT, decided_lake, registry_of, write_predictions
from tests.unit.inference.support import policy


class Decided:
    """A decided lake, and its predictions of one policy alone."""

    def __init__(self, lake: Lake, registry: Registry, records: list[bytes]) -> None:
        self.lake, self.registry, self.records = lake, registry, records
        self.said = [orjson.loads(record) for record in records]

    def run(self, declared: DeclaredPolicy, **times: int) -> DryRun:
        return DryRunner(self.lake, self.registry, declared, SystemClock()).run(**times)


@pytest.fixture(scope="module")
def decided(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Decided:
    folder = tmp_path_factory.mktemp("decided")
    registry = registry_of(made, folder / "models")
    lake, records = decided_lake(folder / "lake", registry)
    return Decided(lake, registry, records)


def _one_policy(decided: Decided, folder: Path, version: str) -> tuple[Decided, DeclaredPolicy]:
    """Return a lake whose predictions are those of one policy."""
    records = [
        r for r, one in zip(decided.records, decided.said, strict=True) if one["policy"]["version"] == version
    ]
    write_predictions(Lake(folder, PROJECT), records)
    for dataset in ("label_log",):
        (folder / dataset).symlink_to(decided.lake.folder / dataset)
    sha256 = orjson.loads(records[0])["policy"]["sha256"]
    return Decided(Lake(folder, PROJECT), decided.registry, records), find(
        decided.registry.models, sha256, PROJECT
    )


@pytest.mark.parametrize("version", ["1", "2", "3"])
def test_the_policy_that_decided_moves_nothing(decided: Decided, tmp_path: Path, version: str) -> None:
    mine, declared = _one_policy(decided, tmp_path, version)
    found = mine.run(declared)
    assert (found.moved, found.moves) == (0, [])
    assert found.events == len(mine.records) > 100
    assert found.before == found.after
    assert found.before.decisions == {
        name: Counter(one["decision"] for one in mine.said)[name] for name in ("approve", "review", "decline")
    }


def test_lower_thresholds_move_whom_they_must(decided: Decided, tmp_path: Path) -> None:
    mine, _ = _one_policy(decided, tmp_path, "1")
    found = mine.run(policy(thresholds=TIGHT))
    scored = [one for one in mine.said if one.get("score") is not None]
    due = Counter()
    for one in scored:
        by_score = (one["score"] >= TIGHT["review"]) + (one["score"] >= TIGHT["decline"])
        by_rule = any(rule["outcome"] == "hit" for rule in one["rules"])
        after = ("approve", "review", "decline")[max(by_score, by_rule)]
        if after != one["decision"]:
            due[one["decision"], after] += 1
    moved: Counter[tuple[str, str]] = Counter()
    for move in found.moves:
        moved[move.before, move.after] += move.events
        assert move.positives + move.legitimate + move.unknown == move.events
        assert 0 < len(move.sample) <= 5
    assert moved == due
    assert sum(due.values()) > 20
    assert {move.cause for move in found.moves} >= {"threshold"}


def test_a_rule_that_is_switched_off_is_named_as_the_cause(decided: Decided, tmp_path: Path) -> None:
    mine, _ = _one_policy(decided, tmp_path, "1")
    rules = _rules(terminal_frauds={"enabled": False})
    found = mine.run(policy(rules=rules))
    hits = {
        one["prediction_id"] for one in mine.said
        if [r["id"] for r in one["rules"] if r["outcome"] == "hit"] == ["terminal_frauds"]
        and one["decided_by"] == "rule"
    }  # fmt: skip
    assert found.moved == len(hits) > 5
    assert {move.cause for move in found.moves} == {"rule terminal_frauds"}
    assert all(set(move.sample) <= hits for move in found.moves)


def _rules(**changes: dict[str, Any]) -> dict[str, Any]:
    rules: dict[str, Any] = msgspec.to_builtins(policy().policy.rules)
    for name, change in changes.items():
        rules[name] |= change
    return rules


def test_money_is_of_known_labels_alone(decided: Decided, tmp_path: Path) -> None:
    mine, _ = _one_policy(decided, tmp_path, "1")
    found = mine.run(policy(thresholds={"review": 0.0, "decline": 0.0}))
    labels = decided.lake.read("label_log", ["transaction_id", "positive"]).to_pylist()
    known = {row["transaction_id"]: row["positive"] for row in labels}
    lost = sum(
        one["features"]["values"][0] for one in mine.said
        if one["decision"] == "approve" and known.get(one["event_id"]) == 1
    )  # fmt: skip
    assert found.before.positive_approved_minor == lost > 0
    unscored = [one for one in mine.said if one.get("score") is None]
    after = sum(
        one["features"]["values"][0] for one in unscored
        if one["decision"] == "approve" and known.get(one["event_id"]) == 1
    )  # fmt: skip
    assert found.after.positive_approved_minor == after
    wrong = [one for one in mine.said if one.get("score") is not None and known.get(one["event_id"]) == 0]
    assert found.after.legitimate_declined == len(wrong)


def test_a_gatekeeper_shows_its_share_its_mistakes_and_its_cost(decided: Decided, tmp_path: Path) -> None:
    mine, _ = _one_policy(decided, tmp_path, "1")
    gate = {"mode": "declared", "clear": {"amount_minor": {"at_most": 1e9}}}
    found = mine.run(policy(gatekeeper=gate)).gatekeeper
    scored = [one for one in mine.said if one.get("score") is not None]
    quiet = [one for one in scored if not any(rule["outcome"] == "hit" for rule in one["rules"])]
    assert found.events == len(quiet)
    assert found.otherwise == sum(one["decision"] != "approve" for one in quiet)
    proven = mine.run(policy(gatekeeper=gate | {"mode": "proven"}))
    assert (proven.moved, proven.gatekeeper.events) == (0, 0)


def test_a_range_of_event_time_is_kept_to(decided: Decided) -> None:
    middle = sorted(one["event_time"] for one in decided.said)[700]
    early, late = (decided.run(policy(), **{name: middle}) for name in ("to_ms", "from_ms"))
    assert early.events + late.events == len(decided.said)
    assert early.events == sum(one["event_time"] < middle for one in decided.said)


def test_a_model_that_is_gone_is_counted_and_left_out(decided: Decided, tmp_path: Path) -> None:
    found = DryRunner(decided.lake, Registry(tmp_path), policy()).run()
    scored = sum("model" in one for one in decided.said)
    assert found.not_comparable == {"model not in the registry": scored}
    assert found.events == len(decided.said) - scored


payments = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 30_000), st.sampled_from([-1, 0, 1])), min_size=1, max_size=25
)


@settings(max_examples=150, deadline=None)
@given(
    payments, st.integers(0, 12), st.sampled_from([0, 300, 5000]), st.sampled_from([0, 1000]), st.floats(0, 1)
)
def test_no_other_pair_of_thresholds_costs_less(
    rows: list[tuple[int, int, int]], cards: int, review: int, decline: int, loss: float
) -> None:
    score, amount, label = (np.array(column, float) for column in zip(*rows, strict=True))
    scored = Scored(score / 10, amount, label.astype(np.int64), days=2)
    terms = ReviewTerms(
        cases_a_day=cards, review_cost_minor=review, decline_cost_minor=decline, loss_share=loss
    )
    chosen = choose(scored, terms)

    def cost(low: float, high: float) -> tuple[float, int]:
        approved, declined = scored.score < low, scored.score >= high
        looked = ~approved & ~declined & (label >= 0)
        lost = (amount[approved & (label == 1)]).sum() * loss
        return lost + review * looked.sum() + decline * (declined & (label == 0)).sum(), int(looked.sum())

    grid = [step / 10 for step in range(11)]
    least = min(
        cost(low, high)[0] for low in grid for high in grid if low <= high and cost(low, high)[1] <= cards * 2
    )
    mine, looked = cost(chosen.review, chosen.decline)
    assert looked <= cards * 2
    assert mine == pytest.approx(least, abs=1e-6)
    assert chosen.cost_minor == pytest.approx(mine, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(payments, st.integers(0, 12), st.integers(1, 400), st.integers(0, 10), st.floats(0, 1))
def test_payments_without_a_label_move_no_threshold(
    rows: list[tuple[int, int, int]], cards: int, more: int, at: int, loss: float
) -> None:
    score, amount, label = (np.array(column, float) for column in zip(*rows, strict=True))
    terms = ReviewTerms(cases_a_day=cards, review_cost_minor=300, decline_cost_minor=1000, loss_share=loss)
    known = label >= 0
    fewer = Scored(score[known] / 10, amount[known], label[known].astype(np.int64), days=2)
    column = [np.full(more, value) for value in (at / 10, 2000.0, -1)]
    all_of_them = [np.append(a, b) for a, b in zip((score / 10, amount, label), column, strict=True)]
    others = Scored(all_of_them[0], all_of_them[1], all_of_them[2].astype(np.int64), days=2)
    one, two = choose(fewer, terms), choose(others, terms)
    assert (one.review, one.decline, one.cost_minor) == (two.review, two.decline, two.cost_minor)
    assert two.events == len(score) + more
    assert two.labelled == known.sum()


def test_a_hundred_payments_not_yet_labelled_do_not_decline_what_was_reviewed() -> None:
    terms = ReviewTerms(cases_a_day=1000, review_cost_minor=500, decline_cost_minor=1000, loss_share=1.0)
    label = np.array([1] * 45 + [0] * 55 + [-1] * 100)
    found = choose(Scored(np.full(200, 0.5), np.full(200, 2000.0), label, days=1), terms)
    assert (found.review, found.decline, found.cost_minor) == (0.5, 1.0, 50_000.0)
    assert (found.reviews_a_day, found.reviews_of_all, found.declines_of_all) == (100.0, 1.0, 0.0)


def test_three_labels_advise_nothing(decided: Decided, tmp_path: Path) -> None:
    lake = Lake(tmp_path, PROJECT)
    write_predictions(lake, decided.records)
    scored = [one for one in decided.said if "score" in one]
    folder = tmp_path / "label_log" / "partition=0"
    folder.mkdir(parents=True)
    for labelled, code in ((scored[:3], "E_THRESHOLDS_FEW"), (scored[:200], "E_THRESHOLDS_FEW")):
        size = len(labelled)
        outcomes = np.arange(size) < 3  # many labels of one outcome are as few
        table: dict[str, Any] = {"transaction_id": [one["event_id"] for one in labelled]}
        table |= {f"{name}_id": [one["keys"][name] for one in labelled] for name in ("customer", "terminal")}
        table |= {"positive": outcomes.astype(np.int8), "label_time": [1] * size}
        table |= {"terminal_pos": np.arange(size), "offset": np.arange(size)}
        pq.write_table(pa.table(table), folder / "0.parquet")
        with pytest.raises(StateError, match=code):
            of_lake(lake)


def test_thresholds_come_of_the_lakes_scores_and_labels(decided: Decided, tmp_path: Path) -> None:
    scored = of_lake(decided.lake)
    assert len(scored.score) == sum("score" in one for one in decided.said)
    assert set(scored.label.tolist()) == {-1, 0, 1}
    chosen = choose(scored, policy().policy.review)
    assert 0 <= chosen.review <= chosen.decline <= 1
    assert chosen.reviews_a_day <= policy().policy.review.cases_a_day
    assert chosen.cost_minor < chosen.cost_of_approving_all_minor
    write_predictions(Lake(tmp_path, PROJECT), decided.records)
    with pytest.raises(StateError, match="E_THRESHOLDS_EMPTY"):
        of_lake(Lake(tmp_path, PROJECT))


def test_a_rule_on_a_field_that_no_prediction_records_reads_it_in_the_lake(
    decided: Decided, tmp_path: Path
) -> None:
    mine, _ = _one_policy(decided, tmp_path, "1")
    (tmp_path / "features").symlink_to(decided.lake.folder / "features")
    asks = {"severity": "decline", "reason": "So."}
    read = {"here": {"when": "currency == 'EUR'", **asks}, "there": {"when": "currency == 'USD'", **asks}}
    everywhere, nowhere = (mine.run(policy(rules={name: read[name]})) for name in ("here", "there"))
    assert everywhere.after.decisions["decline"] == everywhere.events
    assert nowhere.after.decisions["decline"] == nowhere.before.decisions["decline"] < nowhere.events
