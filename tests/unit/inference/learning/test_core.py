"""The learner's core on lists: matured figures equal the offline ones, whatever order rows came in."""

import json
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from contracts.events import Quality
from contracts.frame import Kind, strings
from inference.learning.core import LearnerCore
from inference.learning.rows import SeriesNumbers, read_predictions
from inference.learning.settings import RetrainSettings
from inference.models.manifest import Thresholds
from load.this_project import PROJECT
from tests.handbook import HANDBOOK, needs_handbook
from tests.unit.inference.learning.offline import matured
from tests.unit.inference.learning.support import (
    DAY_MS,
    START_MS,
    THRESHOLDS,
    FixedModels,
    Label,
    Payment,
    feed,
    label_rows,
    make_core,
    payment_rows,
    record,
    settings,
)

COUNTS = (
    "events", "labelled", "positives", "true_positives", "false_positives", "false_negatives",
    "true_negatives", "approve_events", "review_events", "decline_events", "approve_labelled",
    "review_labelled", "decline_labelled", "caught_minor", "missed_minor", "blocked_good_minor",
    "review_cost_minor", "saved_minor",
)  # fmt: skip


def payments_of(count: int, seed: int = 1, days: int = 30) -> list[Payment]:
    """Return payments over some days; their ids repeat now and then."""
    chance = random.Random(seed)
    made = []
    for at in range(count):
        score = round(chance.random() ** 3, 2)
        decision = "approve" if score < 0.5 else "review" if score < 0.9 else "decline"
        made.append(
            Payment(
                id=f"t{at if at % 97 else max(0, at - 3)}", event_ms=START_MS + at * days * DAY_MS // count,
                offset=at // 2, partition=at % 2, score=None if at % 50 == 7 else score, decision=decision,
                amount_minor=chance.randrange(1, 100_000), channel=chance.choice(["pos", "ecommerce"]),
                model="fraud/1" if at < count // 2 else "fraud/2", shadow={"fraud/3": round(1 - score, 2)},
            )
        )  # fmt: skip
    return made


def labels_of(payments: list[Payment], seed: int = 2) -> list[Label]:
    """Return labels days later: corrected, repeated, of unknown payments, and none for some."""
    chance = random.Random(seed)
    made: list[Label] = []
    for at, payment in enumerate(payments):
        if chance.random() < 0.1:
            continue
        fraud = int(chance.random() < (payment.score or 0.0))
        known_ms = payment.event_ms + chance.randrange(1, 9 * DAY_MS)
        label = Label(
            id=payment.id, label_ms=known_ms, fraud=fraud, event_ms=payment.event_ms, pos=2 * at,
            partition=at % 3,
        )  # fmt: skip
        made.append(label)
        if at % 11 == 0:  # corrected later
            made.append(_later(label))
        if at % 13 == 0:
            made.append(label)  # repeated
        if at % 101 == 0:
            made.append(Label(id=f"nobody{at}", label_ms=known_ms, fraud=1, event_ms=payment.event_ms))
    chance.shuffle(made)
    return made


def _later(label: Label) -> Label:
    return Label(
        id=label.id, label_ms=label.label_ms + DAY_MS, fraud=1 - label.fraud, event_ms=label.event_ms,
        pos=label.pos + 1, partition=label.partition,
    )  # fmt: skip


def find(told: list[Quality], days: int, model: str | None, stage: str = "champion") -> Quality:
    """Return the one matured record of a window and model; None for all decisions."""
    found = [
        r for r in told
        if r.kind == "matured" and r.window_days == days
        and ((r.model == model and r.stage == stage) if model else not isinstance(r.model, str))
    ]  # fmt: skip
    assert len(found) == 1
    return found[0]


def check(record_: Quality, expected: dict[str, Any]) -> None:
    """Counts and money are equal to the last bit, figures within 1e-12."""
    assert {name: record_.counts[name] for name in COUNTS} == {n: expected["counts"][n] for n in COUNTS}
    for name, value in expected["figures"].items():
        assert record_.figures[name] == pytest.approx(value, abs=1e-12, rel=1e-12), name


def ending(payments: list[Payment], labels: list[Label]) -> int:
    """Return the moment of the last event."""
    return max(p.event_ms for p in payments)


@pytest.mark.parametrize("model", ["fraud/1", "fraud/2", None])
@pytest.mark.parametrize("days", [1, 7, 28])
def test_matured_figures_equal_the_offline_ones(days: int, model: str | None) -> None:
    payments = payments_of(3000)
    labels = labels_of(payments)
    core = make_core(models=FixedModels({"fraud/1": THRESHOLDS, "fraud/2": THRESHOLDS}))
    feed(core, payments, labels)
    for at_ms in (START_MS + 20 * DAY_MS, ending(payments, labels)):
        told = core.report(at_ms).quality
        expected = matured(payments, labels, at_ms, days, 7.0, 500, model)
        if expected["counts"]["payments"]:
            check(find(told, days, model), expected)


@pytest.mark.parametrize("name", ["customer_id", "terminal_id"])
def test_a_label_that_names_another_customer_or_terminal_meets_no_payment_and_is_reported(name: str) -> None:
    [payment] = payments_of(1)
    label = Label(
        id=payment.id, label_ms=payment.event_ms + DAY_MS, fraud=1, event_ms=payment.event_ms, pos=1
    )
    core, rows = make_core(), label_rows([label])
    feed(core, [payment], [])
    core.take_log({**rows, name: strings(["another"])}, Kind.LABEL, 0)
    told = core.report(payment.event_ms + 30 * DAY_MS).quality
    assert [r.event_id for r in told if r.kind == "label_unmatched"] == [payment.id]
    assert {r.counts["labelled"] for r in told if r.kind == "matured"} == {0}
    core.take_log(rows, Kind.LABEL, 0)
    told = core.report(payment.event_ms + 31 * DAY_MS).quality
    assert 1 in {r.counts["labelled"] for r in told if r.kind == "matured"}


def test_the_order_of_arrival_does_not_matter() -> None:
    payments = payments_of(1500)
    labels = labels_of(payments)
    one, other = make_core(), make_core()
    feed(one, payments, labels)
    mixed = random.Random(5)
    steps: list[Any] = [("p", p) for p in payments] + [("l", each) for each in labels]
    mixed.shuffle(steps)
    for kind, what in steps:
        if kind == "p":
            other.take_log(payment_rows([what]), Kind.SCORED, 0)
            other.take_predictions([record(what)])
        else:
            other.take_log(label_rows([what]), Kind.LABEL, what.partition)
    for day in (15, 22, 29):
        at_ms = START_MS + day * DAY_MS
        assert one.report(at_ms).quality == other.report(at_ms).quality
    assert one.recorders["fraud/1"].fed == other.recorders["fraud/1"].fed  # type: ignore[attr-defined]


def test_shadows_are_judged_on_the_same_payments() -> None:
    payments = payments_of(2000)
    labels = labels_of(payments)
    models = FixedModels({"fraud/1": THRESHOLDS, "fraud/2": THRESHOLDS, "fraud/3": THRESHOLDS})
    core = make_core(models=models)
    feed(core, payments, labels)
    at_ms = ending(payments, labels)
    shadow = find(core.report(at_ms).quality, 28, "fraud/3", "shadow")
    as_if = [
        Payment(
            id=p.id, event_ms=p.event_ms, offset=p.offset, partition=p.partition, score=p.shadow["fraud/3"],
            decision=_by(p.shadow["fraud/3"], THRESHOLDS), amount_minor=p.amount_minor, model="fraud/3",
        )
        for p in payments
    ]  # fmt: skip
    expected = matured(as_if, labels, at_ms, 28, 7.0, 500, "fraud/3")
    names = ("events", "labelled", "positives", "true_positives", "false_negatives", "caught_minor")
    assert {n: shadow.counts[n] for n in names} == {n: expected["counts"][n] for n in names}
    assert shadow.figures["average_precision"] == pytest.approx(
        expected["figures"]["average_precision"], abs=1e-12
    )


def _by(score: float, thresholds: Thresholds) -> str:
    return (
        "decline"
        if score >= thresholds["decline"]
        else "review"
        if score >= thresholds["review"]
        else "approve"
    )


def faults() -> Iterator[tuple[str, Any]]:
    """Yield ways to be wrong about labels."""
    yield "drop_corrections", lambda labels: [each for each in labels if each.pos % 2 == 0]
    yield (
        "double_labels",
        lambda labels: (
            labels
            + [Label(id=f"x{each.id}", label_ms=each.label_ms, fraud=each.fraud) for each in labels[:5]]
        ),
    )
    yield (
        "correct_wrongly",
        lambda labels: [
            Label(id=e.id, label_ms=e.label_ms, fraud=e.fraud ^ (e.pos % 2), partition=e.partition, pos=e.pos)
            for e in labels
        ],
    )


@pytest.mark.parametrize(("name", "fault"), list(faults()))
def test_a_planted_fault_is_caught(name: str, fault: Any) -> None:
    payments = payments_of(3000)
    labels = labels_of(payments)
    core = make_core(models=FixedModels({"fraud/1": THRESHOLDS, "fraud/2": THRESHOLDS}))
    feed(core, payments, fault(labels))
    at_ms = ending(payments, labels)
    told = core.report(at_ms).quality
    expected = matured(payments, labels, at_ms, 28, 7.0, 500, None)
    right = {n: expected["counts"][n] for n in COUNTS}
    got = {n: find(told, 28, None).counts[n] for n in COUNTS}
    counted = next(r for r in told if r.kind == "labels").counts["labels"]
    assert got != right or counted != sum(each.label_ms <= at_ms for each in labels)


def test_a_label_for_an_unknown_payment_waits_then_is_told_once() -> None:
    core = make_core(settings(wait_days=3.0))
    known = [Payment(id="t1", event_ms=START_MS, offset=0), Payment(id="t2", event_ms=START_MS, offset=1)]
    feed(core, known, [Label(id="ghost", label_ms=START_MS + DAY_MS, fraud=1)])

    def at(day: int) -> list[Quality]:
        return core.report(START_MS + day * DAY_MS).quality

    def counts(told: list[Quality]) -> tuple[int, int]:
        said = next(r for r in told if r.kind == "labels").counts
        return said["waiting"], said["unmatched"]

    told = at(3)
    assert counts(told) == (1, 0)
    assert not [r for r in told if r.kind == "label_unmatched"]
    told = at(4)
    assert counts(told) == (0, 1)
    assert [r.code for r in told if r.kind == "label_unmatched"] == ["Q_LABEL_UNKNOWN_EVENT"]
    assert [r for r in at(5) if r.kind == "label_unmatched"] == []
    late = Payment(id="ghost", event_ms=START_MS + 10, offset=2)  # the prediction comes after all
    feed(core, [late], [])
    assert counts(at(6)) == (0, 0)
    assert find(at(9), 7, None).counts["positives"] == 1


def test_a_correction_moves_the_counts_and_a_repeat_does_not() -> None:
    core = make_core()
    feed(core, [Payment(id="t1", event_ms=START_MS, offset=0)], [])
    first = Label(id="t1", label_ms=START_MS + DAY_MS, fraud=1)
    feed(core, [], [first, first])
    at_ms = START_MS + 8 * DAY_MS
    assert find(core.report(at_ms).quality, 7, None).counts["positives"] == 1
    feed(core, [], [Label(id="t1", label_ms=START_MS + 8 * DAY_MS + 5, fraud=0, pos=1)])
    assert find(core.report(at_ms).quality, 7, None).counts["positives"] == 1  # not known yet
    told = core.report(at_ms + DAY_MS).quality
    assert find(told, 7, None).counts["positives"] == 0
    said = next(r for r in told if r.kind == "labels").counts
    assert (said["labels"], said["judging"], said["replaced"], said["repeated"]) == (3, 1, 1, 1)
    assert core.recorders["fraud/1"].fed == [(START_MS + DAY_MS, 1.0), (START_MS + 8 * DAY_MS + 5, 0.0)]  # type: ignore[attr-defined]


def test_declined_payments_that_nobody_labels_do_not_bias_the_estimate() -> None:
    """Truth: 1,000 declined, 900 of them frauds, of which a random tenth is looked at; 9,000 approved."""
    payments, labels, truth = [], [], 0
    chance = random.Random(3)
    for at in range(10_000):
        declined = at < 1000
        fraud = int(chance.random() < (0.9 if declined else 0.02))
        truth += fraud
        event_ms = START_MS + at
        payments.append(
            Payment(
                id=f"t{at}", event_ms=event_ms, offset=at, score=0.95 if declined else 0.1,
                decision="decline" if declined else "approve",
            )
        )  # fmt: skip
        if not declined or chance.random() < 0.1:
            labels.append(Label(id=f"t{at}", label_ms=event_ms + DAY_MS, fraud=fraud, pos=at))
    core = make_core()
    feed(core, payments, labels)
    found = find(core.report(START_MS + 8 * DAY_MS).quality, 7, "fraud/1")
    caught = sum(1 for p in payments if p.decision == "decline") * 0.9
    assert found.figures["coverage_decline"] == pytest.approx(0.1, abs=0.03)
    assert found.figures["recall"] < 0.45  # what a naive figure says
    assert found.figures["estimated_recall"] == pytest.approx(caught / truth, abs=0.05)
    assert found.figures["estimated_positives"] == pytest.approx(truth, rel=0.06)


def test_a_stratum_with_too_few_labels_is_not_estimated() -> None:
    payments = [
        Payment(id=f"t{at}", event_ms=START_MS + at, offset=at, decision="decline" if at < 200 else "approve")
        for at in range(1000)
    ]
    labels = [Label(id=f"t{at}", label_ms=START_MS + DAY_MS, fraud=0) for at in range(190, 1000)]
    core = make_core()
    feed(core, payments, labels)
    found = find(core.report(START_MS + 8 * DAY_MS).quality, 7, "fraud/1")
    assert "estimated_recall" not in found.figures
    assert found.figures["coverage_decline"] == 0.05


def test_a_resumed_core_says_the_same_and_nothing_twice() -> None:
    payments = payments_of(2000)
    labels = labels_of(payments)
    at = [START_MS + day * DAY_MS for day in range(8, 30)]
    given = settings(retrain=RetrainSettings(start_training=False))
    whole = make_core(given)
    said: list[list[Quality]] = []
    resumed: list[list[Quality]] = []
    for number, at_ms in enumerate(at):
        step(whole, payments, labels, at_ms)
        said.append(whole.report(at_ms).quality)
        if number % 7 == 3:  # dies; a successor reads what the last report knew
            memory = msgspec.json.decode(msgspec.json.encode(whole.memory), type=type(whole.memory))
            successor = make_core(given)
            step(successor, payments, labels, at_ms)
            successor.resume(memory)
            whole = successor
    alone = make_core(given)
    for at_ms in at:
        step(alone, payments, labels, at_ms)
        resumed.append(alone.report(at_ms).quality)
    without = [[r for r in told if r.kind != "restart"] for told in said]
    assert without == resumed
    assert [r.kind for told in said for r in told].count("restart") == 3


def step(core: LearnerCore, payments: list[Payment], labels: list[Label], at_ms: int) -> None:
    """Let a core read what is in the log half a day after a moment."""
    seen_ms = getattr(core, "seen_ms", 0)
    until_ms = at_ms + DAY_MS // 2
    core.seen_ms = until_ms  # type: ignore[attr-defined]
    feed(
        core,
        [p for p in payments if seen_ms < p.event_ms <= until_ms],
        [each for each in labels if seen_ms < each.label_ms <= until_ms],
    )


def test_sampling_keeps_whole_payments() -> None:
    payments = payments_of(4000)
    labels = labels_of(payments)
    core = make_core(settings(sample_permille=250))
    feed(core, payments, labels)
    found = find(core.report(ending(payments, labels)).quality, 28, None)
    every = make_core()
    feed(every, payments, labels)
    whole = find(every.report(ending(payments, labels)).quality, 28, None)
    assert found.counts["events"] == pytest.approx(whole.counts["events"] / 4, rel=0.15)
    assert found.counts["amount_unknown"] == 0
    assert found.figures["coverage"] == pytest.approx(whole.figures["coverage"], abs=0.05)


def test_due_moments_wait_for_the_grace_and_begin_with_the_first_day() -> None:
    core = make_core(settings(grace_hours=2.0))
    assert list(core.due(START_MS + 9 * DAY_MS)) == []
    feed(core, [Payment(id="t1", event_ms=START_MS + 5, offset=0)], [])
    assert list(core.due(START_MS + DAY_MS + 7_199_999)) == []
    assert list(core.due(START_MS + DAY_MS + 7_200_000)) == [START_MS + DAY_MS]
    core.report(START_MS + DAY_MS)
    assert list(core.due(START_MS + 2 * DAY_MS)) == []


@needs_handbook
def test_on_the_handbook_matured_figures_equal_the_offline_ones() -> None:
    """A tenth of the customers of two months; scores are made of the amount, decisions of the scores."""
    table = pq.read_table(HANDBOOK / "transactions-2018q2.parquet").slice(0, 575_000)
    rows = [row for row in table.to_pylist() if hash_of(row["customer_id"]) % 10 == 3]
    payments = []
    for at, row in enumerate(rows):
        score = min(1.0, row["amount_minor"] / 30_000)
        payments.append(
            Payment(
                id=row["transaction_id"], event_ms=row["event_time"], offset=at, score=score,
                decision=_by(score, THRESHOLDS), amount_minor=row["amount_minor"],
            )
        )  # fmt: skip
    ids = {p.id for p in payments}
    labels = [
        Label(
            id=row["transaction_id"], label_ms=row["label_time"], fraud=int(row["label"] == "fraud"),
            event_ms=row["event_time"], pos=at,
        )
        for at, row in enumerate(pq.read_table(HANDBOOK / "labels-2018q2.parquet").to_pylist())
        if row["transaction_id"] in ids
    ]  # fmt: skip
    core = make_core()
    feed(core, payments, labels)
    at_ms = ending(payments, labels)
    told = core.report(at_ms, final=True).quality
    assert sum(each.label_ms > at_ms for each in labels) > 1000  # labels that mature later do not count
    for days in (1, 7, 28):
        expected = matured(payments, labels, at_ms, days, 7.0, 500, "fraud/1")
        assert expected["counts"]["frauds"] > 0
        assert expected["figures"]["coverage"] == 1.0
        check(find(told, days, "fraud/1"), expected)


def hash_of(text: str) -> int:
    """Return a stable small hash."""
    return sum(ord(c) * 31**i for i, c in enumerate(text)) % 1_000_003


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"null", b"[" * 5000, b"\xff", b'{"kind":"alert","at":"x"}',
              b'{"kind":"alert","at":5,"from_mean":1e-320,"to_mean":1e308}'],
)  # fmt: skip
def test_a_drift_record_of_any_bytes_ends_nothing(value: bytes) -> None:
    core = LearnerCore.__new__(LearnerCore)
    core.alerts = []
    core.take_drift(value)
    assert all(alert.ratio <= 1e9 for alert in core.alerts)


@pytest.mark.parametrize(
    "said",
    [
        {"source": {"partition": 0, "offset": 2**62}}, {"source": {"partition": 2**40, "offset": 1}},
        {"source": {"partition": -1, "offset": 1}}, {"event_time": 2**70}, {"event_id": "a\0b"},
        {"event_id": ""}, {"decision": "perhaps"}, {"keys": {"customer": "a\0b"}},
        {"keys": {"customer": 1}}, {"keys": None},
    ],
)  # fmt: skip
def test_a_prediction_out_of_its_bounds_leaves_its_neighbours_alone(said: dict[str, Any]) -> None:
    good: dict[str, Any] = {"event_id": "t1", "event_time": 5, "decision": "approve", "score": 0.5}
    good |= {"keys": {"customer": "c1", "terminal": "m1"}, "source": {"partition": 0, "offset": 1}}
    values = [json.dumps(one).encode() for one in (good, good | said, good)]
    alone = read_predictions(values[:1], SeriesNumbers(), PROJECT).predictions
    read = read_predictions(values, SeriesNumbers(), PROJECT)
    assert read.refused == 1
    assert {name: column.tolist() for name, column in read.predictions.items()} == {
        name: column.tolist() * 2 for name, column in alone.items()
    }
