"""`headrace materialize`: compute the batch features from the lake and put them into the online store."""

import sys
import time
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from runtime.run import Run
    from streams.store.feast.materialize import Materialized

EXAMPLE = """
\b
Examples:
  headrace materialize
  headrace materialize --end 2018-06-01
  headrace materialize --start 2018-05-01 --end 2018-06-01   recompute those days
"""
_DAY = click.DateTime(["%Y-%m-%d"])


def materialize(run: "Run", end_ms: int | None = None, start: date | None = None) -> "Materialized":
    """Do what the command does for a run, up to an event time, epoch ms (default: the newest event's)."""
    from features.project.running import project_of_process
    from streams.store.feast import materialize as repository

    return repository.materialize(run, project_of_process(), end_ms, start)


@click.command(name="materialize", epilog=EXAMPLE)
@click.option("--start", type=_DAY, help="First day to recompute (default: the first that is missing).")
@click.option("--end", type=_DAY, help="Last day, 00:00 UTC (default: that of the newest event).")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def command(start: datetime | None, end: datetime | None, as_json: bool) -> None:
    """Compute the batch views from the lake, register the features, and fill the online store.

    A snapshot of a day is made of what came before it. Streamed features are left to the stream.
    `feast apply` and `feast materialize` in the project's folder do the same with snapshots that are there.
    """
    import msgspec

    from runtime.ending import install
    from runtime.environment import current_run

    install()
    began_s = time.monotonic()
    end_ms = int(end.replace(tzinfo=UTC).timestamp()) * 1000 if end else None
    done = materialize(current_run(), end_ms, start.date() if start else None)
    took_s = time.monotonic() - began_s
    if as_json:
        sys.stdout.buffer.write(
            msgspec.json.encode({**msgspec.structs.asdict(done), "seconds": took_s}) + b"\n"
        )
        return
    for view, rows in done.online_rows.items():
        click.echo(
            f"{view}: {len(done.snapshots[view])} snapshots computed, {rows:,} rows sent to the online store"
        )
    click.echo(f"done in {took_s:.1f} s")
