"""`headrace materialize`: compute the batch features from the lake and put them into the online store."""

import sys
import time
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from feature_repo.materialize import Materialized
    from headrace.run import Run

EXAMPLE = """
\b
Examples:
  headrace materialize
  headrace materialize --end 2018-06-01
  headrace materialize --start 2018-05-01 --end 2018-06-01   recompute those days
"""
_DAY = click.DateTime(["%Y-%m-%d"])


def materialize(run: "Run", end_ms: int | None = None, start: date | None = None) -> "Materialized":
    """Do what the command does for a run, up to an event time, epoch ms (default: the newest payment's)."""
    from feature_repo import materialize as repository
    from feature_repo.run_home import RunHome

    return repository.materialize(RunHome(run.home), end_ms, start)


@click.command(name="materialize", epilog=EXAMPLE)
@click.option("--start", type=_DAY, help="First day to recompute (default: the first that is missing).")
@click.option("--end", type=_DAY, help="Last day, 00:00 UTC (default: that of the newest payment).")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def command(start: datetime | None, end: datetime | None, as_json: bool) -> None:
    """Compute customer profiles from the lake, register the features, and fill the online store.

    A profile of a day is made of the thirty days before it. Streamed features are left to the stream.
    `feast apply` and `feast materialize` in feature_repo/ do the same with profiles that are there already.
    """
    import msgspec

    from headrace.environment import current_run

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
            f"{view}: {len(done.snapshots)} snapshots computed, {rows:,} rows sent to the online store"
        )
    click.echo(f"done in {took_s:.1f} s")
