"""Drift is seen on the sample, survives what is no number, and detectors begin anew only aloud."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.errors import ConfigError
from contracts.events import Drift
from inference.drift.baseline import Baseline, measure, with_columns
from inference.drift.error_drift import ErrorDrift
from inference.drift.events import DriftEvent
from inference.drift.river_detectors import ADWIN, DETECTORS, feed_until_change
from inference.drift.season import CALENDAR, slots
from inference.drift.settings import BINARY, DriftSettings
from inference.drift.stream_detector import StreamDetector
from inference.drift.watch import DriftWatch
from load.this_project import PROJECT, SERVICE

AMOUNT = SERVICE.columns.index("amount_minor")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BEGIN_MS = 1_522_627_200_000  # a Monday
EVERY = DriftSettings(
    sample_every=1, chunk_rows=64, first_rows=1000, first_ms=3_600_000, rows_min=400, look_rows=128
)
Floats = NDArray[np.float64]


def _rows(count: int, seed: int, begin_ms: int = BEGIN_MS, step_ms: int = 60_000) -> dict[str, Any]:
    """Return payments a minute apart: all features alike, large by night, frauds rare."""
    chance = np.random.default_rng(seed)
    event_ms = begin_ms + step_ms * np.arange(count)
    vectors = chance.lognormal(3, 1, (count, len(SERVICE.columns)))
    vectors *= 1 + (slots(event_ms) % 2)[:, None]
    vectors[chance.random(vectors.shape) < 0.02] = np.nan
    vectors[:, AMOUNT] = chance.lognormal(8, 1, count)
    return {
        "event_ms": event_ms, "vectors": vectors, "scores": chance.beta(1, 9, count),
        "decisions": (chance.random(count) < 0.03).astype(np.uint8),
    }  # fmt: skip


def _baseline(seed: int = 99, count: int = 14 * 1440) -> Baseline:
    rows = _rows(count, seed)
    names = [name for name in SERVICE.columns if name not in CALENDAR]
    vectors = rows["vectors"][:, [SERVICE.columns.index(name) for name in names]]
    null = (~np.isfinite(vectors)).mean(axis=1)
    inputs = measure(names, vectors, rows["event_ms"], {"null_share": null})
    refused = (rows["decisions"] > 0).astype(np.float64)
    scores = measure(["score"], rows["scores"][:, None], rows["event_ms"], {"refused": refused})
    return with_columns(inputs, scores)


BASELINE = _baseline()


def _watch(settings: DriftSettings = EVERY, baseline: Baseline | None = BASELINE) -> DriftWatch:
    watch = DriftWatch(SERVICE.columns, PROJECT, settings)
    watch.model_is("fraud/1", baseline)
    watch.restart([0], "taken over")
    return watch


def _feed(watch: DriftWatch, rows: dict[str, Any], step: int = 500) -> list[DriftEvent]:
    events: list[DriftEvent] = []
    for begin in range(0, len(rows["event_ms"]), step):
        part = {name: column[begin : begin + step] for name, column in rows.items()}
        partitions = np.zeros(len(part["event_ms"]), np.int32)
        events += watch.feed(partitions, part["event_ms"], part["vectors"], part["scores"], part["decisions"])
    return events


def _alerts(events: Sequence[DriftEvent]) -> list[DriftEvent]:
    return [event for event in events if event.kind == "alert"]


CALM, CHANGED = 3 * 1440, 2 * 1440


def _calm_then(change: Any, watch: DriftWatch | None = None, seed: int = 1) -> list[DriftEvent]:
    """Feed three calm days, which must be silent, then two changed ones; return what those told."""
    watch = watch or _watch()
    assert _alerts(_feed(watch, _rows(CALM, seed))) == []
    later = _rows(CHANGED, seed + 1000, begin_ms=BEGIN_MS + CALM * 60_000)
    change(later)
    return _feed(watch, later)


@pytest.mark.parametrize("seed", range(3))
def test_a_week_with_its_nights_and_weekend_is_silent(seed: int) -> None:
    assert _alerts(_feed(_watch(), _rows(9 * 1440, seed))) == []


def test_an_amount_that_moves_is_told_by_detector_and_by_window() -> None:
    begin_ms = BEGIN_MS + CALM * 60_000

    def change(rows: dict[str, Any]) -> None:
        rows["vectors"][:, AMOUNT] *= 2.0

    alerts = _alerts(_calm_then(change))
    assert {alert.feature for alert in alerts} == {"amount_minor"}
    assert {alert.detector for alert in alerts} == {"adwin", "psi"}
    assert all(alert.at < begin_ms + DAY_MS for alert in alerts[:2])  # type: ignore[operator]
    for alert in alerts:
        assert (alert.what, alert.partition, alert.model) == ("input", 0, "fraud/1")
        assert alert.statistic > alert.limit  # type: ignore[operator]
        assert abs(alert.since - begin_ms) <= 4 * HOUR_MS  # type: ignore[operator]
        assert begin_ms < alert.at  # type: ignore[operator]
    adwin, psi = sorted(alerts, key=lambda alert: alert.detector)[:2]
    assert 1.5 < adwin.to_mean / adwin.from_mean < 2.6  # type: ignore[operator]
    assert psi.against == f"the training baseline of fraud/1, {BASELINE.rows:,} rows"


def test_what_stands_is_told_once_and_what_goes_back_is_cleared() -> None:
    def change(rows: dict[str, Any]) -> None:
        rows["vectors"][: CHANGED // 4, AMOUNT] *= 3.0  # half a day

    events = _calm_then(change)
    for detector in ("adwin", "psi"):
        kinds = [event.kind for event in events if event.detector == detector]
        assert kinds == ["alert", "cleared"], detector
    told = _calm_then(lambda rows: rows["vectors"].__setitem__((slice(None), AMOUNT), 1.0))
    assert [e.kind for e in told if e.detector == "psi"] == ["alert", "alert"]  # two days: once a day
    psi = [e.at for e in told if e.detector == "psi"]
    assert psi[1] - psi[0] >= EVERY.cooldown_ms  # type: ignore[operator]


def test_a_variance_that_alone_changes_is_the_windows_to_find() -> None:
    def change(rows: dict[str, Any]) -> None:
        amounts = rows["vectors"][:, AMOUNT]
        rows["vectors"][:, AMOUNT] = np.exp(8 + 2 * (np.log(amounts) - 8))

    assert "psi" in {alert.detector for alert in _alerts(_calm_then(change))}


def test_null_values_are_told_of_the_feature_and_of_all() -> None:
    column = SERVICE.columns.index("profile_terminals")

    def change(rows: dict[str, Any]) -> None:
        rows["vectors"][:, column] = np.nan

    alerts = _alerts(_calm_then(change))
    assert {(a.what, a.feature, a.detector) for a in alerts} >= {
        ("missingness", "profile_terminals", "null_rate")
    }
    alert = next(a for a in alerts if a.detector == "null_rate")
    assert alert.from_mean == pytest.approx(0.02, abs=0.005)
    assert alert.to_mean > 0.05  # type: ignore[operator]
    assert {a.feature for a in alerts} <= {"profile_terminals", "null_share"}


def test_scores_and_decisions_are_told_apart() -> None:
    def change(rows: dict[str, Any]) -> None:
        rows["scores"] = np.minimum(1.0, rows["scores"] + 0.2)

    assert {(a.what, a.feature) for a in _alerts(_calm_then(change))} == {("score", "score")}

    def refuse(rows: dict[str, Any]) -> None:
        rows["decisions"][::5] = 2

    alerts = _alerts(_calm_then(refuse))
    assert {(a.what, a.feature) for a in alerts} == {("decision", "refused"), ("decision", "decision")}
    assert "first" in str(next(a for a in alerts if a.feature == "decision").against)


def test_without_a_baseline_the_first_rows_are_the_reference_and_it_is_said() -> None:
    watch = DriftWatch(SERVICE.columns, PROJECT, EVERY)
    started = watch.restart([0], "taken over")[0]
    assert "no model yet" in str(started.against)
    assert _feed(watch, _rows(CALM, 7)) == []  # rules alone: nothing to hold it against
    assert "no baseline" in str(watch.model_is("fraud/1", None)[0].against)

    def change(rows: dict[str, Any]) -> None:
        rows["vectors"][:, AMOUNT] *= 3.0

    alerts = _alerts(_calm_then(change, watch))
    assert {alert.feature for alert in alerts} == {"amount_minor"}
    assert {alert.detector for alert in alerts} == {"adwin", "psi"}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308, -1e308])
def test_hostile_values_blind_nothing(bad: float) -> None:
    """The corpus: one NaN or infinite value blinds River's ADWIN and Page-Hinkley for good."""
    settings = msgspec.structs.replace(EVERY, numbers="adwin,page_hinkley")
    watch, rows = _watch(settings), _rows(CALM, 5)
    rows["vectors"][1000:1010] = bad
    rows["scores"][1000:1010] = bad
    told = _feed(watch, rows)
    assert all(np.isfinite(x) for e in told for x in (e.from_mean, e.to_mean) if isinstance(x, float))
    skipped = watch.take_skipped()
    assert skipped.get("amount_minor", 0) == (0 if np.isfinite(bad) else 10)
    later = _rows(CHANGED, 6, begin_ms=BEGIN_MS + CALM * 60_000)
    later["vectors"][:, AMOUNT] *= 4
    found = {alert.detector for alert in _alerts(_feed(watch, later)) if alert.feature == "amount_minor"}
    assert found == {"adwin", "page_hinkley", "psi"}


def test_a_take_over_and_another_model_begin_anew_and_say_so() -> None:
    watch = DriftWatch(SERVICE.columns, PROJECT, EVERY)
    assert [e.kind for e in watch.restart([0, 1], "taken over")] == ["restart", "restart"]
    assert [e.model for e in watch.model_is("fraud/1", BASELINE)] == ["fraud/1", "fraud/1"]
    assert watch.model_is("fraud/1", BASELINE) == []
    _feed(watch, _rows(CALM, 1))
    assert len(watch.model_is("fraud/2", BASELINE)) == 2
    rows = _rows(CHANGED, 2)
    rows["scores"] = rows["scores"] ** 2
    told = _feed(watch, rows)
    assert {e.detector for e in _alerts(told)} == {"psi"}  # the detectors have forgotten the scores before
    assert "began" not in {e.kind for e in told}
    watch.drop([0])
    again = watch.feed(np.zeros(1, np.int32), rows["event_ms"][:1], rows["vectors"][:1], rows["scores"][:1])
    assert [e.kind for e in again] == ["restart"]


@pytest.mark.parametrize("every", [1, 4])
def test_batches_of_any_size_find_the_same(every: int) -> None:
    settings = msgspec.structs.replace(EVERY, sample_every=every)
    calm, later = _rows(4000, 1), _rows(4000, 2, begin_ms=BEGIN_MS + 4000 * 60_000)
    later["vectors"][:, AMOUNT] *= 3
    rows = {name: np.concatenate([calm[name], later[name]]) for name in calm}
    found = [_feed(_watch(settings), rows, step) for step in (1, 77, 8000)]
    assert len(_alerts(found[0])) >= 2
    assert found[0] == found[1] == found[2]


def test_partitions_do_not_mix() -> None:
    watch = _watch()
    watch.restart([1], "taken over")
    calm, moved = _rows(CALM, 1), _rows(CALM, 2)
    moved["vectors"][CALM // 2 :, AMOUNT] *= 3
    events: list[DriftEvent] = []
    for at in range(0, CALM, 200):
        part = slice(at, at + 200)
        both = {name: np.concatenate([calm[name][part], moved[name][part]]) for name in calm}
        order = np.argsort(both["event_ms"], kind="stable")
        partitions = np.repeat(np.array([0, 1], np.int32), len(order) // 2)[order]
        events += watch.feed(
            partitions, both["event_ms"][order], both["vectors"][order], both["scores"][order],
            both["decisions"][order],
        )  # fmt: skip
    assert {alert.partition for alert in _alerts(events)} == {1}


def test_records_keep_their_contract_and_say_what_to_do() -> None:
    def change(rows: dict[str, Any]) -> None:
        rows["vectors"][:, AMOUNT] *= 2.0
        rows["vectors"][:, AMOUNT + 7] = np.nan
        rows["scores"] = np.minimum(1.0, rows["scores"] * 2)

    events = [_watch().restart([3], "taken over")[0], *_calm_then(change)]
    events.append(ErrorDrift(DriftSettings()).restart("taken over"))
    assert len(events) > 4
    for event in events:
        data = msgspec.json.encode(event)
        assert msgspec.json.decode(data, type=Drift) == event
        assert event.what_to_do
        if event.kind == "alert":
            assert None not in (event.at, event.since, event.against, event.statistic, event.limit)
            assert msgspec.UNSET not in (event.at, event.since, event.against, event.statistic, event.limit)


def test_a_feature_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        DriftWatch(SERVICE.columns, PROJECT, DriftSettings(watched="amount"))
    assert refused.value.code == "E_CONFIG_DRIFT"


@pytest.mark.parametrize(
    "wrong", [{"numbers": "ddm"}, {"shares": "magic"}, {"window_ms": 0}, {"chance_max": 0.0}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        DriftSettings(**wrong)
    assert refused.value.code == "E_CONFIG_VALUE"


def _bits(chance: float, rows: int, seed: int) -> Floats:
    return (np.random.default_rng(seed).random(rows) < chance).astype(np.float64)


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - {"eddm"}))
def test_each_detector_finds_a_rise_and_its_statistic_is_past_its_limit(name: str) -> None:
    """River's inside is read for these: an upgrade that changes it is noticed here."""
    detector = StreamDetector(name)
    calm = _bits(0.1, 4000, 1) if name in BINARY else np.random.default_rng(1).random(4000)
    moved = _bits(0.5, 4000, 2) if name in BINARY else np.random.default_rng(2).random(4000) / 2 + 0.5
    assert detector.feed(calm, np.arange(4000)) == []
    change = detector.feed(moved, 4000 + np.arange(4000))[0]
    assert change.from_mean < change.to_mean
    if name == "kswin":
        assert change.statistic <= change.limit  # a probability
    else:
        assert change.statistic >= change.limit
    assert 3500 <= change.since_ms <= change.at_ms < 8000


def test_eddm_finds_errors_that_come_closer() -> None:
    detector = StreamDetector("eddm")
    detector.feed(_bits(0.05, 6000, 1), np.arange(6000))
    change = detector.feed(_bits(0.4, 2000, 2), 6000 + np.arange(2000))[0]
    assert change.statistic < change.limit
    assert change.from_mean < change.to_mean


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


@pytest.mark.parametrize("shares", ["adwin", "hddm_w", "ddm"])
def test_errors_that_rise_are_told_one_by_one_or_many(shares: str) -> None:
    settings = DriftSettings(shares=shares)
    errors = np.concatenate([_bits(0.05, 4000, 3), _bits(0.3, 1500, 4)])
    times = BEGIN_MS + 60_000 * np.arange(len(errors))
    one, many = ErrorDrift(settings, "fraud/1"), ErrorDrift(settings, "fraud/1")
    singly = [
        e for at, error in zip(times.tolist(), errors.tolist(), strict=True) for e in one.feed(at, error)
    ]
    assert singly == many.feed_many(times, errors)
    alert = _alerts(singly)[0]
    assert (alert.what, alert.feature, alert.detector) == ("error", "error", shares)
    assert times[4000] < alert.at < times[5000]  # type: ignore[operator]
    assert alert.to_mean > 0.15 > alert.from_mean  # type: ignore[operator]


def test_errors_that_are_no_numbers_are_counted_and_a_restart_forgets() -> None:
    drift = ErrorDrift(DriftSettings(), "fraud/1")
    drift.feed_many(np.arange(1000), np.where(np.arange(1000) % 10 == 0, np.nan, 0.0))
    assert drift.skipped == 100
    event = drift.restart("another model", model="fraud/2")
    assert (event.kind, event.model) == ("restart", "fraud/2")
    assert drift.skipped == 100
    assert drift.feed_many(np.arange(1000, 2000), np.ones(1000)) == []
