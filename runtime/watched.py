"""What a watcher says of itself: that it looks, since when it has been using an old state, and why.

A watcher is whoever looks again and again at something that others change: a policy file, a release, a
registry elsewhere. What cannot be read or used leaves the state that is in use; any other exception is no
matter of what is watched and ends the process.
"""

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from contracts.errors import HeadraceError
from runtime.health import Health, Part

LOOK_LIMIT_S = 300.0  # a look may load models, and wait for a registry that is slow or locked

log = structlog.get_logger(__name__)


class WatchMetrics:
    """Looks that failed, and for how long an old state has been in use.

    Args:
        part: of the service; the metrics' names begin with `headrace_<part>_`.
    """

    def __init__(self, registry: CollectorRegistry, part: str) -> None:
        self.failures = Counter(
            f"headrace_{part}_watch_failures_total", "looks at what is watched that failed",
            ["watcher", "code"], registry=registry,
        )  # fmt: skip
        self.stale_s = Gauge(
            f"headrace_{part}_watch_stale_seconds", "for how long an old state has been in use, 0 for none",
            ["watcher"], registry=registry,
        )  # fmt: skip


class Watched:
    """One watcher's health and counts; the watcher itself logs why its state becomes old, once a reason.

    >>> watched = Watched("policy-watch")
    >>> watched.failed(HeadraceError("E_POLICY_FILE", "cannot be read"))
    >>> watched.stale_s > 0
    True
    """

    def __init__(
        self, name: str, health: Health | None = None, metrics: WatchMetrics | None = None,
        limit_s: float = LOOK_LIMIT_S,
    ) -> None:  # fmt: skip
        self._name = name
        self._part: Part = (health or Health()).part(name, limit_s)
        self._metrics = metrics or WatchMetrics(CollectorRegistry(), "unseen")
        self._metrics.stale_s.labels(name).set_function(lambda: self.stale_s)

    @property
    def stale_s(self) -> float:
        """For how many seconds an old state has been in use, at least a thousandth; 0 for none."""
        since_s = self._part.report().get("stale_s")
        return 0.0 if since_s is None else max(0.001, float(since_s))

    def moved(self) -> None:
        """Say that the watcher is at work."""
        self._part.moved()

    def succeeded(self) -> None:
        """Say that a look is done and what is watched is what is in use."""
        if self.stale_s:
            log.info("watch_fresh_again", watcher=self._name, stale_s=self.stale_s)
        self._part.moved()
        self._part.fresh()

    def failed(self, error: HeadraceError) -> None:
        """Say that a look is done, and why what is watched is not in use."""
        self._metrics.failures.labels(self._name, error.code).inc()
        self._part.moved()
        self._part.stale(str(error))
