"""The retraining policy: each trigger fires on its evidence, in event time, one training at a time."""

import msgspec
import pytest

from contracts.events import Quality
from inference.learning.core import LearnerCore
from inference.learning.ports import Training
from inference.learning.settings import RetrainSettings
from inference.learning.triggers import (
    DriftAlert,
    Standing,
    Window,
    alert_of,
    due,
    fired,
    remember,
)
from tests.unit.inference.learning.support import (
    DAY_MS,
    START_MS,
    THRESHOLDS,
    FixedModels,
    Label,
    Payment,
    feed,
    finished,
    make_core,
    settings,
)

TRAINING = Training(model="fraud/1", until_ms=START_MS, labels=1000)
QUIET = RetrainSettings(
    drift_ratio=0, quality_drop_ratio=0, new_labels_ratio=0, age_days=0, schedule_days=0, cooldown_days=2
)


def only(**fields: float) -> RetrainSettings:
    """Return a policy in which these are the only triggers."""
    return msgspec.structs.replace(QUIET, **fields)


def codes(
    policy: RetrainSettings, *, at_ms: int = START_MS + DAY_MS, standing: Standing | None = None,
    labels: int = 0, window: Window | None = None, alerts: tuple[DriftAlert, ...] = (),
    training: Training | None = TRAINING,
) -> list[str]:  # fmt: skip
    found = fired(standing or Standing(), at_ms, training, labels, window, alerts, policy)
    assert all(each.evidence for each in found)
    return [each.code for each in found]


def test_drift_past_the_declared_ratio_fires() -> None:
    alerts = (DriftAlert(START_MS + 5, "score", 0.09),)
    assert codes(only(drift_ratio=0.1), alerts=alerts) == []
    assert codes(only(drift_ratio=0.1), alerts=(*alerts, DriftAlert(6, "score", 0.1))) == ["T_DRIFT"]


@pytest.mark.parametrize(
    ("drops", "fires"),
    [((0.5, 0.48, 0.48), False), ((0.5, 0.47), False), ((0.5, 0.47, 0.47), True), ((0.5, 0.4, 0.5), False)],
)
def test_quality_fires_when_it_stays_down(drops: tuple[float, ...], fires: bool) -> None:
    policy, standing = only(quality_drop_ratio=0.05), Standing()
    for precision in drops:
        standing = remember(standing, Window("fraud/1", precision, 99), policy)
    window = Window("fraud/1", drops[-1], 99)
    assert codes(policy, standing=standing, window=window) == (["T_QUALITY"] if fires else [])


def test_windows_with_few_frauds_say_nothing() -> None:
    policy = only(quality_drop_ratio=0.05)
    standing = remember(Standing(), Window("fraud/1", 0.9, 5), policy)
    assert standing == Standing()


def test_labels_age_and_schedule_fire() -> None:
    assert codes(only(new_labels_ratio=0.2), labels=199) == []
    assert codes(only(new_labels_ratio=0.2), labels=200) == ["T_NEW_LABELS"]
    assert codes(only(age_days=30), at_ms=START_MS + 29 * DAY_MS) == []
    assert codes(only(age_days=30), at_ms=START_MS + 30 * DAY_MS) == ["T_AGE"]
    assert codes(only(schedule_days=7), at_ms=START_MS + 7 * DAY_MS) == ["T_SCHEDULE"]
    started = Standing(started_ms=START_MS + 5 * DAY_MS)
    assert codes(only(schedule_days=7), at_ms=START_MS + 7 * DAY_MS, standing=started) == []
    assert codes(QUIET, at_ms=START_MS + 400 * DAY_MS, labels=10**6) == []


def test_without_a_model_enough_labels_fire() -> None:
    assert codes(QUIET, training=None, labels=999) == []
    assert codes(QUIET, training=None, labels=1000) == ["T_FIRST"]


def test_one_training_at_a_time_and_a_cool_down() -> None:
    assert due(Standing(), START_MS, QUIET)
    assert not due(Standing(training=True), START_MS, QUIET)
    assert not due(Standing(started_ms=START_MS), START_MS + 2 * DAY_MS - 1, QUIET)
    assert due(Standing(started_ms=START_MS), START_MS + 2 * DAY_MS, QUIET)


def test_only_alerts_that_say_how_far_count() -> None:
    assert alert_of({"kind": "restart", "feature": "all"}) is None
    assert alert_of({"kind": "alert", "feature": "x", "at": 1}) is None
    assert alert_of({"kind": "alert", "feature": "x", "at": 1, "detector": "adwin", "statistic": 9}) is None
    means = {"kind": "alert", "feature": "x", "at": 1, "from_mean": 2.0, "to_mean": 1.5}
    both = alert_of(means | {"detector": "psi", "statistic": 0.3})
    assert both is not None
    assert both.ratio == 0.3


def learner(**policy: object) -> tuple[LearnerCore, FixedModels]:
    """Return a core whose champion is old enough to be trained again."""
    models = FixedModels({"fraud/1": THRESHOLDS}, champion=TRAINING)
    given = settings(retrain=msgspec.structs.replace(only(age_days=3), **policy))
    core = make_core(given, models)
    feed(
        core,
        [Payment(id=f"t{at}", event_ms=START_MS + at * DAY_MS, offset=at) for at in range(12)],
        [Label(id="t0", label_ms=START_MS + DAY_MS, fraud=0)],
    )
    return core, models


def said(records: list[Quality]) -> list[str]:
    return [str(r.code) for r in records if r.kind in ("retrain", "training")]


def test_the_core_starts_one_training_and_waits_for_a_person() -> None:
    core, models = learner()
    first = core.report(START_MS + 3 * DAY_MS)
    assert said(first.quality) == ["T_AGE", "T_STARTED"]
    assert first.train_until_ms == START_MS + 3 * DAY_MS
    assert core.report(START_MS + 8 * DAY_MS).train_until_ms is None  # it runs still
    models.gains["fraud/2"] = 0.1
    ended = core.trained(finished("fraud/2"))
    assert said(ended) == ["T_CANDIDATE"]
    assert models.promoted == []
    assert core.report(START_MS + 9 * DAY_MS).train_until_ms == START_MS + 9 * DAY_MS


def test_a_policy_that_says_so_promotes_what_is_better() -> None:
    core, models = learner(promote="policy", promote_gain_min=0.02)
    core.report(START_MS + 3 * DAY_MS)
    models.gains = {"fraud/2": 0.01, "fraud/3": 0.02}
    assert said(core.trained(finished("fraud/2"))) == ["T_CANDIDATE"]
    assert core.advance(START_MS + 4 * DAY_MS) == []
    assert said(core.trained(finished("fraud/3"))) == ["T_CANDIDATE", "T_SHADOW"]
    assert models.promoted == []
    models.refuse = True
    assert core.advance(START_MS + 4 * DAY_MS) == [], "its gates do not hold yet"
    models.refuse = False
    assert said(core.advance(START_MS + 5 * DAY_MS)) == ["T_PROMOTED"]
    assert models.promoted == [("fraud/3", START_MS + 5 * DAY_MS)]
    assert core.advance(START_MS + 6 * DAY_MS) == []


def test_the_first_model_of_a_policy_has_nobody_to_be_in_the_shadow_of() -> None:
    core, models = learner(promote="policy")
    core.report(START_MS + 3 * DAY_MS)
    models.now = None
    assert said(core.trained(finished("fraud/3"))) == ["T_CANDIDATE", "T_PROMOTED"]


def test_a_shadow_waits_for_a_person_where_the_policy_leaves_it_to_them() -> None:
    core, models = learner()
    models.shadows = ["fraud/2"]
    assert core.advance(START_MS + 4 * DAY_MS) == []
    assert models.shadows == ["fraud/2"]


def test_a_promotion_that_is_refused_is_told_and_ends_nothing() -> None:
    core, models = learner(promote="policy")
    core.report(START_MS + 3 * DAY_MS)
    models.gains["fraud/2"] = 0.5
    models.refuse = True
    told = core.trained(finished("fraud/2"))
    assert said(told) == ["T_CANDIDATE", "T_REFUSED"]
    assert "E_GATE_REFUSED" in told[1].what


def test_a_failed_training_is_told_and_does_not_block_the_next() -> None:
    core, _ = learner()
    core.report(START_MS + 3 * DAY_MS)
    failed = core.trained(finished(code="E_TRAIN_POSITIVES", what="3 frauds"))
    assert said(failed) == ["T_FAILED"]
    assert "E_TRAIN_POSITIVES" in failed[0].what
    assert said(core.report(START_MS + 5 * DAY_MS).quality) == ["T_AGE", "T_STARTED"]


def test_a_training_lost_with_its_learner_is_told_and_may_start_again() -> None:
    core, _ = learner()
    core.report(START_MS + 3 * DAY_MS)
    successor, _ = learner()
    successor.resume(core.memory)
    assert said(successor.report(START_MS + 4 * DAY_MS).quality) == ["T_LOST", "T_AGE", "T_STARTED"]


def test_without_leave_to_start_triggers_are_only_told() -> None:
    core, _ = learner(start_training=False)
    report = core.report(START_MS + 3 * DAY_MS)
    assert said(report.quality) == ["T_AGE"]
    assert report.train_until_ms is None
    assert said(core.report(START_MS + 4 * DAY_MS).quality) == []  # once a cool-down
