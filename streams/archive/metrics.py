"""What the archive counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ArchiveMetrics:
    """Counters of one archive worker, on a registry handed in.

    >>> metrics = ArchiveMetrics(CollectorRegistry())
    >>> metrics.rows.labels("features").inc(3)
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rows = Counter(
            "headrace_archive_rows_total",
            "Rows written to the lake",
            ["dataset"],
            registry=registry,
        )
        self.files = Counter(
            "headrace_archive_files_total",
            "Files written to the lake",
            ["dataset"],
            registry=registry,
        )
        self.refused = Counter(
            "headrace_archive_refused_total",
            "Records of the feature log that were set aside, by code",
            ["topic", "code"],
            registry=registry,
        )
        self.passed_over = Counter(
            "headrace_archive_passed_over_total",
            "Batches that cannot be unpacked and were passed over; their offsets are in the lake",
            ["topic"],
            registry=registry,
        )
        self.gaps = Counter(
            "headrace_archive_lane_gaps_total",
            "Records that begin beyond their lane (they come again)",
            ["lane"],
            registry=registry,
        )
        self.flush_seconds = Histogram(
            "headrace_archive_flush_seconds",
            "Writing the due files and committing",
            registry=registry,
        )
        self.next_offset = Gauge(
            "headrace_archive_next_offset",
            "Offset after the last one in the lake",
            ["topic", "partition"],
            registry=registry,
        )
