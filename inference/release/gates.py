"""Gates: what must hold before a version may go on, each a figure and a limit.

Offline gates read the report that training made on the holdout; a figure that is not there fails its gate,
since nobody knows. Live gates read what scorers and the learner saw, and are asked for canary and champion
once there is a champion: the first one has nobody to be compared with on the stream.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from inference.release.live_evidence import Figures
from inference.release.release import Stage
from inference.release.settings import ReleaseGateSettings

BASELINES = ("logistic_regression", "constant")
NO_LABELS = "E_GATE_LABELS"  # of an unknown figure that holds nobody up: there is nothing to compare it with


class Evidence(NamedTuple):
    """Everything that gates read of a version.

    `report` is training's; `golden` says whether its golden rows gave the same scores in a trial just now;
    `against` is the comparison with the present champion on the same rows, empty without one, None when
    nobody made it.
    """

    report: Mapping[str, Any]
    golden: bool
    against: Mapping[str, Any] | None
    live: Figures
    champion_live: Figures
    has_champion: bool


class Unknown(NamedTuple):
    """Why a figure is not known, and the code that says so."""

    code: str = ""
    why: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate said; `value` is None where the figure is not known, `code` and `why` say then why."""

    gate: str
    value: float | None
    limit: float
    holds: bool
    code: str = ""
    why: str = ""

    def __str__(self) -> str:
        """Return it in words.

        >>> print(Finding(gate="golden_rows", value=0.0, limit=1.0, holds=False))
        golden_rows: 0, limit 1
        """
        known = (self.why or "not known") if self.value is None else f"{self.value:.6g}"
        return f"{self.gate}: {known}, limit {self.limit:.6g}"


class Gate(NamedTuple):
    """A gate: its name, what it asks for, its figure, its limit, and whether more is better.

    A figure that is not known does not hold, but before a stage of `unknown_holds`, and there only where
    `unknown` says why; the finding says it too.
    """

    name: str
    about: str
    value: Callable[[Evidence], float | None]
    limit: Callable[[ReleaseGateSettings], float]
    at_least: bool = True
    asked: Callable[[Evidence, ReleaseGateSettings], bool] = lambda _evidence, _settings: True
    unknown: Callable[[Stage, Evidence, ReleaseGateSettings], Unknown] = lambda _to, _evidence, _settings: (
        Unknown()
    )
    unknown_holds: tuple[Stage, ...] = ()

    def judge(self, to: Stage, evidence: Evidence, settings: ReleaseGateSettings) -> Finding:
        """Return whether the gate holds."""
        value, limit = self.value(evidence), self.limit(settings)
        if value is None or math.isnan(value):
            code, why = self.unknown(to, evidence, settings)
            holds = to in self.unknown_holds and bool(code)
            return Finding(gate=self.name, value=None, limit=limit, holds=holds, code=code, why=why)
        holds = value >= limit if self.at_least else value <= limit
        return Finding(gate=self.name, value=value, limit=limit, holds=holds)


def judge(to: Stage, evidence: Evidence, settings: ReleaseGateSettings) -> list[Finding]:
    """Return what every gate before a stage says."""
    gates = OFFLINE + (LIVE if to in ("canary", "champion") and evidence.has_champion else ())
    return [gate.judge(to, evidence, settings) for gate in gates if gate.asked(evidence, settings)]


def _gain_over_baselines(evidence: Evidence) -> float | None:
    comparison = evidence.report.get("comparison", {})
    if not all(name in comparison for name in BASELINES):
        return None
    gains = [_known(comparison[name].get("gain")) for name in BASELINES]
    return min(gain for gain in gains if gain is not None) if None not in gains else None


def _known(value: object) -> float | None:
    """Return a figure; None for one that is not known, which JSON has as null."""
    return float(value) if isinstance(value, float | int) and not math.isnan(value) else None


def _gain_over_champion(evidence: Evidence) -> float | None:
    return None if evidence.against is None else _known(evidence.against.get("gain"))


def _not_compared(_to: Stage, evidence: Evidence, _settings: ReleaseGateSettings) -> Unknown:
    against = evidence.against or {}
    return Unknown(against.get("code", ""), against.get("why", ""))


def calibration_error(report: Mapping[str, Any]) -> float | None:
    """Return the mean distance of score and outcome over the report's bins, weighed by rows (ECE).

    Guo et al., On Calibration of Modern Neural Networks, 2017, with equally filled bins.

    >>> bins = [{"rows": 3, "score_mean": 0.5, "positive_share": 0.25}]
    >>> calibration_error({"quality": {"reliability": bins}})
    0.25
    """
    bins = report.get("quality", {}).get("reliability", [])
    rows = sum(part["rows"] for part in bins)
    if not rows:
        return None
    return float(sum(part["rows"] * abs(part["score_mean"] - part["positive_share"]) for part in bins) / rows)


def _latency_p99_ms(evidence: Evidence) -> float | None:
    found = evidence.report.get("latency", {}).get("1000_rows", {}).get("p99_ms")
    return None if found is None else float(found)


def _impact_ratio(evidence: Evidence) -> float | None:
    ratios = [part.get("disparate_impact") for part in evidence.report.get("segments", [])]
    known = [float(ratio) for ratio in ratios if ratio is not None and not math.isnan(ratio)]
    return min(known) if known else None


def _failed_share(evidence: Evidence) -> float | None:
    return evidence.live.errors / evidence.live.scores if evidence.live.scores else None


def _precision_below_champion(evidence: Evidence) -> float | None:
    mine, theirs = evidence.live.precision, evidence.champion_live.precision
    return None if mine is None or theirs is None else theirs - mine


def _recall_below_champion(evidence: Evidence) -> float | None:
    mine, theirs = evidence.live.recall, evidence.champion_live.recall
    return None if mine is None or theirs is None else theirs - mine


def _no_labels(of: str) -> Callable[[Stage, Evidence, ReleaseGateSettings], Unknown]:
    """Return why a figure of matured labels is not known, with a code where that holds nobody up.

    That is where the champion's is not known either, and before a canary, which its guardrails watch.
    """

    def unknown(to: Stage, evidence: Evidence, settings: ReleaseGateSettings) -> Unknown:
        if getattr(evidence.champion_live, of) is None:
            why = f"not known: too few matured labels to tell the champion's {of}"
            return Unknown("" if settings.labels_min else NO_LABELS, why)
        why = f"not known: too few matured labels to tell its {of}, and the champion's is known"
        return Unknown(NO_LABELS if to == "canary" and not settings.labels_min else "", why)

    return unknown


OFFLINE: tuple[Gate, ...] = (
    Gate(
        "beats_baselines", "average precision over the better baseline on the holdout",
        _gain_over_baselines, lambda limits: limits.better_by,
    ),
    Gate(
        "not_worse_than_champion", "average precision over the champion's on the same rows",
        _gain_over_champion, lambda limits: -limits.worse_by,
        asked=lambda evidence, _: evidence.has_champion, unknown=_not_compared, unknown_holds=("shadow",),
    ),
    Gate(
        "golden_rows", "golden rows give the trained scores in a trial now, 1 or 0",
        lambda evidence: float(evidence.golden), lambda _: 1.0,
    ),
    Gate(
        "calibration_error", "mean distance of score and outcome on the holdout",
        lambda evidence: calibration_error(evidence.report), lambda limits: limits.calibration_error,
        at_least=False,
    ),
    Gate(
        "latency_p99_ms", "p99 of predicting 1,000 rows, ms", _latency_p99_ms,
        lambda limits: limits.latency_p99_ms, at_least=False,
    ),
    Gate(
        "disparate_impact", "worst segment's chance to pass against the best of its kind", _impact_ratio,
        lambda limits: limits.impact_ratio,
    ),
)  # fmt: skip
LIVE: tuple[Gate, ...] = (
    Gate(
        "shadow_scores", "events scored live, in shadow or as canary",
        lambda evidence: float(evidence.live.scores), lambda limits: float(limits.shadow_scores_min),
    ),
    Gate(
        "shadow_failed_share", "share of them without a usable score", _failed_share,
        lambda limits: limits.shadow_failed_share, at_least=False,
    ),
    Gate(
        "live_labels", "matured labels of what it flags live",
        lambda evidence: float(evidence.live.labels), lambda limits: float(limits.labels_min),
        asked=lambda _, limits: limits.labels_min > 0,
    ),
    Gate(
        "live_precision", "matured precision below the champion's", _precision_below_champion,
        lambda limits: limits.precision_worse_by, at_least=False,
        unknown=_no_labels("precision"), unknown_holds=("canary", "champion"),
    ),
    Gate(
        "live_recall", "share of matured positives flagged live, below the other's", _recall_below_champion,
        lambda limits: limits.recall_worse_by, at_least=False,
        unknown=_no_labels("recall"), unknown_holds=("canary", "champion"),
    ),
)  # fmt: skip
