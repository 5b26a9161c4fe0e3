"""The generator keeps its plan: same seed, same bytes; shares and times where the plan puts them."""

import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from feature_repo.generate import WORKLOADS, workload
from feature_repo.generator.frauds import Pattern
from feature_repo.generator.payments import generate
from feature_repo.generator.plan import DAY_MS, HOUR_MS, FraudPlan, PaymentPlan

PLAN = PaymentPlan(seed=3, events=40_000, customers=2_000, terminals=500)


def _digest(table: pa.Table) -> str:
    rows = repr([column.to_pylist() for column in table.columns]).encode()
    return hashlib.sha256(rows).hexdigest()[:16]


def test_the_same_plan_gives_the_same_bytes() -> None:
    small = replace(PLAN, events=3_000)
    first, second = generate(small), generate(small)
    assert first.transactions.equals(second.transactions)
    assert first.labels.equals(second.labels)
    assert not generate(replace(small, seed=4)).transactions.equals(first.transactions)


def test_a_name_keeps_its_meaning() -> None:
    made = generate(workload("small"))
    assert (_digest(made.transactions), _digest(made.labels)) == ("91a065303105e3dd", "72f0da8357aa6f11")


def test_every_payment_is_there_once_and_repeats_have_the_same_fields() -> None:
    made = generate(PLAN)
    ids = made.transactions["transaction_id"].to_pylist()
    assert len(ids) == PLAN.events + PLAN.duplicates
    assert len(set(ids)) == PLAN.events
    rows = made.transactions.to_pylist()
    first = dict(zip(reversed(ids), reversed(rows), strict=True))
    assert all(first[ids[i]] == rows[i] for i in np.flatnonzero(made.repeat))


def test_frauds_come_in_the_shares_asked_for() -> None:
    made = generate(PLAN)
    pattern = made.pattern[~made.repeat]
    wanted = PLAN.events * PLAN.fraud.ratio
    assert int((pattern == Pattern.STOLEN_CARD).sum()) == round(wanted * PLAN.fraud.stolen_share)
    assert int((pattern == Pattern.CARD_TESTING).sum()) == round(wanted * PLAN.fraud.testing_share)
    # whole terminals are compromised, so the share is reached and overshot by at most one of them
    at_terminals = int((pattern == Pattern.COMPROMISED_TERMINAL).sum())
    assert wanted * PLAN.fraud.terminal_share <= at_terminals < wanted * (PLAN.fraud.terminal_share + 0.3)


def test_the_changed_pattern_appears_only_after_its_moment() -> None:
    plan = replace(PLAN, fraud=FraudPlan(changes_at_ratio=0.6))
    made = generate(plan)
    event_ms = np.asarray(made.transactions["event_time"])
    moment_ms = plan.start_ms + 0.6 * plan.span_ms
    assert event_ms[made.pattern == Pattern.STOLEN_CARD_CHANGED].min() >= moment_ms
    assert (made.pattern == Pattern.STOLEN_CARD_CHANGED).sum() > 20


def test_activity_is_skewed_and_days_have_a_rhythm() -> None:
    made = generate(PLAN)
    counts = np.sort(pc.value_counts(made.transactions["customer_id"]).field("counts").to_numpy())[::-1]
    expected_top = PLAN.events / (np.arange(1, PLAN.customers + 1) ** -PLAN.activity_skew).sum()
    assert counts[0] == pytest.approx(expected_top, rel=0.15)
    hour = np.asarray(made.transactions["event_time"]) // HOUR_MS % 24
    assert (hour == 3).mean() < 0.25 * (hour == 12).mean()


def test_late_events_are_few_and_bounded() -> None:
    made = generate(PLAN)
    assert (np.diff(made.deliver_ms) >= 0).all()
    delay_ms = (made.deliver_ms - np.asarray(made.transactions["event_time"]))[~made.repeat]
    assert (delay_ms > 0).mean() == pytest.approx(PLAN.late_ratio, abs=0.003)
    assert delay_ms.min() == 0
    assert delay_ms.max() <= PLAN.late_ms_max


def test_labels_come_about_a_week_later_and_end_with_the_truth() -> None:
    made = generate(PLAN)
    labels = made.labels
    label_ms, event_ms = np.asarray(labels["label_time"]), np.asarray(labels["event_time"])
    assert (np.diff(label_ms) >= 0).all()
    delay_days = (label_ms - event_ms) / DAY_MS
    assert np.median(delay_days) == pytest.approx(PLAN.labels.delay_days, rel=0.03)
    assert delay_days.min() > 0
    final = dict(zip(labels["transaction_id"].to_pylist(), labels["label"].to_pylist(), strict=True))
    truth = np.array([final[i] == "fraud" for i in made.transactions["transaction_id"].to_pylist()])
    assert (truth == (made.pattern != Pattern.HONEST)).all()
    corrected = labels.num_rows - PLAN.events
    assert 0 < corrected < 0.001 * PLAN.events


def test_frauds_and_honest_payments_wait_alike_for_their_labels() -> None:
    labels = generate(PLAN).labels
    charged = labels.filter(pc.equal(labels["source"], "chargeback"))
    ruled = labels.filter(pc.equal(labels["source"], "rule"))
    medians = [
        float(np.median(np.asarray(part["label_time"]) - np.asarray(part["event_time"])))
        for part in (charged, ruled)
    ]
    assert medians[0] == pytest.approx(medians[1], rel=0.15)


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_every_workload_generates_at_a_small_size(name: str) -> None:
    made = generate(replace(workload(name), events=2_000))
    assert made.transactions["transaction_id"].null_count == 0
