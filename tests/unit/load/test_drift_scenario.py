"""The evaluation counts what it should: shown by judges whose alarms are known."""

import numpy as np
import pytest

from load.bench.drift.judges import CONTESTANTS, Contestant, Dummy, Floats, Ints
from load.bench.drift.scenario import evaluate, judge
from load.bench.drift.scenes import MONDAY_MS, SCENES, Scene, Stream

BY_NAME = {scene.name: scene for scene in SCENES}
STREAM = Stream(np.zeros(10), np.arange(10), np.zeros(5120), MONDAY_MS + np.arange(5120), 2560)


class FiresAt:
    """Fires at some chunks."""

    def __init__(self, *chunks: int) -> None:
        self._chunks, self._fed = chunks, 0

    def feed(self, values: Floats, event_ms: Ints) -> int:
        """Return whether this is one of the chunks."""
        self._fed += 1
        return int(self._fed - 1 in self._chunks)


def test_an_alarm_before_the_change_is_false_and_the_first_after_it_has_the_delay() -> None:
    scene = BY_NAME["shift"]  # one row of four, chunks of 256: they end at 1020, 2044, ...
    score = judge(STREAM, scene, FiresAt(0, 1, 3, 4))
    assert (score.false_alarms, score.missed, score.stable_events) == (2, 0, 2560)
    assert score.delays == [3 * 1024 + 1020 - 2560]
    assert judge(STREAM, scene, FiresAt(1)).missed == 1
    every = judge(STREAM, scene._replace(every_row=True), FiresAt(12))
    assert every.delays == [13 * 256 - 1 - 2560]


def test_a_stream_without_a_change_has_only_false_alarms() -> None:
    score = judge(STREAM._replace(change_at=None), BY_NAME["plain"], Dummy(1))
    assert (score.false_alarms, score.changes, score.delays, score.stable_events) == (5, 0, [], 5120)


def test_the_dummies_are_the_ends_of_the_scale() -> None:
    dummies = CONTESTANTS[:2]
    found = evaluate([BY_NAME["shift"], BY_NAME["season"]], dummies, seeds=1).more["totals"]
    assert found["always fires"]["missed_share"] == 0
    assert found["always fires"]["delay_median"] <= 1024
    assert found["always fires"]["false_per_10k"] == pytest.approx(1e4 / 1024, rel=0.05)
    assert found["never fires"] | {"cpu_us": 0} == {
        "streams": 2, "changes": 1, "missed_share": 1.0, "delay_median": None, "delay_p90": None,
        "false_per_10k": 0.0, "cpu_us": 0,
    }  # fmt: skip


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_scene_is_a_function_of_its_seed_and_changes_where_it_says(scene: Scene) -> None:
    stream, again = (scene.make(np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(stream[:4], again[:4], strict=True))
    assert (np.diff(stream.event_ms) >= 0).all()
    assert stream.training_ms[-1] < stream.event_ms[0]
    if stream.change_at is not None:
        assert 0.4 < stream.change_at / len(stream.values) < 0.6


def test_what_is_planted_is_there() -> None:
    rng = np.random.default_rng(5)
    moved = BY_NAME["shift"].make(rng)
    assert moved.change_at is not None
    logs = np.log(moved.values)
    assert logs[moved.change_at :].mean() - logs[: moved.change_at].mean() == pytest.approx(0.5, abs=0.1)
    spread = BY_NAME["variance"].make(rng)
    assert spread.change_at is not None
    logs = np.log(spread.values)
    assert logs[spread.change_at :].std() / logs[: spread.change_at].std() == pytest.approx(1.5, abs=0.1)
    codes = BY_NAME["category"].make(rng)
    assert codes.change_at is not None
    before, after = codes.values[: codes.change_at], codes.values[codes.change_at :]
    assert before.mean() == pytest.approx(after.mean(), abs=0.05)
    assert (before == 1).mean() > 2 * (after == 1).mean()
    missing = BY_NAME["missing"].make(rng)
    assert missing.change_at is not None
    null = np.isnan(missing.values)
    assert null[: missing.change_at].mean() == pytest.approx(0.01, abs=0.005)
    assert null[missing.change_at :].mean() == pytest.approx(0.06, abs=0.01)


def test_the_services_own_watches_find_a_plain_shift_and_leave_the_season_alone() -> None:
    some = [c for c in CONTESTANTS if c.name in ("adwin", "psi 24 h", "adwin, season left in")]
    found = evaluate([BY_NAME["shift"], BY_NAME["season"]], some, seeds=2).more["detectors"]
    for name in ("adwin", "psi 24 h"):
        assert found[name]["shift"]["missed_share"] == 0
        assert found[name]["season"]["false_per_10k"] == 0
        assert found[name]["shift"]["delay_p90"] < 3 * 3000  # three days
    assert found["adwin, season left in"]["season"]["false_per_10k"] > 0.3


def test_every_contestant_judges_what_it_says_it_can() -> None:
    for contestant in CONTESTANTS:
        assert isinstance(contestant, Contestant)
        for scene in SCENES:
            if scene.kind in contestant.kinds:
                stream = scene.make(np.random.default_rng(3))
                short = Stream(*(column[:3000] for column in stream[:4]), None)
                assert judge(short, scene, contestant.make(stream, scene.kind)).events == 3000
