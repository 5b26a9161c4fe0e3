"""What a version must show before it is promoted, what a canary may do, and how a folder follows MLflow."""

from pathlib import Path

import msgspec


class ReleaseGateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the gates (`inference/release/gates.py`); the first group is of the version's own report.

    `better_by` is average precision over the better of the two baselines on the holdout, `worse_by` below
    the champion on the same rows. `calibration_error` is the mean distance of score and outcome over the
    report's bins. `impact_ratio` bounds the worst treated segment's chance to pass against the best
    treated one of its kind. The second group is of live scores, and asked for once there is a champion:
    `labels_min` of 0 judges precision and recall where the champion's are known.
    """

    better_by: float = 0.0
    worse_by: float = 0.02
    calibration_error: float = 0.02
    latency_p99_ms: float = 50.0
    impact_ratio: float = 0.8
    shadow_scores_min: int = 1000
    shadow_failed_share: float = 0.001
    precision_worse_by: float = 0.05
    recall_worse_by: float = 0.1
    labels_min: int = 0


class CanarySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a canary's share grows and when it is withdrawn (`inference/release/canary.py`).

    It goes to the next of `steps_percent` after as many decisions AND as much event time, as one scorer sees
    them, AND after the champion would have flagged (not approved) `flagged_min` of those events: before
    that nobody knows what the canary lets pass. Guardrails look at the canary's last `window_rows` decisions
    beside what the champion would have decided on the same events, once there are `rows_min` of them:
    distance of the score distributions (PSI), share of scores that failed, shares declined and reviewed
    beyond the champion's and below it, how many it flags for each that the champion flags
    (`flagged_ratio_min`, for the upper end of a 95 % interval), p99 of a batch's prediction; and at precision
    and recall of matured labels, once there are `labels_min` or 20 positives.
    """

    steps_percent: str = "1,5,10,25,50"
    step_decisions: int = 1000
    step_event_ms: int = 3_600_000
    window_rows: int = 5000
    rows_min: int = 200
    psi_max: float = 0.25
    failed_share_max: float = 0.01
    declined_more_max: float = 0.02
    declined_less_max: float = 0.02
    reviewed_more_max: float = 0.05
    reviewed_less_max: float = 0.05
    flagged_ratio_min: float = 0.5
    flagged_min: int = 20
    predict_p99_ms_max: float = 250.0
    precision_worse_by: float = 0.05
    recall_worse_by: float = 0.1
    labels_min: int = 50

    @property
    def steps(self) -> tuple[float, ...]:
        """Return the shares, in percent, smallest first.

        >>> CanarySettings(steps_percent="5, 1").steps
        (1.0, 5.0)
        """
        return tuple(sorted(float(step) for step in self.steps_percent.split(",")))


class MirrorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How `headrace mirror` has the models' folder follow MLflow: it looks at the release every `look_ms`."""

    models: Path
    models_secret: str = ""
    models_mlflow: str = ""
    look_ms: float = 1000.0
    metrics_port: int = 0
    log_level: str = "info"
