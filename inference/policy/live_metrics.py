"""Which model and policy a process decides by, and what it refused, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from contracts.errors import ConfigError, ModelError
from inference.models.model import ModelName
from inference.policy.policy import DeclaredPolicy
from runtime.metric_labels import NewestLabels
from runtime.watched import WatchMetrics

SHOWN = 16  # models and policies that were live lately


class LiveMetrics:
    """What those who look after models and policies tell; see `ChampionWatch` and `PolicyWatch`.

    Args:
        part: of the service; the metrics' names begin with `headrace_<part>_`.
    """

    def __init__(self, registry: CollectorRegistry, part: str) -> None:
        def refused(what: str, about: str) -> Counter:
            return Counter(f"headrace_{part}_{what}_refused_total", about, ["code"], registry=registry)

        def live(what: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"headrace_{part}_{what}_info", about, labels, registry=registry)

        self.refused_models = refused("models", "models that failed a check")
        self.refused_policies = refused("policies", "policy files that failed a check")
        self.model = NewestLabels(live("model", "1 for the model that scores", "name", "version"), SHOWN)
        self.policy = NewestLabels(
            live("policy", "1 for the policy that decides", "name", "version", "sha256"), SHOWN
        )
        self.watch = WatchMetrics(registry, part)
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
