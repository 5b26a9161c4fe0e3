"""`headrace produce FILE`: send payments, and labels when they fall due, to the topics."""

import sys
from pathlib import Path

import click

EXAMPLE = """
\b
Examples:
  headrace produce payments.parquet
  headrace produce payments.ndjson --rate 500 --limit 10000
  headrace produce payments.parquet --labels labels.parquet --speed 3600
"""


@click.command(name="produce", epilog=EXAMPLE)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--labels", type=click.Path(path_type=Path), help="Labels, each sent after its label_time.")
@click.option("--rate", type=click.FloatRange(min=0.001), help="Payments a second (open loop).")
@click.option("--speed", type=click.FloatRange(min=0.001), help="Event time, this many times as fast.")
@click.option("--limit", type=click.IntRange(min=1), help="Send at most this many payments.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def command(
    file: Path, labels: Path | None, rate: float | None, speed: float | None, limit: int | None, as_json: bool
) -> None:
    """Send FILE (Parquet or NDJSON in the contract's fields) to the run's topics.

    As fast as Kafka takes it unless a rate or a speed is given. The file's order is the order sent.
    """
    import orjson

    from headrace.environment import connections
    from load.sending import Pace, send_file

    if rate is not None and speed is not None:
        raise click.UsageError("give --rate or --speed, not both")
    kafka, run = connections()
    counts = send_file(kafka, run.topic_prefix, file, labels, Pace(rate=rate, speed=speed, limit=limit))
    if as_json:
        sys.stdout.write(orjson.dumps(counts).decode() + "\n")
    else:
        click.echo(
            f"{counts['transactions']:,} payments and {counts['labels']:,} labels"
            f" in {counts['seconds']:.1f} s ({counts['events_per_second']:,.0f} a second)"
        )
