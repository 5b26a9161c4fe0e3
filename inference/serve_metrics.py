"""What the HTTP door tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contracts.errors import ConfigError, ModelError
from inference.model import ModelName
from inference.policy import DeclaredPolicy

_ANSWER_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0)


class ServeMetrics:
    """The door's metrics on one registry; labels are words of ours, never of a caller."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"headrace_serve_{name}", about, labels, registry=registry)

        def histogram(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"headrace_serve_{name}", about, labels, buckets=buckets, registry=registry)

        self.requests = counter("requests_total", "requests by path and HTTP status", "path", "status")
        self.refused = counter("refused_total", "requests refused, by our code", "code")
        self.shed = counter("shed_total", "requests sent away because too many wait", "path")
        self.rows = counter("rows_total", "payments scored and questions answered", "path")
        self.degraded = counter("degraded_total", "answers given while something was missing", "path")
        self.answer_s = histogram("answer_seconds", "request read to answer made", _ANSWER_S, "path")
        self.batch_rows = histogram("batch_rows", "rows computed at once", (1, 2, 5, 10, 20, 64, 256), "path")
        self.refused_models = counter("models_refused_total", "models that failed a check", "code")
        self.waiting = Gauge(
            "headrace_serve_waiting_rows", "rows that wait for the computing thread", registry=registry
        )
        self.store_away = Gauge(
            "headrace_serve_store_breaker_open", "1 while the store is left alone", registry=registry
        )
        self.model = Gauge(
            "headrace_serve_model_info", "1 for the model that scores", ["name", "version"], registry=registry
        )
        self.refused_policies = counter("policies_refused_total", "policy files that failed a check", "code")
        self.policy = Gauge(
            "headrace_serve_policy_info", "1 for the policy that decides", ["name", "version", "sha256"],
            registry=registry,
        )  # fmt: skip
        self._live: tuple[str, str] | None = None
        self._policy: tuple[str, str, str] | None = None

    def model_live(self, identity: ModelName) -> None:
        """Show the model that scores from now on."""
        if self._live is not None:
            self.model.labels(*self._live).set(0)
        self._live = (identity.name, identity.version)
        self.model.labels(*self._live).set(1)

    def model_refused(self, error: ModelError) -> None:
        """Count a refused version."""
        self.refused_models.labels(error.code).inc()

    def policy_live(self, declared: DeclaredPolicy) -> None:
        """Show the policy that decides from now on."""
        if self._policy is not None:
            self.policy.labels(*self._policy).set(0)
        self._policy = (declared.policy.name, declared.policy.version, declared.sha256)
        self.policy.labels(*self._policy).set(1)

    def policy_refused(self, error: ConfigError) -> None:
        """Count a refused file."""
        self.refused_policies.labels(error.code).inc()
