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
    """Write the sources' records, features, predictions, drift and dead letters to Parquet.

    SIGTERM or Ctrl-C reads what is already published, writes it and stops.
    """
    from features.project.running import project_of_process
    from headrace.worker import working
    from runtime import environment, slots
    from streams.archive.archive import Archive
    from streams.archive.metrics import ArchiveMetrics
    from streams.archive.settings import ArchiveSettings

    run = environment.current_run()
    settings = slots.with_member(environment.settings_of(ArchiveSettings), run.home / "slots", "archive")
    os.nice(LESS_URGENT)
    with working("archive", run, settings, guard="archive") as worker:
        archive = Archive(project_of_process(), settings, ArchiveMetrics(worker.registry), worker.health)
        worker.ready()
        archive.run(worker.is_stopping)
