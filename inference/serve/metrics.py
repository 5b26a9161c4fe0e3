"""What the HTTP door tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from inference.policy.live_metrics import LiveMetrics

_ANSWER_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0)


class ServeMetrics(LiveMetrics):
    """The door's metrics on one registry; labels are words of ours, never of a caller."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, "serve")

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"headrace_serve_{name}", about, labels, registry=registry)

        def histogram(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"headrace_serve_{name}", about, labels, buckets=buckets, registry=registry)

        self.requests = counter("requests_total", "requests by path and HTTP status", "path", "status")
        self.refused = counter("refused_total", "requests refused, by our code", "code")
        self.shed = counter("shed_total", "requests sent away because too many wait", "path")
        self.rows = counter("rows_total", "events scored and questions answered", "path")
        self.degraded = counter("degraded_total", "answers given while something was missing", "path")
        self.answer_s = histogram("answer_seconds", "request read to answer made", _ANSWER_S, "path")
        self.batch_rows = histogram("batch_rows", "rows computed at once", (1, 2, 5, 10, 20, 64, 256), "path")
        self.waiting = Gauge(
            "headrace_serve_waiting_rows", "rows that wait for the computing thread", registry=registry
        )
        self.connections = Gauge("headrace_serve_connections", "connections that are open", registry=registry)
        self.connections_closed = counter("connections_closed_total", "connections closed by us", "why")
        self.store_away = Gauge(
            "headrace_serve_store_breaker_open", "1 while the store is left alone", registry=registry
        )
