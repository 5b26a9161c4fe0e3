"""Values that repeat, are constant, null or new: what moves is told, what stays is not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.drift.baseline import measure
from inference.drift.events import DriftEvent
from inference.drift.mean_watch import MeanWatch
from inference.drift.reference import Reference
from inference.drift.settings import DriftSettings
from inference.drift.statistics import STATISTICS
from inference.drift.watch import DriftWatch
from inference.drift.window import NULLS, ReferenceWindow
from load.this_project import PROJECT

Floats = NDArray[np.float64]
BEGIN_MS = 1_522_627_200_000  # a Monday
MINUTE_MS, DAY_MS = 60_000, 86_400_000
TRAINING, DAY = 14 * 1440, 1440
ALL = DriftSettings(statistics=",".join(STATISTICS))


def _times(rows: int, begin_ms: int = BEGIN_MS) -> NDArray[np.int64]:
    return begin_ms + MINUTE_MS * np.arange(rows)


def _draw(
    rng: np.random.Generator, rows: int, points: Floats, weights: Floats, nulls: float, scale: float
) -> Floats:
    """Return values that lie on points with these weights, else anywhere, and are null by that share."""
    which = rng.choice(len(points) + 1, rows, p=[*weights, 1 - weights.sum()])
    values = np.append(points, np.nan)[which]
    anywhere = rng.lognormal(0, 1, rows) * scale
    values = np.where(which == len(points), anywhere, values)
    return np.where(rng.random(rows) < nulls, np.nan, values)


def _found(training: Floats, served: Floats, settings: DriftSettings = ALL) -> set[str]:
    """Return the detectors that find a day of these values other than the training."""
    usual = measure(["a"], training[:, None], _times(len(training)))
    window = ReferenceWindow(Reference(usual.columns), settings)
    window.feed(served[:, None], _times(len(served)))
    assert window.due
    return {finding.detector for finding in window.look() if finding.over}


def _zeros(share: float, rng: np.random.Generator, rows: int) -> Floats:
    return np.where(rng.random(rows) < share, 0.0, rng.random(rows))


CHANGES = {
    "a constant that changes": (lambda r, n: np.zeros(n), lambda r, n: np.ones(n)),
    "a constant that grows a little": (lambda r, n: np.full(n, 5.0), lambda r, n: np.full(n, 5.000001)),
    "a constant that now and then is not": (
        lambda r, n: np.zeros(n), lambda r, n: (r.random(n) < 0.05).astype(float)
    ),
    "fewer zeros": (lambda r, n: _zeros(0.95, r, n), lambda r, n: _zeros(0.5, r, n)),
    "no zeros at all": (lambda r, n: _zeros(0.91, r, n), lambda r, n: r.random(n)),
    "more zeros": (lambda r, n: _zeros(0.5, r, n), lambda r, n: _zeros(0.95, r, n)),
    "fewer at the greatest": (lambda r, n: 1 - _zeros(0.95, r, n), lambda r, n: 1 - _zeros(0.5, r, n)),
    "fewer in the middle": (
        lambda r, n: np.where(r.random(n) < 0.6, 7.0, r.normal(7, 3, n)), lambda r, n: r.normal(7, 3, n)
    ),
    "a category that training never saw": (
        lambda r, n: r.integers(1, 4, n) * 10.0,
        lambda r, n: np.where(r.random(n) < 0.1, 25.0, r.integers(1, 4, n) * 10.0),
    ),
    "values beyond the range": (
        lambda r, n: r.random(n), lambda r, n: np.where(r.random(n) < 0.05, 2.0, r.random(n))
    ),
    "values below the range": (
        lambda r, n: r.random(n), lambda r, n: np.where(r.random(n) < 0.05, -1.0, r.random(n))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_every_statistic_finds_a_share_that_moved(name: str) -> None:
    before, after = CHANGES[name]
    rng = np.random.default_rng(1)
    found = _found(before(rng, TRAINING), after(rng, DAY))
    # what is rare lies within what KS takes for no matter
    rare = {"beyond", "below", "then", "never"} & set(name.split())
    assert found >= set(STATISTICS) - ({"ks"} if rare else set())


@pytest.mark.parametrize("name", CHANGES)
def test_no_statistic_finds_what_did_not_move(name: str) -> None:
    for seed, of in ((2, 0), (3, 1)):
        rng = np.random.default_rng(seed)
        draw = CHANGES[name][of]
        assert _found(draw(rng, TRAINING), draw(rng, DAY)) == set()


def test_a_null_that_training_never_had_counts_sooner() -> None:
    rng = np.random.default_rng(1)
    never, some = rng.random(TRAINING), np.where(rng.random(TRAINING) < 0.1, np.nan, rng.random(TRAINING))
    rows = 20 * DAY
    now = np.where(rng.random(rows) < 0.02, np.nan, rng.random(rows))
    more = np.where(rng.random(rows) < 0.12, np.nan, rng.random(rows))
    day = DriftSettings(window_ms=20 * DAY_MS)
    assert _found(never, now, day) == {NULLS}
    assert _found(some, more, day) == set()  # two of a hundred more, where ten are usual
    assert _found(np.full(TRAINING, np.nan), np.where(now > 0, np.nan, 1.0), day) == {NULLS}


@pytest.mark.parametrize("seed", range(4))
def test_random_distributions_with_repeated_values_and_nulls(seed: int) -> None:
    """Of 25 random distributions a moved share is found in each, and in none what stayed."""
    rng = np.random.default_rng(seed)
    for _ in range(25):
        count = int(rng.integers(1, 6))
        points = np.round(rng.normal(0, 5, count), 2)
        weights = rng.dirichlet(np.ones(count)) * rng.uniform(0.3, 0.99)
        nulls, scale = float(rng.choice([0.0, 0.02, 0.4])), float(rng.choice([1e-3, 1.0, 1e6]))
        training = _draw(rng, TRAINING, points, weights, nulls, scale)
        assert _found(training, _draw(rng, DAY, points, weights, nulls, scale)) == set()
        heaviest = int(np.argmax(weights))
        moved = weights.copy()
        moved[heaviest] *= 0.3
        served = _draw(rng, DAY, points, moved, nulls, scale)
        if weights[heaviest] > 0.25:
            assert _found(training, served) >= {"psi", "chi2", "kl", "js"}
        gone = np.where(rng.random(DAY) < 0.3, np.nan, served)
        assert NULLS in _found(training, gone)


@pytest.mark.parametrize("name", ["adwin", "page_hinkley"])
@pytest.mark.parametrize("change", ["a constant that changes", "fewer zeros", "fewer at the greatest"])
def test_rivers_detectors_see_repeated_values_move(name: str, change: str) -> None:
    before, after = CHANGES[change]
    rng = np.random.default_rng(4)
    usual = Reference(measure(["a"], before(rng, TRAINING)[:, None], _times(TRAINING)).columns)
    watch = MeanWatch("a", (name,), lambda values, slot: usual.ranks(0, values, slot))
    assert watch.feed(before(rng, 6 * DAY), _times(6 * DAY)) == []
    assert watch.feed(after(rng, 6 * DAY), _times(6 * DAY))


COLUMNS = ("amount_minor", "customer_count_24h", "terminal_fraud_ratio_7d")


def _watched(before: Floats, after: Floats, *, as_score: bool = False) -> list[DriftEvent]:
    """Return what the whole watch says of a column: three days as in training, then three others."""
    rng = np.random.default_rng(9)
    others = rng.lognormal(8, 1, (TRAINING, 2))
    column = rng.choice(before, TRAINING)
    usual = measure([*COLUMNS, "score"], np.column_stack([others, column, column]), _times(TRAINING))
    watch = DriftWatch(COLUMNS, PROJECT, DriftSettings(sample_every=1))
    watch.model_is("fraud/1", usual)
    events: list[DriftEvent] = []
    for day in range(6):
        values = rng.choice(after if day >= 3 else before, DAY)
        calm = rng.choice(before, DAY)
        vectors = np.column_stack([rng.lognormal(8, 1, (DAY, 2)), calm if as_score else values])
        times = _times(DAY, BEGIN_MS + day * DAY_MS)
        events += watch.feed(np.zeros(DAY, np.int32), times, vectors, values if as_score else calm)
    return events


@pytest.mark.parametrize("as_score", [False, True])
def test_the_watch_tells_of_a_default_feature_and_a_score_that_hardly_vary(as_score: bool) -> None:
    mostly, half = np.array([0.0] * 19 + [0.5]), np.array([0.0, 0.5])
    feature = "score" if as_score else "terminal_fraud_ratio_7d"
    for before, after in ((mostly, half), (np.zeros(1), half), (half, np.zeros(1))):
        alerts = [e for e in _watched(before, after, as_score=as_score) if e.kind == "alert"]
        assert {(alert.feature, alert.detector) for alert in alerts} == {(feature, "psi"), (feature, "adwin")}
        assert all(alert.at >= BEGIN_MS + 3 * DAY_MS for alert in alerts)  # type: ignore[operator]
        assert [e for e in _watched(before, before, as_score=as_score) if e.kind == "alert"] == []


def test_decisions_that_begin_to_vary_are_told() -> None:
    """All was approved while the reference was gathered; then one in ten is declined."""
    rng, days = np.random.default_rng(2), 12
    watch = DriftWatch(COLUMNS, PROJECT, DriftSettings(sample_every=1))
    watch.model_is("fraud/1", None)
    events: list[DriftEvent] = []
    for day in range(days):
        vectors = rng.lognormal(8, 1, (DAY, 3))
        decisions = np.where(rng.random(DAY) < (0.1 if day >= 9 else 0.0), 2, 0).astype(np.uint8)
        times = _times(DAY, BEGIN_MS + day * DAY_MS)
        events += watch.feed(np.zeros(DAY, np.int32), times, vectors, rng.beta(1, 9, DAY), decisions)
    alerts = {(e.feature, e.detector) for e in events if e.kind == "alert"}
    assert alerts == {("decision", "psi"), ("refused", "adwin")}
