"""What a process tells: one JSON line a log event on stderr, and metrics for Prometheus on loopback.

Log lines are ASCII: control characters, which could forge a line or move a screen's cursor, are escaped.
Fields with personal data are dropped by name, as a net below the rule that nobody logs them.
"""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from contracts.errors import ClusterError
from headrace import metrics_server
from headrace.log_files import LogStream
from headrace.log_limit import RateLimit
from runtime.atomic_file import replace_file
from runtime.environment import shown
from runtime.health import Health
from runtime.run import Run

FIRST = ("timestamp", "level", "worker", "event")
PERSONAL = ("email", "ip", "device_id")


def configure(worker: str, level: str = "info") -> None:
    """Log as JSON lines to stderr, which the supervisor keeps in a file a worker."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            without_personal_data,
            in_reading_order,
            structlog.processors.JSONRenderer(ensure_ascii=True, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, LogStream(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(worker=os.environ.get("HEADRACE_WORKER", worker))
    relay = Relay()
    relay.addFilter(RateLimit())
    logging.basicConfig(handlers=[relay], level=logging.WARNING, force=True)


class Relay(logging.Handler):
    """Sends what libraries log through the standard module down the same road, one JSON line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        kept_back = getattr(record, "kept_back", 0)
        log = structlog.get_logger().bind(
            logger=record.name, **({"kept_back": kept_back} if kept_back else {})
        )
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)


def without_personal_data(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop personal fields from a log event.

    >>> without_personal_data(None, "info", {"event": "refused", "email": "a@example.org"})
    {'event': 'refused'}
    """
    for name in PERSONAL:
        event.pop(name, None)
    return event


def in_reading_order(_: Any, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Put first what a reader looks for first.

    >>> list(in_reading_order(None, "info", {"topic": "labels", "event": "refused", "level": "info"}))
    ['level', 'event', 'topic']
    """
    return {key: event[key] for key in FIRST if key in event} | dict(event)


def log_settings(settings: msgspec.Struct) -> None:
    """Log the settings a process starts with, secrets as asterisks."""
    structlog.get_logger().info("settings", kind=type(settings).__name__, **shown(settings))


def serve_metrics(
    run: Run, worker: str, registry: CollectorRegistry, port: int = 0, health: Health | None = None
) -> int:
    """Serve metrics and health and note the port in `run.ports/<worker>.json`; 0 takes a free port.

    `/metrics` is for Prometheus; `/health` is the health's report as JSON, 200 for ok and stale, 503 for
    stuck. The file also says that the worker is ready, so serve once everything else is set up.

    Raises:
        ClusterError: E_METRICS_PORT, the port is taken.
    """
    host = os.environ.get("HEADRACE_METRICS_HOST", "127.0.0.1")
    try:
        server = metrics_server.start(host, port, registry, health)
    except OSError as error:
        raise ClusterError(
            "E_METRICS_PORT",
            f"metrics cannot be served: {error}",
            f"{host}:{port}",
            "choose another port, or 0",
        ) from error
    name = os.environ.get("HEADRACE_WORKER", worker)
    note = {"pid": os.getpid(), "port": server.server_port}
    replace_file(run.ports / f"{name}.json", msgspec.json.encode(note))
    return int(server.server_port)
