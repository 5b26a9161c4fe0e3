"""The review queue: who gets in, exactly so many a day whatever the batches, and what verdicts make of it."""

from typing import Any

import msgspec
import numpy as np
import pytest

from contracts.events import ReviewCase, ReviewVerdict
from contracts.frame import Columns, take
from features.definition import DAY_MS
from inference.models.manifest import Thresholds
from inference.models.model import Model, ModelName
from inference.policy.policy import ReviewTerms
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.served import FeatureServer
from inference.release.live import Live, LiveCanary
from inference.review.desk import Opened, ReviewDesk, Sampled, drawn
from inference.review.queue import Case, figures, now_ms, order, queue
from inference.scorer.core import ScorerCore
from inference.scorer.position import decode_position, encode_lanes
from load.this_project import PROJECT
from tests.unit.inference.support import EPOCH, MemoryReader, StillClock, feature_rows, policy
from tests.unit.inference.test_scorer_core import OneModel

SAMPLE = {"uncertain": {"a_day": 7, "margin": 0.1}, "random": {"a_day": 5, "share": 0.2}}


class Rising:
    """A model whose score is a hash of the amount, spread over 0..1."""

    identity = ModelName("rising", "1", "champion", "0" * 64)
    thresholds = Thresholds(review=0.6, decline=0.9)

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """Return a number in 0..1 for each amount."""
        return (vectors[:, 0] * 0.6180339887) % 1.0

    def contributions(self, vectors: np.ndarray) -> np.ndarray:
        """Return nothing of use."""
        return np.zeros((len(vectors), vectors.shape[1] + 1))


class Desk:
    """A core and a desk, over batches of any size."""

    def __init__(self, model: Model | None = None, models: OneModel | None = None, **parts: Any) -> None:
        self.engine_policy = policy(**parts)
        server = FeatureServer(PROJECT, MemoryReader(), Breaker(250.0), EPOCH, cache_rows=100)
        self._core = ScorerCore(
            PROJECT, server, models or OneModel(model), StillClock(), EPOCH, FixedPolicy(self.engine_policy)
        )
        self._desk = ReviewDesk(EPOCH, 2, PROJECT)
        self.spent: dict[int, Sampled] = {}
        self.cases: list[ReviewCase] = []
        self.decisions: dict[str, str] = {}
        self.models: dict[str, str] = {}

    def take(self, rows: Columns) -> Opened:
        """Decide a batch and open its cases; what is spent goes through a committed offset's metadata."""
        scored = self._core.score(rows, 0.0)
        assert scored.judged is not None
        assert scored.engine is not None
        assert scored.arms is not None
        opened = self._desk.open(rows, scored.judged, scored.engine, scored.arms, 1, self.spent)
        for number, sampled in opened.spent.items():
            metadata = encode_lanes({"events.terminal/0": 1}, "x", sampled)
            self.spent[number] = decode_position(metadata, "x").sampled
        self.cases += [msgspec.json.decode(record["value"], type=ReviewCase) for record in opened.records]
        for value in scored.predictions:
            one = msgspec.json.decode(value)
            self.decisions[one["prediction_id"]] = one["decision"]
            if model := one.get("model"):
                self.models[one["prediction_id"]] = f"{model['name']}/{model['version']}"
        return opened


def _days(partition: int, days: int = 4, a_day: int = 500) -> Columns:
    rows = feature_rows(days * a_day, seed=partition, partition=partition)
    rows["event_time"] = (rows["event_time"][0] // DAY_MS + np.arange(days * a_day) // a_day) * DAY_MS + 5
    rows["amount_minor"] = np.arange(days * a_day) + 1
    rows["customer_values"] = np.minimum(rows["customer_values"], 5.0)
    rows["terminal_values"] = np.zeros_like(rows["terminal_values"])
    return rows


def test_every_review_and_nothing_else_is_a_case_where_nothing_is_sampled() -> None:
    off = {"uncertain": {"a_day": 0, "margin": 0.5}, "random": {"a_day": 0, "share": 1.0}}
    desk = Desk(Rising(), sample=off)
    desk.take(_days(0))
    reviewed = {name for name, decision in desk.decisions.items() if decision == "review"}
    assert {case.case_id for case in desk.cases} == reviewed
    assert len(desk.cases) == len(reviewed) > 100
    assert {case.why for case in desk.cases} == {"decision"}


class Canaried(OneModel):
    """Two models of one mind, the second decides for half of the customers."""

    def live(self) -> Live:
        """Return both."""
        canary = Rising()
        canary.identity = ModelName("rising", "2", "canary", "1" * 64)
        return Live(Rising(), LiveCanary(canary, 50.0, 0))


def test_a_case_names_the_model_that_decided_its_payment() -> None:
    off = {"uncertain": {"a_day": 0, "margin": 0.1}, "random": {"a_day": 0, "share": 0.2}}
    desk = Desk(Rising(), Canaried(Rising()), sample=off)
    desk.take(_days(0))
    named = {case.case_id: case.model for case in desk.cases}
    assert set(named.values()) == {"rising/1", "rising/2"}
    assert named == {name: desk.models[name] for name in named}


def test_a_days_budget_is_kept_to_the_case_over_all_partitions() -> None:
    desk = Desk(Rising(), sample=SAMPLE)
    for partition in (0, 1):
        desk.take(_days(partition))
    sampled: dict[tuple[str, int], int] = {}
    for case in desk.cases:
        if case.why != "decision":
            assert desk.decisions[case.case_id] != "review"
            sampled[case.why, case.event_time // DAY_MS] = (
                sampled.get((case.why, case.event_time // DAY_MS), 0) + 1
            )
    assert sampled == {
        (why, day): budget for why, budget in (("uncertain", 7), ("random", 5)) for _, day in sampled
    }
    assert len(sampled) == 8
    for case in desk.cases:
        if case.why == "uncertain":
            assert isinstance(case.score, float)
            assert abs(case.score - 0.6) <= 0.1


@pytest.mark.parametrize("size", [1, 7, 333])
def test_the_draw_is_the_same_whatever_the_batches(size: int) -> None:
    whole, parts = Desk(Rising(), sample=SAMPLE), Desk(Rising(), sample=SAMPLE)
    rows = _days(0, a_day=100)
    whole.take(rows)
    for begin in range(0, len(rows["event_time"]), size):
        parts.take(take(rows, slice(begin, begin + size)))
    # whether a batch had room for a case's reasons is its own affair
    assert [(case.case_id, case.why) for case in parts.cases] == [(c.case_id, c.why) for c in whole.cases]
    assert parts.spent == whole.spent


def test_a_payment_of_a_day_long_past_is_not_drawn() -> None:
    desk = Desk(Rising(), sample=SAMPLE)
    desk.take(_days(0, days=5))
    before = len([case for case in desk.cases if case.why != "decision"])
    desk.take(_days(0, days=1) | {"raw_offset": np.arange(500) + 10_000})
    assert len([case for case in desk.cases if case.why != "decision"]) == before


def test_the_slice_has_its_share_in_every_partition() -> None:
    offsets = np.arange(200_000)
    for partition in range(4):
        share = drawn(np.full(len(offsets), partition, np.int32), offsets, 0.02).mean()
        assert 0.018 < share < 0.022


# the queue


def _case(number: int, event_time: int, **fields: Any) -> bytes:
    case = ReviewCase(
        case_id=f"1-0-{number}", event_id=f"t{number}", keys={"customer": "c", "terminal": "m"},
        event_time=event_time, amount_minor=100, opened_at=number, why=fields.get("why", "decision"),
        decision="review", decided_by="model", score=fields.get("score", 0.5), policy="default/1", reasons=[],
    )  # fmt: skip
    return msgspec.json.encode(case)


def _verdict(number: int, who: str, verdict: str, at: int, name: str = "") -> bytes:
    said = ReviewVerdict(
        verdict_id=name or f"1-0-{number}/{at}/{who}", case_id=f"1-0-{number}", event_id=f"t{number}",
        verdict=verdict, who=who, why="so", decided_at=at,  # type: ignore[arg-type]
    )  # fmt: skip
    return msgspec.json.encode(said)


T0 = 1_700_000_000_000 // DAY_MS * DAY_MS


def _cases() -> dict[str, Case]:
    return queue(
        [
            _case(n, T0 + n * DAY_MS // 2, score=n / 10, why="random" if n == 3 else "decision")
            for n in range(5)
        ],
        [
            _verdict(0, "ana", "confirmed", T0 + DAY_MS),
            _verdict(1, "ana", "confirmed", T0 + DAY_MS),
            _verdict(1, "bob", "false_positive", T0 + 2 * DAY_MS),
            _verdict(3, "ana", "false_positive", T0 + 2 * DAY_MS),
            _verdict(3, "bob", "valuable_alert", T0 + 2 * DAY_MS),
            _verdict(3, "bob", "false_positive", T0 + 3 * DAY_MS),
            _verdict(99, "bob", "false_positive", T0 + 3 * DAY_MS),
        ],
    )


def test_a_case_is_open_until_someone_judged_it_and_disputed_while_they_differ() -> None:
    assert {name: case.state for name, case in _cases().items()} == {
        "1-0-0": "decided", "1-0-1": "disputed", "1-0-2": "open", "1-0-3": "decided", "1-0-4": "open"
    }  # fmt: skip


def test_a_verdict_that_comes_twice_counts_once_and_a_case_too() -> None:
    again = _verdict(0, "ana", "confirmed", T0, name="same")
    cases = queue([_case(0, T0), _case(0, T0)], [again, again])
    assert len(cases["1-0-0"].verdicts) == 1


def test_figures_add_up() -> None:
    cases = _cases()
    found = figures(
        cases, ReviewTerms(cases_a_day=1, review_cost_minor=0, decline_cost_minor=0, loss_share=1.0)
    )
    assert (found["cases"], found["open"], found["decided"], found["disputed"]) == (5, 2, 2, 1)
    assert found["capacity"] == {
        "cases_a_day": 1, "days": 3, "busiest_day": 2, "mean_a_day": round(5 / 3, 3), "days_over": 2
    }  # fmt: skip
    assert found["agreement"] == {"cases_of_several": 2, "agreed_ratio": 0.5}
    assert found["verdicts"] == {"confirmed": 2, "false_positive": 3}
    assert now_ms(cases) == T0 + 3 * DAY_MS
    assert found["open_age_ms"] == {"p50": 2 * DAY_MS, "p90": 2 * DAY_MS, "max": 2 * DAY_MS}
    assert found["confirmed_ratio_by_why"] == {"decision": 0.5, "random": 0.0}
    assert figures({}, policy().policy.review)["open_age_ms"] is None


def test_the_oldest_or_the_highest_come_first() -> None:
    cases = _cases().values()
    assert [case.opened.case_id[-1] for case in order(cases, "age")] == ["0", "1", "2", "3", "4"]
    assert [case.opened.case_id[-1] for case in order(cases, "score")] == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize(
    "bad", [b"", b"{", b"null", b"[" * 5000, b"\xff", b'{"case_id":1}', b'{"case_id":"\xff"}']
)
def test_one_bad_value_hides_no_case_and_no_verdict(bad: bytes) -> None:
    good = _case(1, T0), _verdict(1, "ana", "confirmed", T0 + DAY_MS)
    assert queue([bad, good[0], bad], [bad, good[1], bad]) == queue([good[0]], [good[1]])
