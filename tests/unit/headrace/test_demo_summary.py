"""The demo's summary adds up when nothing is wrong, and says so when something is."""

from collections import Counter

import numpy as np
import pytest

from headrace.demo.faults import InjectedFault, reports
from headrace.demo.plan import DemoPlan, Faults, Parts, parts, refreshes
from headrace.demo.quality import live_quality, truth_by_slot
from headrace.demo.summary import Facts, summarise
from headrace.traffic.observed import Observed, SeenDeadLetter, SeenPrediction
from load.this_project import PROJECT

ROWS = 200


def _seen(number: int, score: float | None = 0.1) -> SeenPrediction:
    return SeenPrediction(
        f"t{number}", f"p{number}", "approve", "model" if score is not None else "rule", score=score
    )


def _good() -> tuple[Observed, Facts]:
    """200 payments, of which row 10 repeats row 9 and row 20 is refused; all else predicted."""
    ids = [f"t{9 if i == 10 else i}" for i in range(ROWS)]
    observed = Observed.of(ids, PROJECT)
    for i in range(ROWS):
        if i not in (10, 20):
            observed.add([_seen(i)], at_s=100.0 + i + 0.05)
    letter = SeenDeadLetter("transactions", "E_CONTRACT_RANGE", b"c", b"{}", "t20")
    observed.add_dead_letter(("transactions", 0, 7), letter)
    facts = Facts(Parts(120, 180, 180, ROWS), scored_sent=ROWS, scheduled_s=100.0 + np.arange(180, ROWS))
    facts.phase_seconds, facts.phase_events = {"history": 2.0, "live": 1.0}, {"history": 120, "live": 60}
    return observed, facts


def test_a_run_without_loss_adds_up() -> None:
    summary = summarise(*_good())
    assert summary["problems"] == []
    assert (summary["events_in"], summary["predictions"], summary["dead_letters"]) == (200, 198, 1)
    assert (summary["duplicates"], summary["repeats_ignored"], summary["missing"]) == (0, 1, 0)
    assert summary["events_per_second"] == 60.0
    assert summary["latency_ms"]["p50"] == pytest.approx(50.0, abs=0.2)


def test_a_lost_prediction_is_a_problem() -> None:
    observed, facts = _good()
    slot = observed.slot_of["t50"]
    observed.outcomes.count[slot] = 0
    observed.done[slot] = False
    summary = summarise(observed, facts)
    assert summary["missing"] == 1
    assert any("no prediction, the first is row 50" in problem for problem in summary["problems"])
    assert any("199 are accounted for" in problem for problem in summary["problems"])


def test_a_second_prediction_is_a_problem() -> None:
    observed, facts = _good()
    observed.add([_seen(50)], at_s=400.0)
    summary = summarise(observed, facts)
    assert summary["duplicates"] == 1
    assert any("more than one prediction" in problem for problem in summary["problems"])


def test_a_loss_and_a_double_do_not_cancel() -> None:
    observed, facts = _good()
    observed.add([_seen(50)], at_s=400.0)
    slot = observed.slot_of["t60"]
    observed.outcomes.count[slot], observed.done[slot] = 0, False
    problems = summarise(observed, facts)["problems"]
    assert any("no prediction" in problem for problem in problems)
    assert any("more than one" in problem for problem in problems)


def test_a_prediction_for_nobody_is_a_problem() -> None:
    observed, facts = _good()
    observed.add([SeenPrediction("stranger", "p", "approve", "rule")], at_s=1.0)
    assert any("never sent" in problem for problem in summarise(observed, facts)["problems"])


def test_payments_that_were_never_sent_are_a_problem() -> None:
    observed, facts = _good()
    facts.scored_sent = 150
    assert any("50 records were never sent" in problem for problem in summarise(observed, facts)["problems"])


def test_a_dead_letter_read_twice_counts_once() -> None:
    observed, facts = _good()
    letter = SeenDeadLetter("transactions", "E_CONTRACT_RANGE", b"c", b"{}", "t20")
    observed.add_dead_letter(("transactions", 0, 7), letter)
    assert summarise(observed, facts)["problems"] == []


def test_a_refused_repeat_is_not_counted_as_ignored_too() -> None:
    observed, facts = _good()
    letter = SeenDeadLetter("transactions", "E_DUP_CONFLICT", b"c", b"{}", "t9")
    observed.add_dead_letter(("transactions", 1, 3), letter)
    summary = summarise(observed, facts)
    assert summary["repeats_ignored"] == 0
    assert summary["problems"] == []


def _malformed(code_seen: str | None) -> list[str]:
    observed, facts = _good()
    facts.malformed = Counter({(b"c", b"broken", "E_DECODE_JSON"): 1})
    if code_seen is not None:
        letter = SeenDeadLetter("transactions", code_seen, b"c", b"broken", "")
        observed.add_dead_letter(("transactions", 2, 2), letter)
    problems: list[str] = summarise(observed, facts)["problems"]
    return problems


def test_malformed_records_must_come_out_with_their_code() -> None:
    assert _malformed("E_DECODE_JSON") == []
    assert any("awaited E_DECODE_JSON, came out as ['E_KEY_NULL']" in p for p in _malformed("E_KEY_NULL"))
    assert any("came out as nothing" in problem for problem in _malformed(None))


def test_metrics_are_of_live_scored_rows_and_the_last_label() -> None:
    observed = Observed.of([f"t{i}" for i in range(40)], PROJECT)
    for i in range(40):
        observed.add([_seen(i, None if i < 20 or i == 39 else 0.9 if i % 4 == 0 else 0.1)], at_s=1.0)
    ids = [f"t{i}" for i in range(40)] + ["t21"]
    fraud = np.array([i % 4 == 0 for i in range(40)] + [True])
    truth = truth_by_slot(observed, ids, fraud)
    figures = live_quality(observed, truth, 20, np.array([b"c"] * 40), np.arange(40) * 1000)
    assert (figures["rows"], figures["positives"]) == (19, 6)
    assert 0.9 < figures["auc"] < 1.0  # the corrected one scored low
    assert figures["live_from_ms"] == 20_000


def test_an_outage_without_live_traffic_proves_nothing() -> None:
    observed, _ = _good()
    late = InjectedFault("redis_outage", began_s=1_000.0, ended_s=1_020.0)
    assert "no live traffic met it" in reports([late], observed)["redis_outage"]["problem"]


def test_an_outage_in_which_scoring_went_on_is_reported() -> None:
    observed, _ = _good()
    report = reports([InjectedFault("redis_outage", began_s=150.0, ended_s=170.0)], observed)["redis_outage"]
    assert "problem" not in report
    assert report["predictions_during"] == 20
    assert report["recovered_s"] == pytest.approx(0.05, abs=0.01)


def test_rows_that_do_not_come_back_are_a_problem() -> None:
    observed, _ = _good()
    flush = InjectedFault("redis_flush", 150.0, 180.0, {"keys_before": 10, "keys_after": 4})
    assert "did not come back" in reports([flush], observed)["redis_flush"]["problem"]


def test_live_rows_are_cut_for_faults_and_for_the_paced_part() -> None:
    plan = DemoPlan(faults=Faults(redis_outage_s=20.0))
    cut = parts(np.arange(100_000), plan)
    assert (cut.live, cut.paced, cut.end) == (60_000, 96_000, 100_000)
    assert cut.paced - cut.faults == 32 * 300
    small = parts(np.arange(1_000), plan)
    assert small.live <= small.faults < small.paced


def test_batch_views_are_made_again_before_they_grow_too_old() -> None:
    day_ms = 86_400_000
    moment_ms = np.arange(0, 36 * day_ms, day_ms // 10)
    rows = refreshes(moment_ms, 0, len(moment_ms))
    assert np.diff([0, *rows]).max() <= 70
    assert len(rows) == 5
