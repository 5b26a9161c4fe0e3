"""When to train again: the declared policy, asked at each report, in event time alone."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from features.definition import DAY_MS
from inference.learning.ports import Training
from inference.learning.settings import RetrainSettings

_DIVERGENCES = ("psi", "kl", "js", "ks")


class DriftAlert(NamedTuple):
    """An alert of the topic `drift`: what moved, when, how far as a share, of which incident."""

    at_ms: int
    feature: str
    ratio: float
    incident: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy remembers between reports; committed with them.

    `best` is each model's best average precision of a matured window, `low_reports` how many reports in a row
    were too far below it.
    """

    best: dict[str, float] = {}
    low_reports: int = 0
    started_ms: int | None = None
    training: bool = False


class Window(NamedTuple):
    """The champion's matured window that quality is judged by."""

    model: str
    average_precision: float
    positives: int


class Fired(NamedTuple):
    """A trigger that fired, with its evidence."""

    code: str
    what: str
    evidence: dict[str, float]


def remember(standing: Standing, window: Window | None, settings: RetrainSettings) -> Standing:
    """Return the standing after one more report.

    >>> standing = remember(Standing(), Window("m/1", 0.5, 99), RetrainSettings())
    >>> remember(standing, Window("m/1", 0.4, 99), RetrainSettings()).low_reports
    1
    """
    if window is None or window.positives < settings.positives_min:
        return standing
    best = standing.best.get(window.model)
    if best is None or window.average_precision >= best:
        # Only the model in service is remembered, so that the standing stays small.
        return msgspec.structs.replace(standing, best={window.model: window.average_precision}, low_reports=0)
    low = settings.quality_drop_ratio > 0 and window.average_precision < best * (
        1 - settings.quality_drop_ratio
    )
    return msgspec.structs.replace(standing, low_reports=standing.low_reports + 1 if low else 0)


def due(standing: Standing, at_ms: int, settings: RetrainSettings) -> bool:
    """Return whether a training may start: none runs, and the cool-down since the last one is over."""
    over = standing.started_ms is None or at_ms - standing.started_ms >= settings.cooldown_days * DAY_MS
    return over and not standing.training


def fired(
    standing: Standing, at_ms: int, training: Training | None, labels_known: int,
    window: Window | None, alerts: Sequence[DriftAlert], settings: RetrainSettings,
) -> list[Fired]:  # fmt: skip
    """Return the triggers that hold at a moment.

    Args:
        training: of the champion; None without one, and then enough labels are the one trigger.
        labels_known: events whose label became known after the champion's training moment.
        alerts: of drift, newer than the last training.
    """
    if training is None:
        if not settings.labels_min or labels_known < settings.labels_min:
            return []
        evidence = {"labels": float(labels_known), "limit": float(settings.labels_min)}
        return [Fired("T_FIRST", f"no model yet, {labels_known:,} labels are known", evidence)]
    checks = (
        _drift(alerts, settings), _quality(standing, window, settings),
        _labels(training, labels_known, settings), _age(training, at_ms, settings),
        _schedule(standing, training, at_ms, settings),
    )  # fmt: skip
    return [check for check in checks if check is not None]


def alert_of(record: Mapping[str, object]) -> DriftAlert | None:
    """Return the alert of a record of `drift`; None for what is no alert or says nothing of how far.

    How far is the larger of the mean's move, as a share of what it was, and of a divergence that the alert
    tells as its statistic.

    >>> alert_of({"kind": "alert", "feature": "score", "at": 5, "from_mean": 0.1, "to_mean": 0.2})
    DriftAlert(at_ms=5, feature='score', ratio=1.0, incident='')
    >>> alert_of({"kind": "alert", "feature": "x", "at": 5, "detector": "psi", "statistic": 0.3}).ratio
    0.3
    """
    at, old, new = record.get("at"), record.get("from_mean"), record.get("to_mean")
    if record.get("kind") != "alert" or not isinstance(at, int) or not 0 <= at < 1 << 43:
        return None
    far = []
    if isinstance(old, int | float) and isinstance(new, int | float):
        far.append(abs(new - old) / abs(old) if old else float("inf") if new else 0.0)
    statistic = record.get("statistic")
    if record.get("detector") in _DIVERGENCES and isinstance(statistic, int | float):
        far.append(float(statistic))
    if not far:
        return None
    incident = str(record.get("incident", ""))
    return DriftAlert(at, str(record.get("feature", "")), min(max(far), 1e9), incident)


def _drift(alerts: Sequence[DriftAlert], settings: RetrainSettings) -> Fired | None:
    far = [alert for alert in alerts if alert.ratio >= settings.drift_ratio]
    if not settings.drift_ratio or not far:
        return None
    worst = max(far, key=lambda alert: alert.ratio)
    return Fired(
        "T_DRIFT", f"{worst.feature} moved by {worst.ratio:.0%}; {len(far)} alerts are past the limit",
        {
            "moved_ratio": worst.ratio, "limit": settings.drift_ratio, "alerts": float(len(far)),
            "incidents": float(len({alert.incident for alert in far})),
        },
    )  # fmt: skip


def _quality(standing: Standing, window: Window | None, settings: RetrainSettings) -> Fired | None:
    if window is None or not standing.low_reports or standing.low_reports < settings.quality_reports:
        return None
    best = standing.best.get(window.model)
    if best is None:
        return None
    drop = 1 - window.average_precision / best
    return Fired(
        "T_QUALITY", f"average precision is {drop:.0%} below this model's best window",
        {
            "average_precision": window.average_precision, "best": best, "drop_ratio": drop,
            "limit": settings.quality_drop_ratio, "reports": float(standing.low_reports),
        },
    )  # fmt: skip


def _labels(training: Training, known: int, settings: RetrainSettings) -> Fired | None:
    ratio = known / training.labels if training.labels else float(known > 0)
    if not settings.new_labels_ratio or ratio < settings.new_labels_ratio:
        return None
    return Fired(
        "T_NEW_LABELS", f"{known:,} labels became known since the training had {training.labels:,}",
        {"new_labels": float(known), "ratio": ratio, "limit": settings.new_labels_ratio},
    )  # fmt: skip


def _age(training: Training, at_ms: int, settings: RetrainSettings) -> Fired | None:
    days = (at_ms - training.until_ms) / DAY_MS
    if not settings.age_days or days < settings.age_days:
        return None
    return Fired(
        "T_AGE", f"the champion knows nothing of the last {days:.0f} days",
        {"days": days, "limit": settings.age_days},
    )  # fmt: skip


def _schedule(standing: Standing, training: Training, at_ms: int, settings: RetrainSettings) -> Fired | None:
    last_ms = max(training.until_ms, standing.started_ms or training.until_ms)
    days = (at_ms - last_ms) / DAY_MS
    if not settings.schedule_days or days < settings.schedule_days:
        return None
    return Fired(
        "T_SCHEDULE", f"{days:.0f} days since the last training, one is due each {settings.schedule_days:g}",
        {"days": days, "limit": settings.schedule_days},
    )  # fmt: skip
