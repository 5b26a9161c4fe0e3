"""Each statistic against SciPy or its definition spelled out, and the baseline file against damage."""

import json
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from contracts.errors import ModelError
from features.vector import vectors_of
from inference.drift.baseline import Baseline, Column, decode, measure
from inference.drift.reference import SLOT_PRIOR_ROWS, Reference, against
from inference.drift.season import SLOTS, slots
from inference.drift.settings import DriftSettings
from inference.drift.statistics import STATISTICS, chi2, js, kl, ks, limits, psi, share_limits
from inference.drift.window import NULLS, ReferenceWindow
from load.this_project import PROJECT

COUNTS = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=2, max_size=12)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BEGIN_MS = 1_522_627_200_000  # a Monday


@settings(deadline=None)  # the machine may be busy
@given(counts=COUNTS)
def test_statistics_are_scipys(counts: list[tuple[int, int]]) -> None:
    a, b = (np.array(side, np.float64) for side in zip(*counts, strict=True))
    p, q = a / a.sum(), b / b.sum()
    assert kl(p, q) == pytest.approx(stats.entropy(p, q), abs=1e-12)
    assert js(p, q) == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-9)
    expected = stats.chisquare(a, a.sum() * q).statistic / a.sum()
    assert chi2(p, q) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    codes = [np.repeat(np.arange(len(side)), side.astype(int)) for side in (a, b)]
    assert ks(p, q) == pytest.approx(stats.ks_2samp(*codes, method="asymp").statistic, abs=1e-12)
    by_hand = sum((x - y) * np.log(x / y) for x, y in zip(p.tolist(), q.tolist(), strict=True))
    assert psi(p, q) == pytest.approx(by_hand, abs=1e-12)
    assert psi(p, q) == pytest.approx(kl(p, q) + kl(q, p), abs=1e-12)


GREATEST = float(np.finfo(np.float64).max)


def test_statistics_work_by_row_and_an_empty_bin_adds_nothing() -> None:
    p, q = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]), np.array([[0.6, 0.4, 0.0], [0.2, 0.3, 0.5]])
    for name, statistic in STATISTICS.items():
        found = statistic(p, q)
        assert found.shape == (2,), name
        assert found[0] == pytest.approx(statistic(p[0, :2], q[0, :2])), name
        assert found[1] == 0, name


@pytest.mark.parametrize("name", ["psi", "chi2", "kl", "js", "ks"])
def test_limits_are_passed_by_chance_as_rarely_as_promised(name: str) -> None:
    """10,000 windows of 2,000 rows from what is expected: about one in a hundred passes a limit of 0.01."""
    rng = np.random.default_rng(3)
    q = np.full(10, 0.1)
    shares = rng.multinomial(2000, q, 10_000) / 2000
    limit = limits(name, 0.0, 0.01, np.array([2000.0]), np.array([1e12]), np.array([10]))[0]
    passed = (STATISTICS[name](shares, q) > limit).mean()
    assert 0.001 < passed < 0.015 if name == "ks" else 0.007 < passed < 0.014  # KS over bins is careful


def test_a_share_passes_its_limit_as_rarely_as_promised() -> None:
    moved = np.abs(np.random.default_rng(4).binomial(2000, 0.05, 20_000) / 2000 - 0.05)
    limit = share_limits(0.0, 0.01, 2000, np.array([1e12]), np.array([0.05]))[0]
    assert 0.003 < (moved > limit).mean() < 0.015
    assert share_limits(0.2, 0.01, 2000, np.array([1e12]), np.array([0.05]))[0] == 0.2


def test_a_slot_is_what_the_models_own_features_call_it() -> None:
    event_ms = BEGIN_MS + np.arange(14 * 24) * HOUR_MS
    said = vectors_of(PROJECT).event_features(
        {"amount_minor": np.zeros(len(event_ms), np.int64), "event_time": event_ms}
    )
    assert slots(event_ms).tolist() == (said["is_night"] + 2 * said["is_weekend"]).tolist()


@settings(deadline=None)
@example(values=[-GREATEST, GREATEST / 2, GREATEST, -GREATEST], others=[GREATEST, np.nan])
@example(values=[GREATEST * (n / 20 - 1) for n in range(40)], others=[GREATEST, 1.0])
@example(values=[GREATEST] * 40, others=[-GREATEST] * 40)
@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=60),
    others=st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=60),
)
def test_every_row_is_in_one_bin_or_null_whatever_it_holds(values: list[float], others: list[float]) -> None:
    event_ms = BEGIN_MS + np.arange(len(values)) * 7 * HOUR_MS
    baseline = measure(["a"], np.array(values)[:, None], event_ms)
    column = decode(msgspec.json.encode(baseline), "here").columns[0]
    assert all(a < b for a, b in pairwise(column.edges))
    reference = Reference([column])
    other = np.array(others)
    slot = slots(BEGIN_MS + np.arange(len(other)) * HOUR_MS)
    counts = reference.count(other[:, None], slot)
    edges = np.array(column.edges)
    by_hand = [0] * (len(edges) + 1)
    for value in others:
        if np.isfinite(value):
            by_hand[sum(value >= edge for edge in edges)] += 1
    assert counts.bins[0].tolist() == by_hand
    assert counts.nulls[0] == len(others) - sum(by_hand)
    expected = reference.expected(counts)
    assert expected.shares[0].sum() == pytest.approx(1)
    assert 0 <= expected.nulls[0] <= 1
    assert reference.observed(counts, expected.shares)[0].sum() == pytest.approx(1)
    finite = other[np.isfinite(other)]
    ranks = reference.ranks(0, finite, slot[np.isfinite(other)])
    assert ((ranks > -0.6) & (ranks < 1.6)).all()


def test_expected_shares_are_those_of_the_windows_hours() -> None:
    """By night all is 1, by day 0: a window of a third night rows is expected to hold a third of ones."""
    hours = BEGIN_MS + np.arange(5 * 24) * HOUR_MS
    night = slots(hours) % 2 == 1
    reference = Reference(
        measure(["a"], np.repeat(night.astype(float), 200)[:, None], np.repeat(hours, 200)).columns
    )
    some = np.concatenate([hours[~night][:20], hours[night][:10]])
    expected = reference.expected(reference.count(np.zeros((30, 1)), slots(some)))
    assert expected.shares[0].tolist() == pytest.approx([0, 2 / 3, 0, 1 / 3, 0], abs=0.01)
    ranks = reference.ranks(0, night.astype(float), slots(hours))
    assert np.ptp(ranks) < 0.02  # what is usual for the hour is no news


def _window(**settings: float) -> tuple[ReferenceWindow, np.random.Generator]:
    chance = np.random.default_rng(8)
    hours = BEGIN_MS + np.arange(7 * 1440) * 60_000
    baseline = measure(["a", "b"], chance.normal(size=(len(hours), 2)), hours)
    return ReferenceWindow(against(baseline, ["b"]), DriftSettings(rows_min=300, **settings)), chance


def test_a_window_forgets_what_is_old_and_keeps_enough() -> None:
    window, chance = _window()
    for day in range(3):
        window.feed(chance.normal(size=(1440, 1)), BEGIN_MS + day * DAY_MS + np.arange(1440) * 60_000)
    assert window._total.rows == 1440
    assert sum(pane.rows for pane in window._panes.values()) == 1440
    late = window._total.rows
    window.feed(chance.normal(size=(5, 1)), np.full(5, BEGIN_MS))
    assert window._total.rows == late  # older than the window
    sparse, _ = _window()
    for day in range(40):
        sparse.feed(np.zeros((20, 1)), BEGIN_MS + day * DAY_MS + np.arange(20))
    assert sparse._total.rows == 300  # fifteen days, for want of rows
    assert sparse.due


def test_a_window_says_since_when_and_null_values_apart() -> None:
    window, chance = _window()
    times = BEGIN_MS + np.arange(1440) * 60_000
    values = chance.normal(size=(1440, 1))
    values[720:] += 2
    values[960::2] = np.nan
    window.feed(values, times)
    found = {finding.detector: finding for finding in window.look()}
    assert set(found) == {"psi", NULLS}
    assert window.since(found["psi"]) == BEGIN_MS + 12 * HOUR_MS
    assert window.since(found[NULLS]) == BEGIN_MS + 16 * HOUR_MS
    assert found[NULLS].observed == pytest.approx(240 / 1440)
    assert {f.feature for f in found.values()} == {"b"}
    asked = {("psi", "b"), (NULLS, "b")}
    window.feed(chance.normal(size=(1440, 1)), times + DAY_MS)
    assert {(f.detector, f.over) for f in window.look(asked)} == {("psi", False), (NULLS, False)}
    assert window.look() == []


def test_a_window_of_hours_that_the_baseline_hardly_knows_is_less_sure() -> None:
    night, day = BEGIN_MS, BEGIN_MS + 12 * HOUR_MS
    times = np.array([night] * 100 + [day] * 9900)
    reference = Reference(measure(["a"], np.random.default_rng(1).random((10_000, 1)), times).columns)
    mixed, only_night = (
        reference.expected(reference.count(np.zeros((len(some), 1)), slots(some)))
        for some in (times, times[:100])
    )
    assert mixed.rows[0] == pytest.approx(10_000, rel=0.01)
    assert only_night.rows[0] == pytest.approx(100 + SLOT_PRIOR_ROWS)


def test_a_column_that_was_always_null_and_still_is_says_nothing() -> None:
    hours = BEGIN_MS + np.arange(2000) * 60_000
    usual = measure(["a"], np.full((2000, 1), np.nan), hours)
    window = ReferenceWindow(Reference(usual.columns), DriftSettings(statistics="psi,ks,chi2,kl,js"))
    window.feed(np.full((1440, 1), np.nan), hours[:1440])
    assert window.look() == []
    window.feed(np.ones((1440, 1)), hours[:1440])
    assert [finding.detector for finding in window.look()] == [NULLS]


def test_a_category_that_is_all_null_is_missing_and_nothing_else() -> None:
    chance = np.random.default_rng(8)
    hours = BEGIN_MS + np.arange(7 * 1440) * 60_000
    usual = measure(["a"], (chance.random((len(hours), 1)) < 0.02).astype(float), hours)
    window = ReferenceWindow(Reference(usual.columns), DriftSettings(statistics="psi,ks,chi2,kl,js"))
    window.feed(np.full((1440, 1), np.nan), hours[:1440])
    assert [finding.detector for finding in window.look()] == [NULLS]


def _damaged(**fields: object) -> bytes:
    good = json.loads(msgspec.json.encode(measure(["a"], np.arange(100.0)[:, None], np.arange(100))))
    good["columns"][0] |= fields
    return json.dumps(good).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"\xff", b"{", _damaged(edges=[2.0, 1.0]), _damaged(edges=[1.0]), _damaged(counts=[[1]]),
        _damaged(nulls=[0]), _damaged(rows=[1, 2, 3, 4]), _damaged(nulls=[-1, 0, 0, 0]), _damaged(name=3),
        b'{"format":2,"from_ms":0,"to_ms":0,"rows":0,"columns":[]}',
        b'{"from_ms":0,"to_ms":0,"rows":0,"columns":[],"shares":{"refused":[1.0]}}',
        _damaged(edges=[float("1e400")]), _damaged(spread=-1.0), _damaged(null_spread=float("1e400")),
    ],
)  # fmt: skip
def test_a_damaged_baseline_is_refused_with_a_code(data: bytes) -> None:
    with pytest.raises(ModelError) as refused:
        decode(data, "fraud/1/baseline.json")
    assert refused.value.code == "E_MODEL_BASELINE"


def test_few_values_are_a_category_each_and_many_are_cut_at_quantiles() -> None:
    codes = np.repeat([3.0, 1.0, 7.0], [50, 30, 20])
    column = measure(["a"], codes[:, None], np.zeros(100, np.int64)).columns[0]
    assert (column.category, column.edges[::2]) == (True, [1.0, 3.0, 7.0])
    assert column.counts[1] == [0, 30, 0, 50, 0, 20, 0]
    many = measure(["a"], np.arange(1000.0)[:, None], np.zeros(1000, np.int64)).columns[0]
    assert not many.category
    assert many.counts[1] == [0, 10, 40, 50, *[100] * 8, 50, 40, 10, 0]
    mostly = measure(["a"], np.concatenate([np.zeros(900), np.arange(1, 101)])[:, None], np.zeros(1000, int))
    rows = [sum(row) for row in zip(*mostly.columns[0].counts, strict=True)]
    assert rows[:2] == [0, 900]
    assert rows[-1] == 0
    assert all(rows[3:-1])
    score = measure(["score"], np.repeat([0.1, 0.2], [600, 400])[:, None], np.zeros(1000, int), computed=True)
    assert score.columns[0].edges == pytest.approx([0.15])  # scores near one another are alike


def test_a_baseline_without_rows_is_whole() -> None:
    empty = measure(["a"], np.empty((0, 1)), np.empty(0, np.int64))
    assert isinstance(decode(msgspec.json.encode(empty), ""), Baseline)
    assert isinstance(empty.columns[0], Column)
    assert sum(empty.columns[0].rows) == 0
    assert len(empty.columns[0].rows) == SLOTS
