"""What a scorer tells Prometheus, a batch at a time."""

from collections.abc import Mapping

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from features.project.running import RunningProject
from inference.policy.decision import DECIDED_BY
from inference.policy.ladder import RUNG_NAMES
from inference.policy.live_metrics import LiveMetrics
from inference.reading.served import STATUS_NAMES
from inference.release.arms import Arms
from inference.release.live import Live, id_of
from inference.scorer.core import Scored

_LATENCY_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
_STEP_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_AGE_S = (3600.0, 86400.0, 2 * 86400.0, 4 * 86400.0, 8 * 86400.0, 16 * 86400.0)


class ScorerMetrics(LiveMetrics):
    """The scorer's metrics on one registry; labels are words of ours, never of an event."""

    def __init__(self, registry: CollectorRegistry, project: RunningProject) -> None:
        self._decisions, self._groups = project.decisions.names, (*project.pipeline.chain.names, "profile")
        super().__init__(registry, "scorer")

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"headrace_scorer_{name}", about, labels, registry=registry)

        def histogram(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"headrace_scorer_{name}", about, labels, buckets=buckets, registry=registry)

        self.decisions = counter("decisions_total", "decisions committed", "decision", "decided_by")
        self.cases = counter("review_cases_total", "cases opened for people", "why")
        self.rungs = counter("rungs_total", "decisions by rung of the ladder", "rung")
        self.degraded = counter("degraded_total", "decisions taken while something was missing")
        self.groups = counter("feature_groups_total", "feature groups by origin", "group", "status")
        self.store_rows = counter("store_rows_total", "events by what the store held", "group", "outcome")
        self.drift = counter("drift_events_total", "records sent to drift", "kind", "feature")
        self.drift_skipped = counter("drift_skipped_total", "null or not finite values, not fed", "feature")
        self.gaps = counter("lane_gaps_total", "records that began beyond their lane's number, dropped")
        self.refused_frames = counter(
            "frames_refused_total", "records that no stage wrote, by code; each has a dead letter", "code"
        )
        self.aborts = counter("transactions_aborted_total", "transactions that were aborted and done again")
        self.batch_rows = histogram("batch_rows", "rows a batch", (1, 10, 50, 100, 500, 1000, 5000, 20000))
        self.step_s = histogram("step_seconds", "time of a batch's step", _STEP_S, "step")
        self.latency_s = histogram(
            "latency_seconds", "event in the log to decision, mean a batch", _LATENCY_S
        )
        self.profile_age_s = histogram("profile_age_seconds", "age of served profiles, mean a batch", _AGE_S)
        self.lag = Gauge(
            "headrace_scorer_lag_records", "records of features.log not yet scored", ["partition"],
            registry=registry,
        )  # fmt: skip
        self.breaker_open = Gauge(
            "headrace_scorer_store_breaker_open", "1 while the store is left alone", registry=registry
        )
        self.shadow_scores = counter("shadow_scores_total", "scores that decided nothing", "model", "outcome")
        self.canary = counter("canary_decisions_total", "the canary's events, by who decided them", "by")
        self.canary_share = Gauge(
            "headrace_scorer_canary_share_percent", "share of the keys that the canary decides for",
            registry=registry,
        )  # fmt: skip
        self._shadows: set[str] = set()

    def committed(self, scored: Scored, commit_ms: float) -> None:
        """Count a batch whose transaction was committed, in `commit_ms`."""
        for event in scored.drift:
            self.drift.labels(event.kind, event.feature).inc()
        for feature, number in scored.unwatched.items():
            self.drift_skipped.labels(feature).inc(number)
        if scored.judged is None or scored.timing is None:
            return
        decided, served = scored.judged.decided, scored.judged.served
        pairs, numbers = np.unique(decided.decision * 8 + decided.decided_by, return_counts=True)
        for pair, number in zip(pairs.tolist(), numbers.tolist(), strict=True):
            self.decisions.labels(self._decisions[pair // 8], DECIDED_BY[pair % 8]).inc(number)
        for rung, number in enumerate(np.bincount(scored.judged.rung, minlength=len(RUNG_NAMES)).tolist()):
            if number:
                self.rungs.labels(RUNG_NAMES[rung]).inc(number)
        self.degraded.inc(int((scored.judged.missing > 0).sum()))
        self.batch_rows.observe(len(scored.predictions))
        self.step_s.labels("store").observe(scored.timing.store_ms / 1000)
        self.step_s.labels("commit").observe(commit_ms / 1000)
        self.step_s.labels("predict").observe(scored.timing.predict_ms / 1000)
        statuses = (*served.statuses, served.profile_status)
        for group, codes in zip(self._groups, statuses, strict=True):
            for code, number in enumerate(np.bincount(codes, minlength=len(STATUS_NAMES)).tolist()):
                self.groups.labels(group, STATUS_NAMES[code]).inc(number)
        ages = served.profile_age_ms[served.profile_age_ms >= 0]
        if len(ages):
            self.profile_age_s.observe(float(ages.mean()) / 1000)
        for group, found in served.counts.items():
            for outcome, number in found._asdict().items():
                self.store_rows.labels(group, outcome).inc(number)
        if scored.arms is not None:
            self._arms(scored.arms)
        self.breaker_open.set(not served.available)
        self.latency_s.observe(scored.latency_ms / 1000)

    def _arms(self, arms: Arms) -> None:
        """Count what shadows and canary did; a shadow that is none any more leaves the page."""
        live: Live = arms.live
        for model, scores in zip(live.shadows, arms.shadows, strict=True):
            failed = int(np.isnan(scores).sum())
            self.shadow_scores.labels(id_of(model), "failed").inc(failed)
            self.shadow_scores.labels(id_of(model), "scored").inc(len(scores) - failed)
        present = {id_of(model) for model in live.shadows}
        for gone in self._shadows - present:
            for outcome in ("failed", "scored"):
                self.shadow_scores.remove(gone, outcome)
        self._shadows = present
        self.canary_share.set(0.0 if live.canary is None else live.canary.share_percent)
        self.canary.labels("canary").inc(len(arms.decided))
        self.canary.labels("champion").inc(int(np.isnan(arms.canary).sum()))
        if arms.shadows:
            self.step_s.labels("shadow").observe(arms.shadow_ms / 1000)

    def cases_opened(self, whys: Mapping[str, int]) -> None:
        """Count the cases of a committed batch."""
        for why, number in whys.items():
            self.cases.labels(why).inc(number)
