"""What a stage counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contracts.frame_check import bounded
from streams.stage.core import Counts

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


class StageMetrics:
    """Counters of one stage worker, on a registry handed in.

    >>> metrics = StageMetrics(CollectorRegistry(), "account")
    >>> metrics.add(Counts(rows=3))
    """

    def __init__(self, registry: CollectorRegistry, stage: str) -> None:
        def counter(name: str, about: str) -> Counter:
            return Counter(f"headrace_stage_{name}_total", about, ["stage"], registry=registry).labels(stage)

        def gauge(name: str, about: str) -> Gauge:
            return Gauge(f"headrace_stage_{name}", about, ["stage"], registry=registry).labels(stage)

        def histogram(name: str, about: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(
                f"headrace_stage_{name}", about, ["stage"], registry=registry, buckets=buckets
            ).labels(stage)

        self._counters = {
            "records": counter("records", "Record batches read"),
            "rows": counter("rows", "Rows folded into the windows"),
            "repeated_records": counter("repeated_records", "Records delivered again and dropped"),
            "unreadable_records": counter("unreadable_records", "Records that are no frames of ours"),
            "lane_gaps": counter("lane_gaps", "Records that begin beyond their lane; alarm if it grows"),
            "late_rows": counter("late_rows", "Rows older than every window of their key"),
            "repeats": counter("repeats", "Rows dropped as repeats of an id"),
            "refused": counter("refused", "Rows sent to the dead letters"),
        }
        self.strangers = counter("strangers", "Records in partitions that the run does not have")
        self._stage = stage
        self.refused_frames = Counter(
            "headrace_stage_refused_frames_total",
            "Records of the input refused, by code; each has a dead letter",
            ["stage", "code"],
            registry=registry,
        )
        self.lane_gap = gauge("lane_gap", "1 while the last record of some lane began beyond it")
        self.lag = gauge("lag_records", "Records of the input not yet folded in")
        self.keys = gauge("state_keys", "Keys in state")
        self.state_bytes = gauge("state_bytes", "Bytes of state in use, restores under way included")
        self.state_limit_bytes = gauge("state_limit_bytes", "Bytes of state at which the worker stops")
        self.partitions = gauge("partitions", "Partitions owned")
        self.breaker_open = gauge("store_breaker_open", "1 while the online store does not answer")
        self.breaker_releases = counter(
            "store_unwritten_steps", "Batches sent before the store had their rows"
        )
        self.store_rows = counter("store_rows", "Rows written to the online store")
        self.store_refills = counter("store_refills", "Partitions rewritten after the store lost its rows")
        self.batch_records = histogram("batch_records", "Records folded in one go", _SIZES)
        self.batch_rows = histogram("batch_rows", "Rows folded in one go", _SIZES)
        self.fold_seconds = histogram("fold_seconds", "Folding a batch and encoding its outputs", _SECONDS)
        self.store_seconds = histogram("store_write_seconds", "One write to the online store", _SECONDS)
        self.checkpoint_seconds = histogram("checkpoint_seconds", "From snapshot to commit", _SECONDS)
        self.take_over_seconds = histogram(
            "take_over_seconds", "Fence, read and load of a partition", _SECONDS
        )

    def add(self, counts: Counts) -> None:
        """Add what a partition has counted since the last call."""
        for name, counter in self._counters.items():
            counter.inc(getattr(counts, name))
        for code, count in counts.refused_frames.items():
            self.refused_frames.labels(self._stage, bounded(code)).inc(count)
