"""What the gate counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class GateMetrics:
    """Counters of one gate worker, on a registry handed in.

    >>> metrics = GateMetrics(CollectorRegistry())
    >>> metrics.refused.labels("orders", "E_DECODE_JSON").inc()
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"headrace_gate_{name}_total", about, labels, registry=registry)

        self.records = counter("records", "Records judged", "topic")
        self.accepted = counter("accepted", "Records that kept their contract", "topic")
        self.refused = counter("refused", "Records sent to the dead letters", "topic", "code")
        self.extra_fields = counter("extra_fields", "Unknown fields on accepted records", "topic")
        self.forged_headers = counter("forged_headers", "Headers with our reserved prefix, ignored", "topic")
        self.unreadable = counter("unreadable", "Strikes of records that Kafka's client cannot read", "topic")
        self.rebalances = counter("rebalances", "Times partitions were assigned")
        self.aligned = counter(
            "aligned", "Rows sent on, by why no longer held: aligned, end, time or bytes", "why"
        )
        self.frames = counter("frames", "Record batches sent on", "topic")
        self.held_bytes = Gauge(
            "headrace_gate_held_bytes", "Bytes of rows held until other sources have come as far",
            registry=registry,
        )  # fmt: skip
        self.ahead_seconds = Gauge(
            "headrace_gate_ahead_seconds", "Event time by which a topic was read ahead of the one waited for",
            ("topic",), registry=registry,
        )  # fmt: skip
        self.batch_records = Histogram(
            "headrace_gate_batch_records", "Records in a batch", registry=registry,
            buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000),
        )  # fmt: skip
        self.batch_seconds = Histogram(
            "headrace_gate_batch_seconds", "From a gathered batch to its records handed to Kafka's client",
            registry=registry, buckets=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
        )  # fmt: skip
        self.lag_records = Gauge(
            "headrace_gate_lag_records", "Records behind the end of the partition", ("topic", "partition"),
            registry=registry,
        )  # fmt: skip
