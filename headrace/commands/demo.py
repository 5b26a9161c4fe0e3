"""`headrace demo`: history, a first model, live records and a summary that must add up."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from headrace.params import OUTPUT

EXAMPLE = """
\b
Examples:
  headrace demo
  headrace demo --input events.parquet --labels labels.parquet --json summary.json
  headrace --project examples/logins demo
  headrace demo --input logins=logins.ndjson --input resets=resets.ndjson --input takeovers=takeovers.ndjson
  headrace --project examples/flights demo --history 0.67 --speed 43200
  headrace demo --malformed 0.05 --redis-outage 20 --redis-flush --kafka-restart
"""
# Of a generated workload more is history, which a model needs, and half of the rest shows latency.
GENERATED_HISTORY_RATIO, GENERATED_PACED_RATIO = 0.75, 0.5


@click.command(name="demo", epilog=EXAMPLE)
@click.option(
    "--input", "files", multiple=True, metavar="[SOURCE=]FILE", help="Records of a source (Parquet, NDJSON)."
)
@click.option(
    "--labels", "labels_file", type=click.Path(path_type=Path), help="Labels of the scored records."
)
@click.option(
    "--workload", help="Of the project's generator, without --input (default: demo, else its first)."
)
@click.option("--events", type=click.IntRange(min=100), help="Use at most this many scored records.")
@click.option("--rate", default=1_000.0, show_default=True, help="Records a second in the paced last part.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0.001),
    help="All records in event time, this many times as fast.",
)
@click.option("--history", "history", type=click.FloatRange(0.1, 0.95), help="Share that is history.")
@click.option(
    "--partitions", default=1, show_default=True, help="Of each topic; one worker a kind needs one."
)
@click.option("--json", "json_file", type=OUTPUT, help="Write the summary here.")
@click.option("--malformed", default=0.0, type=click.FloatRange(0, 0.5), help="Share of broken records.")
@click.option("--redis-outage", default=0.0, type=click.FloatRange(0, 300), help="Stop Redis for S seconds.")
@click.option("--redis-flush", is_flag=True, help="Empty Redis while records come.")
@click.option("--kafka-restart", is_flag=True, help="Restart Kafka while records come.")
def command(
    files: tuple[str, ...], labels_file: Path | None, workload: str | None, events: int | None, rate: float,
    speed: float | None, history: float | None, partitions: int, json_file: Path | None, malformed: float,
    redis_outage: float, redis_flush: bool, kafka_restart: bool,
) -> None:  # fmt: skip
    """Bring servers and workers up, replay history, train, score live records, and count.

    The records are the project's: given by source, or made by its `generate.py`. The first part by event
    time (60 % of given files) is history: scored by rules alone while labels come in at their time. Then a
    model is trained, and the same without window features, which says what those are worth; it scores the
    rest, of which the paced last part measures latency; with --speed everything is paced by its own
    event time, as features of the last hours need it: at full speed days of event time go by in a second, and
    records of several topics are as far apart. The run keeps its own topics and folder under
    .headrace/, so that `explain`, `verify` and `models` answer afterwards.

    Exits with 1 when the counts do not add up.
    """
    from headrace.demo.plan import DemoPlan, Faults
    from headrace.demo.show import show

    if labels_file is not None and not files:
        raise click.UsageError("--labels belongs to --input")
    faults = Faults(
        malformed_ratio=malformed,
        redis_outage_s=redis_outage,
        redis_flush=redis_flush,
        kafka_restart=kafka_restart,
    )
    plan = DemoPlan(
        workload=workload, files=files, labels_file=labels_file, events=events, paced_rate=rate,
        paced_speed=speed, partitions=partitions, faults=faults,
    )  # fmt: skip
    if not files:
        plan = replace(plan, history_ratio=GENERATED_HISTORY_RATIO, paced_ratio=GENERATED_PACED_RATIO)
    plan = plan if history is None else replace(plan, history_ratio=history)
    sys.exit(show(plan, json_file))
