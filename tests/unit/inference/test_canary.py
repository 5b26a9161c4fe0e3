"""A canary grows while its guardrails hold and is withdrawn when one breaks, by whoever sees it first."""

import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.models.manifest import Thresholds
from inference.models.model import ModelName
from inference.release.arms import Arms
from inference.release.canary import Breach, CanaryGuard, flagged_ratio
from inference.release.keeper import ReleaseKeeper
from inference.release.live import Live, LiveCanary
from inference.release.live_evidence import Figures, FolderEvidence, Report, write_report
from inference.release.registry import Registry
from inference.release.settings import CanarySettings
from load.this_project import PROJECT
from tests.unit.inference.support import StillClock
from tests.unit.inference.versions import CHANGE, add
from tests.waiting import until

Floats = NDArray[np.float64]
HOUR_MS = 3_600_000
SETTINGS = CanarySettings(rows_min=200, step_decisions=500, step_event_ms=HOUR_MS)


class Tag(NamedTuple):
    """A model as far as a guard looks at one."""

    identity: ModelName
    thresholds: Thresholds = Thresholds(review=0.5, decline=0.9)

    def predict(self, vectors: Floats) -> Floats:
        """Nobody asks."""
        raise NotImplementedError

    def contributions(self, vectors: Floats) -> Floats:
        """Nobody asks."""
        raise NotImplementedError


class Noted:
    """A keeper that notes."""

    def __init__(self) -> None:
        self.withdrawn: list[Breach] = []
        self.grown: list[float] = []
        self.counts: dict[str, tuple[int, int]] = {}

    def withdraw(self, canary: LiveCanary, breach: Breach) -> None:
        """Note the breach."""
        self.withdrawn.append(breach)

    def grow(self, canary: LiveCanary, share_percent: float) -> None:
        """Note the share."""
        self.grown.append(share_percent)

    def count(self, version_id: str, scores: int, errors: int) -> None:
        """Add."""
        before = self.counts.get(version_id, (0, 0))
        self.counts[version_id] = (before[0] + scores, before[1] + errors)


def tag(version: str, stage: str) -> Tag:
    return Tag(ModelName("fraud", version, stage, version * 64))


def live(share_percent: float = 1.0, since_ms: int = 5, version: str = "2") -> Live:
    return Live(tag("1", "champion"), LiveCanary(tag(version, "canary"), share_percent, since_ms))


def arms(of: Live, champion: Floats, canary: Floats, canary_ms: float = 1.0) -> Arms:
    """Return a batch all of whose payments are the canary's."""
    rows = np.arange(len(champion))
    return Arms(of, champion, champion, rows, rows, canary, rows[~np.isnan(canary)], canary_ms=canary_ms)


def scores(count: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).beta(0.3, 20, count)


def see(guard: CanaryGuard, batch: Arms, event_ms: int = 0) -> None:
    guard.see(batch, np.full(len(batch.assigned), event_ms))


@pytest.mark.parametrize(
    ("guardrail", "canary", "canary_ms"),
    [
        ("failed_share", np.where(np.arange(300) % 20 == 0, np.nan, scores(300)), 1.0),
        ("failed_share", np.full(300, np.nan), 1.0),
        ("psi", np.clip(scores(300) + 0.06, 0, 1), 1.0),
        ("declined_more", np.where(np.arange(300) % 30 == 0, 0.95, scores(300)), 1.0),
        ("reviewed_more", np.where(np.arange(300) % 12 == 0, 0.6, scores(300)), 1.0),
        ("predict_p99_ms", scores(300), 900.0),
    ],
)
def test_each_guardrail_breaks_on_its_own(guardrail: str, canary: Floats, canary_ms: float) -> None:
    loose = {"psi_max": 99.0} if guardrail in ("declined_more", "reviewed_more") else {}
    keeper = Noted()
    guard = CanaryGuard(CanarySettings(**loose), keeper, PROJECT.decisions)  # type: ignore[arg-type]
    for part in range(30):
        rows = slice(part * 10, part * 10 + 10)
        see(guard, arms(live(), scores(300)[rows], canary[rows], canary_ms))
    assert {breach.guardrail for breach in keeper.withdrawn} == {guardrail}
    breach = keeper.withdrawn[0]
    assert breach.value > breach.limit
    assert breach.decisions == 200, "it breaks as soon as there is enough to tell"
    assert guard.allowed(live()).canary is None, "this scorer goes on without it at once"
    assert guard.allowed(live(since_ms=6)).canary is not None, "put in again, it is another trial"


def test_a_good_canary_is_left_alone_and_a_champion_that_fails_does_not_condemn_it() -> None:
    keeper = Noted()
    guard = CanaryGuard(SETTINGS, keeper, PROJECT.decisions)
    champion, canary = scores(3000), np.clip(scores(3000) * 1.05, 0, 1)
    champion[::50] = np.nan
    for begin in range(0, 3000, 100):
        see(guard, arms(live(), champion[begin : begin + 100], canary[begin : begin + 100]))
    assert keeper.withdrawn == []


def test_what_was_good_long_ago_does_not_hide_what_is_bad_now() -> None:
    keeper = Noted()
    guard = CanaryGuard(CanarySettings(window_rows=1000), keeper, PROJECT.decisions)
    good = scores(500)
    for _ in range(40):
        see(guard, arms(live(), good, good))
    for _ in range(2):
        see(guard, arms(live(), good, np.full(500, 0.7)))
    assert len(keeper.withdrawn) >= 1


def test_it_grows_by_decisions_and_event_time_and_asks_once() -> None:
    keeper = Noted()
    guard = CanaryGuard(SETTINGS, keeper, PROJECT.decisions)
    good = np.where(np.arange(400) % 40 == 0, 0.6, scores(400))
    see(guard, arms(live(), good, good), event_ms=0)
    see(guard, arms(live(), good, good), event_ms=HOUR_MS - 1)
    assert keeper.grown == [], "enough decisions, but not enough time"
    see(guard, arms(live(), good, good), event_ms=HOUR_MS)
    see(guard, arms(live(), good, good), event_ms=2 * HOUR_MS)
    assert keeper.grown == [5.0]
    see(guard, arms(live(5.0), good, good), event_ms=2 * HOUR_MS)
    see(guard, arms(live(5.0), good[:50], good[:50]), event_ms=4 * HOUR_MS)
    assert keeper.grown == [5.0], "enough time, but not enough decisions"
    see(guard, arms(live(5.0), good, good), event_ms=4 * HOUR_MS)
    assert keeper.grown == [5.0, 10.0]
    see(guard, arms(live(50.0), good, good), event_ms=5 * HOUR_MS)
    see(guard, arms(live(50.0), good, good), event_ms=9 * HOUR_MS)
    assert keeper.grown == [5.0, 10.0], "the last step waits for a person"


def test_a_canary_that_flags_nothing_is_withdrawn_though_no_limit_upwards_is_broken() -> None:
    keeper = Noted()
    guard = CanaryGuard(CanarySettings(), keeper, PROJECT.decisions)
    champion = np.where(np.arange(2500) % 100 == 0, 0.6, scores(2500) / 100)  # one in a hundred is looked at
    for begin in range(0, 2500, 100):
        rows = slice(begin, begin + 100)
        see(guard, arms(live(), champion[rows], scores(100) / 100))
    breach = keeper.withdrawn[0]
    assert (breach.guardrail, breach.side) == ("flagged_ratio", "below")
    assert breach.value < breach.limit
    assert breach.decisions <= 2000, "as soon as it is sure"
    assert "below 0.5" in str(breach)


@pytest.mark.parametrize(
    ("guardrail", "champion", "canary"),
    [("declined_less", 0.95, 0.6), ("reviewed_less", 0.6, 0.95)],
)
def test_guardrails_look_both_ways(guardrail: str, champion: float, canary: float) -> None:
    keeper = Noted()
    loose = CanarySettings(psi_max=99.0, declined_more_max=1.0, reviewed_more_max=1.0)
    every = np.arange(400) % 10 == 0
    see(
        CanaryGuard(loose, keeper, PROJECT.decisions),
        arms(live(), *(np.where(every, s, 0.001) for s in (champion, canary))),
    )
    assert [breach.guardrail for breach in keeper.withdrawn] == [guardrail]


@pytest.mark.parametrize("canary", [0.6, 0.4])
def test_a_canary_does_not_grow_before_anybody_knows_what_it_lets_pass(canary: float) -> None:
    keeper = Noted()
    guard = CanaryGuard(SETTINGS, keeper, PROJECT.decisions)
    quiet = scores(3000) / 100
    for begin in range(0, 3000, 500):
        see(
            guard,
            arms(live(), quiet[begin : begin + 500], quiet[begin : begin + 500]),
            event_ms=begin * HOUR_MS,
        )
    assert keeper.grown == keeper.withdrawn == [], "enough decisions and time, of payments nobody would flag"
    flagged = np.full(40, 0.6)
    see(guard, arms(live(), flagged, np.full(40, canary)), event_ms=4000 * HOUR_MS)
    assert bool(keeper.grown) is (canary == 0.6)
    assert bool(keeper.withdrawn) is (canary == 0.4)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.005, 0.2), st.floats(0.7, 1.0))
def test_one_that_flags_nearly_as_much_is_left_alone(seed: int, share: float, kept: float) -> None:
    chance = np.random.default_rng(seed)
    champion = chance.random(4000) < share
    canary = champion & (chance.random(4000) < kept)
    ratio, upper = flagged_ratio(champion, canary)
    assert ratio <= upper
    assert upper > 0.5


def test_another_canary_or_champion_begins_anew() -> None:
    keeper = Noted()
    guard = CanaryGuard(SETTINGS, keeper, PROJECT.decisions)
    bad = np.full(150, 0.7)
    see(guard, arms(live(), scores(150), bad))
    see(guard, arms(live(version="3"), scores(150), bad))
    assert keeper.withdrawn == []
    see(guard, arms(live(version="3"), scores(150), bad))
    assert len(keeper.withdrawn) == 1


def test_everybodys_scores_and_errors_are_counted() -> None:
    keeper = Noted()
    guard = CanaryGuard(SETTINGS, keeper, PROJECT.decisions)
    shadow = tag("3", "shadow")
    own = np.array([0.1, np.nan, 0.2])
    batch = arms(live()._replace(shadows=(shadow,)), scores(3), own)._replace(shadows=(own,))
    see(guard, batch)
    assert keeper.counts == {"fraud/1": (3, 0), "fraud/2": (3, 1), "fraud/3": (3, 1)}


def _registry(models: Path) -> tuple[Registry, str, str]:
    registry = Registry(models)
    one, two = add(registry), add(registry, b"two")
    registry.promote(one, CHANGE)
    registry.promote(two, CHANGE, "canary", share_percent=1)
    return registry, one, two


def _live_of(registry: Registry) -> LiveCanary:
    canary = registry.release().canary
    assert canary is not None
    model = tag(canary.model.version, "canary")
    return LiveCanary(model, canary.share_percent, canary.since_ms)


def test_two_scorers_that_see_it_break_withdraw_it_once(tmp_path: Path) -> None:
    registry, one, two = _registry(tmp_path)
    canary = _live_of(registry)
    keepers = [ReleaseKeeper(tmp_path, f"scorer-{n}", SETTINGS, StillClock()) for n in range(2)]
    begin = threading.Barrier(2)

    def withdraw(keeper: ReleaseKeeper) -> None:
        keeper.start()
        begin.wait()
        keeper.withdraw(canary, Breach("psi", 1.5, 0.25, 200))
        keeper.close()

    threads = [threading.Thread(target=withdraw, args=(keeper,)) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert registry.release().canary is None
    assert {entry.id: entry.stage for entry in registry.entries()} == {one: "champion", two: "retired"}
    rows = [row for row in registry.audit() if row["action"] == "canary_withdrawn"]
    assert len(rows) == 1
    assert (rows[0]["id"], rows[0]["guardrail"], rows[0]["decisions"]) == (two, "psi", 200)
    assert rows[0]["why"] == "psi 1.5 above 0.25 over 200 decisions"


def test_growth_is_a_compare_and_set_on_the_canary(tmp_path: Path) -> None:
    registry, _, two = _registry(tmp_path)
    canary = _live_of(registry)
    keeper = ReleaseKeeper(tmp_path, "scorer-0", SETTINGS, StillClock())
    keeper.start()
    keeper.grow(canary, 5.0)
    keeper.grow(canary, 5.0)  # as another scorer would
    keeper.close()
    grown = registry.release().canary
    assert grown is not None
    assert (grown.share_percent, grown.since_ms) == (5.0, canary.since_ms)
    assert [row["share_percent"] for row in registry.audit() if row["action"] == "canary_grown"] == [5.0]
    registry.retire(two, CHANGE)
    late = ReleaseKeeper(tmp_path, "scorer-1", SETTINGS, StillClock())
    late.start()
    late.grow(canary, 50.0)
    late.close()
    assert registry.release().canary is None, "who comes late changes nothing"


def test_matured_labels_withdraw_a_canary(tmp_path: Path) -> None:
    registry, one, two = _registry(tmp_path)
    keeper = ReleaseKeeper(tmp_path, "scorer-0", SETTINGS, StillClock())
    few = {two: Figures(labels=49, precision=0.2), one: Figures(labels=500, precision=0.6)}
    write_report(tmp_path, Report(source="learner", at_ms=1, models=few))
    keeper.look()
    assert registry.release().canary is not None, "too few labels to tell"
    write_report(
        tmp_path, Report(source="learner", at_ms=2, models=few | {two: Figures(labels=50, precision=0.2)})
    )
    keeper.look()
    assert registry.release().canary is None
    assert registry.audit()[-1]["guardrail"] == "precision_worse_by"


@pytest.mark.parametrize(("frauds", "caught", "withdrawn"), [(60, 0, True), (19, 0, False), (60, 34, False)])
def test_matured_frauds_that_it_let_pass_withdraw_a_canary_that_flags_nothing(
    tmp_path: Path, frauds: int, caught: int, withdrawn: bool
) -> None:
    registry, one, two = _registry(tmp_path)
    keeper = ReleaseKeeper(tmp_path, "scorer-0", SETTINGS, StillClock())
    figures = {two: Figures(positives=frauds, caught=caught), one: Figures(positives=500, caught=300)}
    write_report(tmp_path, Report(source="learner", at_ms=1, models=figures))
    keeper.look()
    assert (registry.release().canary is None) is withdrawn
    assert not withdrawn or registry.audit()[-1]["guardrail"] == "recall_worse_by"


def test_counts_are_written_read_and_gone_on_with_after_a_restart(tmp_path: Path) -> None:
    _, _, two = _registry(tmp_path)
    for _ in range(2):
        for name in ("scorer-0", "scorer-1"):
            keeper = ReleaseKeeper(tmp_path, name, SETTINGS, StillClock())
            keeper.start()
            keeper.count(two, 100, 1)
            keeper.close()
    assert FolderEvidence(tmp_path).of(two) == Figures(scores=400, errors=4)


def test_a_registry_that_may_not_be_written_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, _, _ = _registry(tmp_path)
    canary = _live_of(registry)
    tries: list[str] = []
    change = Registry.change

    def refusing_once(self: Registry, action: str, *rest: object, **more: object) -> object:
        tries.append(action)
        if len(tries) == 1:
            raise PermissionError(13, "read-only")
        return change(self, action, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "change", refusing_once)
    keeper = ReleaseKeeper(tmp_path, "scorer-0", SETTINGS, StillClock())
    keeper.start()
    keeper.withdraw(canary, Breach("psi", 1.5, 0.25, 200))
    until(lambda: registry.release().canary is None, timeout_s=15, what="the canary is withdrawn")
    keeper.close()
    assert tries == ["canary_withdrawn"] * 2


def test_evidence_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    write_report(tmp_path, Report(source="a", at_ms=1, models={"fraud/1": Figures(scores=1)}))
    (tmp_path / "evidence" / "b.json").write_bytes(b"{")
    assert FolderEvidence(tmp_path).of("fraud/1").scores == 1
