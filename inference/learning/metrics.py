"""What the learner tells Prometheus."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contracts.events import Quality
from runtime.metric_labels import NewestLabels

SHOWN = (
    "precision", "recall", "average_precision", "estimated_average_precision", "ece", "coverage",
    "false_positive_rate", "false_negative_rate",
)  # fmt: skip
SERIES_MAX = 2000  # of one metric: models come and go, and predictions name them
SEGMENT_SHOWN = ("approval_rate", "disparate_impact", "false_positive_rate", "false_negative_rate")


class LearnerMetrics:
    """The learner's metrics on one registry; labels are declared words, never of an event."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"headrace_learner_{name}", about, labels, registry=registry)

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"headrace_learner_{name}", about, labels, registry=registry)

        self.records = counter("records_total", "records read", "topic")
        self.refused = counter("records_refused_total", "records that could not be read", "topic")
        self.gaps = counter("lane_gaps_total", "records that began beyond their lane's number, dropped")
        self.told = counter("quality_records_total", "records sent to quality", "kind", "code")
        self.report_s = Histogram(
            "headrace_learner_report_seconds", "time to work out one report", registry=registry,
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )  # fmt: skip
        self.reported_ms = gauge("reported_event_time_ms", "the last moment reported, epoch ms of event time")
        self.rows = gauge("rows", "rows held in memory", "table")
        self.labels = gauge("labels", "labels held, by what came of them", "outcome")
        self.quality = NewestLabels(
            gauge("quality", "matured figures", "model", "stage", "window_days", "figure"), SERIES_MAX
        )
        self.money = NewestLabels(
            gauge("money_minor", "matured money, minor units", "model", "stage", "window_days", "what"),
            SERIES_MAX,
        )
        self.segments = NewestLabels(
            gauge("segment", "rates by declared segment", "segment", "figure"), SERIES_MAX
        )
        self.snapshot_failures = counter("snapshot_failures_total", "snapshots not written or not read")

    def committed(self, told: Sequence[Quality]) -> None:
        """Show records that were committed."""
        for record in told:
            self.told.labels(record.kind, record.code or "").inc()
            if record.kind == "matured":
                self._matured(record)
            elif record.kind == "segment":
                for name in SEGMENT_SHOWN:
                    if name in record.figures:
                        self.segments.labels(str(record.segment), name).set(record.figures[name])
            elif record.kind == "labels":
                for name in ("judging", "replaced", "repeated", "waiting", "unmatched"):
                    self.labels.labels(name).set(record.counts[name])

    def _matured(self, record: Quality) -> None:
        where = (record.model or "all", record.stage or "all", str(record.window_days))
        for name in SHOWN:
            if name in record.figures:
                self.quality.labels(*where, name).set(record.figures[name])
        for name in ("caught_minor", "missed_minor", "blocked_good_minor", "saved_minor"):
            self.money.labels(*where, name).set(record.counts[name])
