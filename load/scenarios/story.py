"""The figures of a pattern change: what was seen when, and how average precision fell and came back."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from contracts.events import Quality
from feature_repo.generator.plan import DAY_MS
from load.scenarios.person import Act
from load.scenarios.told import Told

Series = dict[str, list[tuple[int, float]]]  # model and stage -> (payments up to, average precision)
FRAUDS_MIN = 30
NAMES_THE_CHANGE = ("events", "outcome")  # labels know of it days later


def series_of(told: Sequence[Quality], days: int) -> Series:
    """Return average precision of matured windows by model and stage, by the time of their payments."""
    found: Series = {}
    for r in told:
        if (
            r.kind == "matured" and r.window_days == days and isinstance(r.model, str)
            and r.counts["positives"] >= FRAUDS_MIN and "average_precision" in r.figures
        ):  # fmt: skip
            point = (int(r.window_to or 0), r.figures["average_precision"])
            found.setdefault(f"{r.model} {r.stage}", []).append(point)
    return {name: sorted(points) for name, points in sorted(found.items())}


def figures(told: Told, acts: Sequence[Act], change_ms: int, days: int) -> dict[str, Any]:
    """Return the scenario's figures; moments are days after the change, None for what never came.

    Args:
        days: length of the windows that are told of.
    """
    series = series_of(told.quality, days)
    promoted = [act for act in acts if act.what == "promote"]
    shadows = [act for act in acts if act.what == "shadow"]
    old = promoted[0].model if promoted else ""
    new = promoted[1] if len(promoted) > 1 else None  # the first challenger; others may follow it
    decided = dict[int, float]()
    for act in promoted:
        decided |= dict(series.get(f"{act.model} champion", []))
    before = [p for at, p in decided.items() if at <= change_ms]
    fallen = [p for at, p in decided.items() if at > change_ms and (new is None or at <= new.at_ms)]
    after = [p for at, p in decided.items() if new is not None and at - days * DAY_MS >= new.at_ms]
    stayed = [
        p for at, p in series.get(f"{old} shadow", []) if new is not None and at - days * DAY_MS >= new.at_ms
    ]
    drift = [d for d in told.drift if d.get("kind") == "alert" and isinstance(d.get("at"), int)]
    incidents = incidents_of(told.drift)
    named = [one["at"] for one in incidents if one["source"] in NAMES_THE_CHANGE]
    fired = [r.at for r in told.quality if r.kind == "retrain" and r.at > change_ms]
    precision = {
        "before": _mean(before), "worst": min(fallen, default=None), "after": _mean(after),
        "old_model_after": _mean(stayed),
    }  # fmt: skip
    return {
        "change_ms": change_ms, "window_days": days, "champions": [act.model for act in promoted],
        "days_after_change": {
            "drift_incident": _days(_first(named, change_ms), change_ms),
            "trigger": _days(_first(fired, change_ms), change_ms),
            "shadow": _days(_first([act.at_ms for act in shadows], change_ms), change_ms),
            "promotion": _days(new.at_ms if new else None, change_ms),
        },
        "drift_incidents": {
            "before_change": sum(one["at"] <= change_ms for one in incidents),
            "after_change": sum(one["at"] > change_ms for one in incidents),
            "opened": [one | {"days_after_change": _days(one["at"], change_ms)} for one in incidents],
        },
        "drift_alerts": {
            "before_change": sum(int(str(d["at"])) <= change_ms for d in drift),
            "after_change": sum(int(str(d["at"])) > change_ms for d in drift),
        },
        "triggers": [
            {"at": r.at, "code": r.code, "what": r.what, "evidence": r.figures}
            for r in told.quality if r.kind == "retrain"
        ],
        "acts": [act._asdict() for act in acts],
        "average_precision": precision,
        "recovered_ratio": _recovered(precision),
        "series": series,
    }  # fmt: skip


def incidents_of(drift: Sequence[dict[str, object]]) -> list[dict[str, Any]]:
    """Return the incidents that opened, oldest first: when, since when, where from, and what moved.

    >>> alert = {"kind": "alert", "incident": "i", "feature": "score", "detector": "psi"}
    >>> incidents_of([{"kind": "incident", "state": "opened", "incident": "i", "at": 5, "since": 4,
    ...     "feature": "outcome", "model": "m/1"}, alert, alert])[0]["members"]
    ['score psi']
    """
    found: dict[object, dict[str, Any]] = {}
    for record in drift:
        name = record.get("incident")
        if record.get("kind") == "incident" and record.get("state") == "opened":
            about = {key: record.get(key) for key in ("at", "since", "model")}
            found[name] = {"incident": name, "source": record.get("feature"), **about, "members": []}
        elif record.get("kind") == "alert" and name in found:
            member = f"{record.get('feature')} {record.get('detector')}"
            if member not in found[name]["members"]:
                found[name]["members"].append(member)
    return list(found.values())


def _recovered(precision: dict[str, float | None]) -> float | None:
    """Return which share of what was lost came back."""
    before, worst, after = (precision[name] for name in ("before", "worst", "after"))
    if before is None or worst is None or after is None or before <= worst:
        return None
    return (after - worst) / (before - worst)


def _mean(values: Sequence[float]) -> float | None:
    return mean(values) if values else None


def _first(times: Sequence[int], after_ms: int) -> int | None:
    return min((at for at in times if at > after_ms), default=None)


def _days(at_ms: int | None, since_ms: int) -> float | None:
    return None if at_ms is None else round((at_ms - since_ms) / DAY_MS, 2)
