"""`headrace produce SOURCE=FILE ...`: send records of a project's sources to its topics, each in its time."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.printing import say, say_json, warn

if TYPE_CHECKING:
    from headrace.traffic.sending import Sending

INTERRUPTED = 130
ALL_REFUSED = 3
EXAMPLE = """
\b
Examples:
  headrace produce events.parquet
  headrace produce events.ndjson --rate 500 --limit 10000
  headrace produce events.parquet --labels labels.parquet --speed 3600
  headrace produce logins=logins.ndjson resets=resets.ndjson takeovers=takeovers.parquet
"""


@click.command(name="produce", epilog=EXAMPLE)
@click.argument("files", metavar="[SOURCE=]FILE...", nargs=-1, required=True)
@click.option("--labels", type=click.Path(path_type=Path), help="Labels, each sent after its time.")
@click.option("--rate", type=click.FloatRange(min=0.001), help="Scored records a second (open loop).")
@click.option("--speed", type=click.FloatRange(min=0.001), help="Event time, this many times as fast.")
@click.option("--limit", type=click.IntRange(min=1), help="Send at most this many scored records.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def command(
    files: tuple[str, ...], labels: Path | None, rate: float | None, speed: float | None, limit: int | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Send files (Parquet or NDJSON in the contract's fields) to the topics of the run's project.

    SOURCE is a source of the project; a FILE without it is of the scored one. As fast as Kafka takes it
    unless a rate or a speed is given. The scored records go in their file's order; those of other sources
    fall due by their time: a label goes right behind the scored records before it, context between them, and
    what would fall due after the last scored record is not sent. It ends well only when Kafka has
    acknowledged every record; how far it is, and a Kafka that is silent, is told every few seconds. Ctrl-C
    says how far it came.

    What the contract will refuse is counted by code, and sent all the same: it ends in the dead letters
    (`headrace dlq list`). The exit code is 3 when that is every record.
    """
    from contracts.errors import HeadraceError
    from features.project.running import project_of_process
    from headrace.traffic.named_files import files_by_form
    from headrace.traffic.sending import Pace, Sending, refuse_unreachable
    from runtime.environment import connections

    if rate is not None and speed is not None:
        raise click.UsageError("give --rate or --speed, not both")
    pipeline = project_of_process().pipeline
    named = files_by_form(pipeline, files, labels)
    kafka, run = connections()
    refuse_unreachable(kafka, run.topic_prefix, pipeline)
    sending = Sending(kafka, run.topic_prefix, named, Pace(rate=rate, speed=speed, limit=limit), warn)
    try:
        counts = sending.run()
    except (KeyboardInterrupt, HeadraceError) as ended:
        warn(f"not finished: {_words(sending)}")
        if isinstance(ended, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        raise
    refused = {f"{topic} {code}": count for (topic, code), count in sorted(sending.refused.items())}
    unsent = {source.name: 0 for source in pipeline.sources}
    if as_json:
        say_json({**unsent, **counts, "refused": refused})
    else:
        say(_words(sending))
        for what, count in refused.items():
            say(f"  {count:,} will be refused: {what}; see `headrace dlq list`, `headrace code CODE`")
    if refused and sum(refused.values()) == sending.sent.total():
        sys.exit(ALL_REFUSED)


def _words(sending: "Sending") -> str:
    counts, sent = sending.counts, sending.sent
    what = " and ".join(f"{count:,} {name}" for name, count in sent.items())
    acknowledged = counts["acknowledged"]
    known = "" if acknowledged == sent.total() else f", {acknowledged:,} of them acknowledged"
    return f"{what}{known} in {counts['seconds']:.1f} s ({counts['events_per_second']:,.0f} a second)"
