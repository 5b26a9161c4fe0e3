"""`headrace produce FILE`: send payments, and labels when they fall due, to the topics."""

import sys
from pathlib import Path

import click

from headrace.printing import say, say_json, warn

INTERRUPTED = 130
ALL_REFUSED = 3
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

    As fast as Kafka takes it unless a rate or a speed is given. The file's order is the order sent. It
    ends well only when Kafka has acknowledged every record; how far it is, and a Kafka that is silent, is
    told every few seconds. Ctrl-C says how far it came.

    What the contract will refuse is counted by code, and sent all the same: it ends in the dead letters
    (`headrace dlq list`). The exit code is 3 when that is every record.
    """
    from contracts.errors import HeadraceError
    from headrace.traffic.sending import Pace, Sending, refuse_unreachable
    from runtime.environment import connections

    if rate is not None and speed is not None:
        raise click.UsageError("give --rate or --speed, not both")
    kafka, run = connections()
    refuse_unreachable(kafka, run.topic_prefix)
    pace = Pace(rate=rate, speed=speed, limit=limit)
    sending = Sending(kafka, run.topic_prefix, file, labels, pace, warn)
    try:
        counts = sending.run()
    except (KeyboardInterrupt, HeadraceError) as ended:
        warn(f"not finished: {_words(sending.counts)}")
        if isinstance(ended, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        raise
    refused = {f"{topic} {code}": count for (topic, code), count in sorted(sending.refused.items())}
    if as_json:
        say_json({**counts, "refused": refused})
    else:
        say(_words(counts))
        for what, count in refused.items():
            say(f"  {count:,} will be refused: {what}; see `headrace dlq list`, `headrace code CODE`")
    if refused and sum(refused.values()) == counts["transactions"] + counts["labels"]:
        sys.exit(ALL_REFUSED)


def _words(counts: dict[str, float]) -> str:
    sent = counts["transactions"] + counts["labels"]
    known = "" if counts["acknowledged"] == sent else f", {counts['acknowledged']:,} of them acknowledged"
    return (
        f"{counts['transactions']:,} payments and {counts['labels']:,} labels{known}"
        f" in {counts['seconds']:.1f} s ({counts['events_per_second']:,.0f} a second)"
    )
