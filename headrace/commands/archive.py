"""`headrace archive`: copy every topic into the run's lake."""

import os

import click

EXAMPLE = """
\b
Examples:
  headrace archive
  HEADRACE_ARCHIVE_FLUSH_INTERVAL_MS=60000 headrace archive
"""

LESS_URGENT = 10  # where cores are few, decisions go first; the lake catches up


@click.command(name="archive", epilog=EXAMPLE)
def command() -> None:
    """Write transactions, labels, features, predictions, drift and dead letters to Parquet.

    SIGTERM or Ctrl-C reads what is already published, writes it and stops.
    """
    from prometheus_client import CollectorRegistry

    from headrace import environment, memory, stopping, telemetry
    from streams.archive.archive import Archive
    from streams.archive.metrics import ArchiveMetrics
    from streams.archive.settings import ArchiveSettings

    run = environment.current_run()
    settings = environment.settings_of(ArchiveSettings)
    telemetry.configure("archive", settings.log_level)
    telemetry.log_settings(settings)
    is_stopping = stopping.on_signals()
    registry = CollectorRegistry()
    os.nice(LESS_URGENT)
    archive = Archive(settings, ArchiveMetrics(registry))
    memory.settle()
    telemetry.serve_metrics(run, "archive", registry, settings.metrics_port)
    archive.run(is_stopping)
