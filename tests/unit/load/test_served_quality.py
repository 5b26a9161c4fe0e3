"""What windows are worth by week: a model of what was known at a moment, judged on what came later."""

from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ModelError
from contracts.frame import take
from inference.offline.lake.lake import Lake
from load.scenarios.served_quality import Ranked, _by_week, figures, plotted
from tests.lake_maker import make_lake
from tests.unit.inference.conftest import BEGIN_MS, DAY_MS, Made, made

__all__ = ["made"]


def test_windows_are_told_beside_none_on_the_same_events(made: Made) -> None:
    from_ms = BEGIN_MS + 20 * DAY_MS
    found = figures(made.lake, from_ms)
    known = made.labels["event_time"]
    assert found["judged"] == int((known >= from_ms).sum())
    assert found["average_precision"] > 2 * found["positive_share"]
    assert found["average_precision"] != found["without_windows"]["average_precision"]
    weeks = found["weeks"]
    assert len(weeks["with_windows"]) == len(weeks["without_windows"]) == len(weeks["positive_share"]) >= 2
    svg = plotted(found)
    assert svg.count("<polyline") == 3
    assert "without windows" in svg


def test_models_learn_from_the_history_that_stands_in_a_lake_of_its_own(made: Made, tmp_path: Path) -> None:
    """As behind an import: the lake that is judged has no label that was known when it began."""
    from_ms = BEGIN_MS + 20 * DAY_MS
    late = made.payments["event_time"] >= from_ms, made.labels["event_time"] >= from_ms
    make_lake(tmp_path, take(made.payments, late[0]), take(made.labels, late[1]))
    streamed = Lake(tmp_path, made.lake.project)
    with pytest.raises(ModelError, match="E_TRAIN_LABELS"):
        figures(streamed, from_ms)
    found = figures(streamed, from_ms, made.lake)
    assert found["judged"] == int(late[1].sum())
    assert found["average_precision"] > 2 * found["positive_share"]


def test_a_week_is_that_of_its_events() -> None:
    day = 86_400_000
    times = np.array([0] * 40 + [8 * day] * 40)
    positive = np.array([1, 0] * 40)
    right = np.where(np.arange(80) < 40, positive, 1 - positive).astype(float)
    (first, best), (second, worst) = _by_week(Ranked(times, right, positive), 0)
    assert (first, best, second) == (3.5, 1.0, 10.5)
    assert worst == 0.5
