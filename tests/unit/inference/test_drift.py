"""Detectors see a shift, survive what is no number, and begin anew only aloud."""

import numpy as np
from numpy.typing import NDArray

from features.catalog import SERVICE
from inference.adwin import ADWIN, feed_until_change
from inference.drift import DriftEvent, DriftWatch

AMOUNT = SERVICE.columns.index("amount_minor")


def _feed(
    watch: DriftWatch, amounts: NDArray[np.float64], scores: NDArray[np.float64], at: int = 0
) -> list[DriftEvent]:
    events = []
    for begin in range(0, len(amounts), 100):
        part = slice(begin, begin + 100)
        vectors = np.full((len(amounts[part]), len(SERVICE.columns)), np.nan)
        vectors[:, AMOUNT] = amounts[part]
        times = (at + begin + np.arange(len(vectors))) * 1000
        events += watch.feed(np.zeros(len(vectors), np.int32), times, vectors, scores[part])
    return [event for event in events if event.kind == "alert"]


def _steady(rows: int, seed: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.lognormal(8, 1, rows), rng.beta(1, 9, rows)


def test_a_steady_stream_is_silent_and_a_shift_is_told_with_both_means_and_its_begin() -> None:
    watch = DriftWatch(SERVICE.columns)
    amounts, scores = _steady(5000)
    assert _feed(watch, amounts, scores) == []
    alerts = _feed(watch, amounts, np.minimum(1, scores + 0.3), at=5000)
    alert = alerts[0]
    assert {a.feature for a in alerts} == {"score"}
    assert abs((alert.from_mean or 0) - 0.1) < 0.05
    assert (alert.to_mean or 0) > 0.3
    assert 4_800_000 <= (alert.since or 0) <= (alert.at or 0) <= 5_600_000


def test_one_value_that_is_no_number_blinds_nothing() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        watch = DriftWatch(SERVICE.columns)
        amounts, scores = _steady(3000)
        scores[1000] = amounts[1000] = bad
        _feed(watch, amounts, scores)
        skipped = watch.take_skipped()
        assert (skipped["score"], skipped["amount_minor"]) == (1, 1)
        assert _feed(watch, amounts[2000:] * 50, np.minimum(1, scores[2000:] + 0.4)) != []


def test_another_model_and_a_take_over_begin_anew_and_say_so() -> None:
    watch = DriftWatch(SERVICE.columns)
    assert [e.kind for e in watch.restart([0, 1], "taken over")] == ["restart", "restart"]
    assert [e.feature for e in watch.model_is("fraud/1")] == ["score", "score"]
    assert watch.model_is("fraud/1") == []
    amounts, scores = _steady(3000)
    _feed(watch, amounts, scores)
    assert len(watch.model_is("fraud/2")) == 2
    assert _feed(watch, amounts, np.minimum(1, scores + 0.3)) == []


def test_batches_of_any_size_find_the_same() -> None:
    _, scores = _steady(4000)
    scores[2000:] += 0.3
    found = []
    for step in (1, 77, 4000):
        watch, events = DriftWatch(SERVICE.columns), []
        for begin in range(0, 4000, step):
            part = slice(begin, begin + step)
            vectors = np.full((len(scores[part]), len(SERVICE.columns)), np.nan)
            times = np.arange(4000)[part]
            events += watch.feed(
                np.zeros(len(vectors), np.int32), times, vectors, np.minimum(1, scores[part])
            )
        found.append([(e.at, e.since, e.n) for e in events if e.kind == "alert"])
    assert found[0] != []
    assert found[0] == found[1] == found[2]


def test_fed_by_the_batch_as_value_by_value() -> None:
    """The quick feeding asks River's compiled inside: it must find what River's own `update` finds."""
    random = np.random.default_rng(11)
    parts = [
        random.normal(random.random(), 0.05, int(random.integers(50, 700))).clip(0, 1) for _ in range(40)
    ]
    values = np.concatenate(parts).tolist()
    one, many = ADWIN(clock=128), ADWIN(clock=128)
    expected, found = [], []
    for at, value in enumerate(values):
        one.update(value)
        if one.drift_detected:
            expected.append((at, one.width, one.total))
    begin = 0
    while begin < len(values):
        batch, first = values[begin : begin + int(random.integers(1, 300))], 0
        while (at_batch := feed_until_change(many, batch, first)) is not None:
            found.append((begin + at_batch, many.width, many.total))
            first = at_batch + 1
        begin += len(batch)
    assert len(expected) > 20
    assert found == expected
