"""Records that headrace itself writes, as typed Structs. Generated: `make contracts`.

A field that may be absent is UNSET when it was not written and None when it was written as null.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType


class ReviewVerdict(Struct, frozen=True, kw_only=True, gc=False):
    """One verdict."""

    verdict_id: Annotated[str, Meta(min_length=1, max_length=320)]
    case_id: Annotated[str, Meta(min_length=1, max_length=128)]
    event_id: Annotated[str, Meta(min_length=1, max_length=4096)]
    verdict: Literal["confirmed", "false_positive", "valuable_alert"]
    who: Annotated[str, Meta(min_length=1, max_length=128)]
    why: Annotated[str, Meta(min_length=1, max_length=1024)]
    decided_at: Annotated[int, Meta(ge=946684800000, le=4102444800000)]


class ReviewCase(Struct, frozen=True, kw_only=True, gc=False):
    """One event to look at."""

    case_id: Annotated[str, Meta(min_length=1, max_length=128)]
    event_id: Annotated[str, Meta(min_length=1, max_length=4096)]
    keys: dict[str, Annotated[str, Meta(min_length=1, max_length=4096)] | None]
    event_time: Annotated[int, Meta(ge=946684800000, le=4102444800000)]
    amount_minor: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = (
        UNSET
    )
    opened_at: Annotated[int, Meta(ge=0, le=9223372036854775807)]
    why: Literal["decision", "uncertain", "random"]
    decision: Annotated[str, Meta(min_length=1, max_length=128)]
    decided_by: Literal["model", "rule", "fallback", "override", "default", "gatekeeper"]
    score: Annotated[float, Meta(ge=0, le=1)] | None | UnsetType = UNSET
    model: Annotated[str, Meta(min_length=1, max_length=256)] | None | UnsetType = UNSET
    policy: Annotated[str, Meta(min_length=1, max_length=256)]
    reasons: list[Annotated[str, Meta(min_length=1, max_length=128)]]


class CalibrationBin(Struct, frozen=True, kw_only=True, gc=False):
    """Ten bins of equal width over the score; those without events are left out."""

    rows: Annotated[int, Meta(ge=0, le=9223372036854775807)]
    score_mean: float
    positive_share: float


class Quality(Struct, frozen=True, kw_only=True, gc=False):
    """One report, alert or event of the learner."""

    quality_id: Annotated[str, Meta(min_length=1, max_length=4608)]
    kind: Literal[
        "matured",
        "labels",
        "label_unmatched",
        "segment",
        "fairness_alert",
        "fairness_cleared",
        "retrain",
        "training",
        "restart",
    ]
    at: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)]
    what: Annotated[str, Meta(min_length=1, max_length=1024)]
    code: Annotated[str, Meta(min_length=1, max_length=64)] | None | UnsetType = UNSET
    what_to_do: Annotated[str, Meta(min_length=1, max_length=1024)] | None | UnsetType = UNSET
    window_days: Annotated[int, Meta(ge=1, le=2147483647)] | None | UnsetType = UNSET
    window_from: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = (
        UNSET
    )
    window_to: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = (
        UNSET
    )
    model: Annotated[str, Meta(min_length=1, max_length=256)] | None | UnsetType = UNSET
    stage: Literal["champion", "challenger", "canary", "shadow"] | None | UnsetType = UNSET
    segment: Annotated[str, Meta(min_length=1, max_length=128)] | None | UnsetType = UNSET
    event_id: Annotated[str, Meta(min_length=1, max_length=4096)] | None | UnsetType = UNSET
    counts: dict[str, Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)]]
    figures: dict[str, float]
    calibration: list[CalibrationBin] | None | UnsetType = UNSET


class Reason(Struct, frozen=True, kw_only=True, gc=False):
    """Why it was not decided mildest, strongest first; empty when it was."""

    code: Annotated[str, Meta(min_length=1, max_length=128)]
    feature: Annotated[str, Meta(min_length=1, max_length=128)] | None | UnsetType = UNSET
    value: float | None | UnsetType = UNSET
    contribution: float | None | UnsetType = UNSET
    text: Annotated[str, Meta(min_length=1, max_length=512)]


class RuleOutcome(Struct, frozen=True, kw_only=True, gc=False):
    """Every declared rule and how it answered."""

    id: Annotated[str, Meta(min_length=1, max_length=128)]
    version: Annotated[str, Meta(min_length=1, max_length=32)]
    outcome: Literal["hit", "no_hit", "error"]


class ModelUsed(Struct, frozen=True, kw_only=True, gc=False):
    """The model that scored; absent when none did."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    version: Annotated[str, Meta(min_length=1, max_length=128)]
    stage: Literal["champion", "challenger", "canary", "shadow"]
    sha256: Annotated[str, Meta(min_length=64, max_length=64)]


class ShadowScore(Struct, frozen=True, kw_only=True, gc=False):
    """Scores that decided nothing."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    score: Annotated[float, Meta(ge=0, le=1)]


class Experiment(Struct, frozen=True, kw_only=True, gc=False):
    """The canary under way and whose arm this is; absent when there is none."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]
    arm: Literal["champion", "canary"]
    share_percent: Annotated[float, Meta(ge=0, le=100)]


class FeatureGroup(Struct, frozen=True, kw_only=True, gc=False):
    """Where each group of features came from, by group name."""

    status: Literal["exact", "store", "default", "stale", "no_key"]
    age_ms: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = UNSET


class FeaturesUsed(Struct, frozen=True, kw_only=True, gc=False):
    """The vector that was scored."""

    service: Annotated[str, Meta(min_length=1, max_length=128)]
    definitions_hash: Annotated[str, Meta(min_length=1, max_length=128)]
    values: list[float | None]
    groups: dict[str, FeatureGroup]


class Source(Struct, frozen=True, kw_only=True, gc=False):
    """The event's place in the log."""

    topic: Annotated[str, Meta(min_length=1, max_length=249)]
    partition: Annotated[int, Meta(ge=0, le=2147483647)]
    offset: Annotated[int, Meta(ge=0, le=9223372036854775807)]


class PolicyUsed(Struct, frozen=True, kw_only=True, gc=False):
    """The decision policy in force; absent in records made before it was told."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    version: Annotated[str, Meta(min_length=1, max_length=32)]
    sha256: Annotated[str, Meta(min_length=64, max_length=64)]


class Prediction(Struct, frozen=True, kw_only=True, gc=False):
    """One decision."""

    prediction_id: Annotated[str, Meta(min_length=1, max_length=128)]
    event_id: Annotated[str, Meta(min_length=1, max_length=4096)]
    keys: dict[str, Annotated[str, Meta(min_length=1, max_length=4096)] | None]
    event_time: Annotated[int, Meta(ge=946684800000, le=4102444800000)]
    scored_at: Annotated[int, Meta(ge=0, le=9223372036854775807)]
    score: Annotated[float, Meta(ge=0, le=1)] | None | UnsetType = UNSET
    risk_band: Literal["low", "medium", "high", "not_assessed"]
    decision: Annotated[str, Meta(min_length=1, max_length=128)]
    decided_by: Literal["model", "rule", "fallback", "override", "default", "gatekeeper"]
    reasons: list[Reason]
    rules: list[RuleOutcome]
    model: ModelUsed | None | UnsetType = UNSET
    shadow: list[ShadowScore]
    experiment: Experiment | None | UnsetType = UNSET
    features: FeaturesUsed
    source: Source
    contract: Annotated[str, Meta(min_length=1, max_length=128)]
    degraded: bool
    degraded_why: list[Annotated[str, Meta(min_length=1, max_length=128)]]
    rung: (
        Literal["full", "own_row", "last_known", "rules", "not_assessed", "gatekeeper"] | None | UnsetType
    ) = UNSET
    policy: PolicyUsed | None | UnsetType = UNSET
    latency_ms: dict[str, Annotated[float, Meta(ge=0)]]
    traceparent: Annotated[str, Meta(min_length=55, max_length=55)] | None | UnsetType = UNSET


class DriftMember(Struct, frozen=True, kw_only=True, gc=False):
    """Of an incident, what has moved so far, as each member was told last."""

    feature: Annotated[str, Meta(min_length=1, max_length=128)]
    detector: Annotated[str, Meta(min_length=1, max_length=32)]
    what: Annotated[str, Meta(min_length=1, max_length=32)]
    at: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = UNSET
    since: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = UNSET
    statistic: float | None | UnsetType = UNSET
    limit: float | None | UnsetType = UNSET
    from_mean: float | None | UnsetType = UNSET
    to_mean: float | None | UnsetType = UNSET


class Drift(Struct, frozen=True, kw_only=True, gc=False):
    """One change found, one that went back, one incident that opened or closed, or one start of the detectors."""

    kind: Literal["alert", "cleared", "incident", "restart"]
    what: Literal["input", "missingness", "score", "decision", "error", "all"]
    detector: Annotated[str, Meta(min_length=1, max_length=32)]
    feature: Annotated[str, Meta(min_length=1, max_length=128)]
    partition: Annotated[int, Meta(ge=0, le=2147483647)]
    model: Annotated[str, Meta(min_length=0, max_length=256)]
    what_to_do: Annotated[str, Meta(min_length=1, max_length=1024)]
    at: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = UNSET
    since: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = UNSET
    against: Annotated[str, Meta(min_length=1, max_length=512)] | None | UnsetType = UNSET
    statistic: float | None | UnsetType = UNSET
    limit: float | None | UnsetType = UNSET
    from_mean: float | None | UnsetType = UNSET
    to_mean: float | None | UnsetType = UNSET
    rows: Annotated[int, Meta(ge=0, le=9223372036854775807)] | None | UnsetType = UNSET
    incident: Annotated[str, Meta(min_length=1, max_length=128)] | None | UnsetType = UNSET
    state: Literal["opened", "closed"] | None | UnsetType = UNSET
    members: list[DriftMember] | None | UnsetType = UNSET
