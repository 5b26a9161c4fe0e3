"""What every worker's command does around its own process, in one order.

A command reads its settings, enters `working`, makes its process and runs it:

    log and settings · hooks of tests · signals · incarnation · project · guard · (its process) · ready · run

From `working` on whatever exception leaves the block ends the process (`runtime.ending`); what a command does
before is told to whoever started it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, cast

import msgspec
from prometheus_client import CollectorRegistry

from headrace import guarding, memory, telemetry, test_hooks
from headrace.run_project import admit_project
from runtime import stopping
from runtime.ending import incarnation
from runtime.health import Health
from runtime.run import Run


class WorkerSettings(Protocol):
    """What the settings of every worker have."""

    @property
    def log_level(self) -> str:
        """From which level on is logged."""

    @property
    def metrics_port(self) -> int:
        """Where metrics and health are served, 0 for a free port."""


class Worker(NamedTuple):
    """What a process is made of, and told by: its metrics, its health, and whether it is to stop."""

    name: str
    run: Run
    settings: WorkerSettings
    registry: CollectorRegistry
    health: Health
    is_stopping: Callable[[], bool]

    def ready(self) -> None:
        """Serve metrics and health, once everything is set up: from here on others count on the worker."""
        memory.settle()
        self.health.begin()
        telemetry.serve_metrics(self.run, self.name, self.registry, self.settings.metrics_port, self.health)


@contextmanager
def working(
    name: str, run: Run, settings: WorkerSettings, *, guard: str | None = None, own_signals: bool = False
) -> Iterator[Worker]:
    """Be a worker while the block runs; to be entered in the main thread.

    Args:
        name: by which logs, metrics and the run know it.
        settings: a room's, of a `msgspec.Struct`.
        guard: what it is to its servers, as `runtime.guards.uses` calls it; None where it asks none.
        own_signals: SIGTERM and SIGINT are the process's own matter.
    """
    telemetry.configure(name, settings.log_level)
    telemetry.log_settings(cast(msgspec.Struct, settings))
    test_hooks.announce()
    is_stopping = (lambda: False) if own_signals else stopping.on_signals()
    with incarnation():
        admit_project(run)
        registry, health = CollectorRegistry(), Health()
        if guard is not None:
            guarding.begin(guard, run, registry)
        yield Worker(name, run, settings, registry, health, is_stopping)
