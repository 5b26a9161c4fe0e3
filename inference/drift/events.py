"""Records of the topic `drift`: what is said to whoever has to act."""

from math import isfinite
from typing import Literal, NamedTuple

from msgspec import UNSET, UnsetType

from contracts.events import Drift
from inference.drift.stream_detector import Change
from inference.drift.window import NULLS, Finding

DriftEvent = Drift  # as the contract has it
What = Literal["input", "missingness", "score", "decision", "error"]

ALL: Literal["all"] = "all"
_WHAT_TO_DO: dict[str, str] = {
    "input": "find out whether {feature} changed or a producer did (releases, units, `headrace verify`);"
    " if it is real, train on data that has it (`headrace train`) and compare (`headrace models compare`)",
    "missingness": "find the source that stopped or began to give {feature}: the gate's dead letters, the"
    " store's and the batch views' age (`headrace doctor`); the model was trained with other gaps",
    "score": "look for inputs that drifted since then and for a new version of the model; if there are none,"
    " judge by labels as they mature before the thresholds are moved",
    "decision": "look at which rules hit and at the scores since then; if reviewers cannot keep up, move the"
    " thresholds or roll the model back (`headrace models rollback`)",
    "error": "train on the newest labels (`headrace train`) and compare with the champion on equal events"
    " (`headrace models compare`)",
}


class Place(NamedTuple):
    """Where rows were watched."""

    partition: int
    model: str


def changed(place: Place, what: What, feature: str, detector: str, change: Change) -> DriftEvent:
    """Return the alert for a change of a mean."""
    return DriftEvent(
        kind="alert", what=what, detector=detector, feature=feature, partition=place.partition,
        model=place.model, what_to_do=_WHAT_TO_DO[what].format(feature=feature), at=change.at_ms,
        since=change.since_ms, against=f"the {change.rows_before:,} sampled values before",
        statistic=_number(change.statistic), limit=_number(change.limit),
        from_mean=_number(change.from_mean), to_mean=_number(change.to_mean), rows=change.rows,
    )  # fmt: skip


def differs(
    place: Place, what: What, finding: Finding, since_ms: int, against: str, at_ms: int
) -> DriftEvent:
    """Return the alert for a window that is not as its reference."""
    return DriftEvent(
        kind="alert", what=what, detector=finding.detector, feature=finding.feature,
        partition=place.partition, model=place.model,
        what_to_do=_WHAT_TO_DO[what].format(feature=finding.feature), at=at_ms, since=since_ms,
        against=against, statistic=_number(finding.statistic), limit=_number(finding.limit),
        from_mean=_number(finding.expected), to_mean=_number(finding.observed), rows=finding.rows,
    )  # fmt: skip


def cleared(place: Place, what: What, feature: str, detector: str, at_ms: int) -> DriftEvent:
    """Return the record that says that a change went back."""
    return DriftEvent(
        kind="cleared", what=what, detector=detector, feature=feature, partition=place.partition,
        model=place.model, what_to_do="nothing: it is back where it was", at=at_ms,
    )  # fmt: skip


def restarted(place: Place, why: str, against: str) -> DriftEvent:
    """Return the record that says that the detectors of a partition began anew."""
    return DriftEvent(
        kind="restart", what=ALL, detector=ALL, feature=ALL, partition=place.partition, model=place.model,
        what_to_do=f"nothing: {why}; a change before now may go unseen, open incidents end", against=against,
    )  # fmt: skip


def what_of(finding: Finding) -> What:
    """Return what a window's finding is about."""
    if finding.feature in ("score", "decision"):
        return "score" if finding.feature == "score" else "decision"
    return "missingness" if finding.detector == NULLS else "input"


def _number(value: float) -> float | UnsetType:
    """Return a number that JSON has; what is none is left out."""
    return value if isfinite(value) else UNSET
