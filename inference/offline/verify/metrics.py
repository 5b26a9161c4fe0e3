"""The figures of a running verification, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from inference.offline.verify.verify import Report

OUTCOMES = ("equal", "behind", "ahead", "absent", "other_epoch", "wrong")


class VerifyMetrics:
    """What the newest verification found; lag has gauges of its own, so that only faults raise an alarm."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"headrace_verify_{name}", about, labels, registry=registry)

        self._shown: set[Gauge] = set()
        self._runs = Counter("headrace_verify_runs", "Verifications done", registry=registry)
        self._finished = gauge("finished_seconds", "When the newest verification ended, epoch seconds")
        self._mismatches = gauge("mismatches", "Rows that are wrong for a reason other than lag")
        self._share = gauge("mismatch_share", "The same as a share of the rows judged")
        self._under_way = gauge("under_way", "Sampled rows too new to be judged")
        self._rows = gauge("rows", "Rows recomputed", "entity")
        self._wrong = gauge("log_rows_wrong", "Rows of the log that differ", "entity")
        self._values = gauge("values_wrong", "Values that differ", "where", "entity", "feature", "how")
        self._error = gauge("symmetric_error", "Mean symmetric error", "where", "entity", "feature")
        self._stored = gauge("store_rows", "Sampled rows of the online store", "entity", "outcome")
        self._behind = gauge("store_rows_behind_max", "Rows the most belated stored row missed", "entity")

    def show(self, report: Report, now_s: float) -> None:
        """Take up a report; features that differed before and no longer do are told as 0."""
        for shown in self._shown:
            shown.set(0)
        for entity, part in report.entities.items():
            self._rows.labels(entity).set(part.rows)
            self._wrong.labels(entity).set(part.rows_wrong)
            self._features("log", entity, part.features)
        for entity, stored in (report.store or {}).items():
            for outcome in OUTCOMES:
                self._stored.labels(entity, outcome).set(getattr(stored, outcome))
            self._behind.labels(entity).set(stored.rows_behind_max)
            self._features("store_newest", entity, stored.at_newest)
            self._features("store_own_place", entity, stored.at_own_place)
        self._mismatches.set(report.mismatches)
        self._share.set(report.share)
        self._under_way.set(report.under_way)
        self._finished.set(now_s)
        self._runs.inc()

    def _features(self, where: str, entity: str, features: dict[str, dict[str, object]]) -> None:
        for name, found in features.items():
            for how in ("missing", "extra", "mismatch"):
                self._tell(self._values.labels(where, entity, name, how), found[how])
            self._tell(self._error.labels(where, entity, name), found["symmetric_error"])

    def _tell(self, gauge: Gauge, value: object) -> None:
        gauge.set(float(str(value)))
        self._shown.add(gauge)
