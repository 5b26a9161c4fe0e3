"""`headrace verify`: does the log say what the events say, and the store what the log says?"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

EXAMPLE = """
\b
Examples:
  headrace verify
  headrace verify --rows 20000 --json verify.json
  headrace verify --threshold 0.001              exit 1 past one row in a thousand
  headrace verify --watch 60 --metrics-port 9109 again and again, figures for Prometheus
"""
EXIT_MISMATCH = 1
EXIT_HOLES = 8  # nothing differs, and the run is known to have lost records


@click.command(name="verify", epilog=EXAMPLE)
@click.option(
    "--rows", default=5000, show_default=True, type=click.IntRange(min=1), help="Rows an entity, at least."
)
@click.option(
    "--mismatches-max", default=0, show_default=True, type=click.IntRange(min=0), help="More is exit code 1."
)
@click.option("--threshold", default=0.0, type=click.FloatRange(0, 1), help="Share that may be wrong.")
@click.option("--watch", "watch_s", type=click.FloatRange(0.1), help="Verify again every so many seconds.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Of the figures (default: a free one).")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    help="Write the report to this file, - for stdout.",
)
def command(
    rows: int, mismatches_max: int, threshold: float, watch_s: float | None, metrics_port: int | None,
    json_file: Path | None,
) -> None:  # fmt: skip
    """Recompute features from the raw events in the run's lake and compare them bit for bit.

    Samples whole keys. Compared are the feature log, by feature and day, and the online store when Redis
    answers: at the place that a stored row is stamped with (a difference is a fault) and at its key's newest
    place (what differs only there is lag). Rows too new to be judged are left out and counted. Exits with 1
    when more rows are wrong than both --mismatches-max and --threshold allow; with --watch at its end. Exits
    with 8 when nothing is wrong but records were lost, as somebody has accepted (`headrace offsets show`).
    """
    from runtime.environment import current_run
    from runtime.stopping import on_signals

    run = current_run()
    show = _shown(run, metrics_port) if watch_s is not None or metrics_port is not None else None
    stopping = on_signals() if watch_s is not None else lambda: True
    is_past = False
    while True:
        report = _verified(run, rows, json_file, show)
        is_past |= report.mismatches > mismatches_max and report.share > threshold
        if _waited(watch_s or 0.0, stopping):
            sys.exit(EXIT_MISMATCH if is_past else EXIT_HOLES if report.holes else 0)


def _waited(seconds: float, stopping: Callable[[], bool]) -> bool:
    """Wait for the next turn; return whether there is none."""
    until_s = time.monotonic() + seconds
    while not stopping() and time.monotonic() < until_s:
        time.sleep(min(0.1, seconds))
    return stopping()


def _verified(run: Any, rows: int, json_file: Path | None, show: Any) -> Any:
    import msgspec
    import orjson

    from features.project.running import project_of_process
    from inference.offline.lake.lake import FixedLake
    from inference.offline.verify.verify import verify

    reader = _reader(run)
    try:
        report = verify(FixedLake(run.lake, project_of_process()), reader, run.epoch, rows)
    finally:
        if reader is not None:
            reader.close()
    if show is not None:
        show(report, time.time())
    whole = msgspec.to_builtins(report) | {"mismatches": report.mismatches, "share": report.share}
    whole["run"] = run.name
    text = orjson.dumps(whole, option=orjson.OPT_INDENT_2)
    if json_file == Path("-"):
        sys.stdout.write(text.decode() + "\n")
    else:
        if json_file is not None:
            json_file.write_bytes(text)
        click.echo("\n".join(_lines(whole)))
    return report


def _shown(run: Any, port: int | None) -> Any:
    """Serve metrics, and return what takes each report up."""
    from prometheus_client import CollectorRegistry

    from headrace import telemetry
    from inference.offline.verify.metrics import VerifyMetrics

    registry = CollectorRegistry()
    metrics = VerifyMetrics(registry)
    where = telemetry.serve_metrics(run, "verify", registry, port or 0)
    click.echo(f"metrics on port {where}", err=True)
    return metrics.show


def _reader(run: Any) -> Any:
    """Return a patient reader of the run's Redis, None when no server is known."""
    from contracts.errors import ConfigError
    from features.project.running import project_of_process
    from inference.reading.online_reader import RedisFeatureReader
    from inference.reading.settings import ReaderSettings
    from runtime.environment import redis_connection

    try:
        redis = redis_connection(run)
    except ConfigError:
        return None
    patient = ReaderSettings(connect_timeout_ms=1000.0, reply_timeout_ms=5000.0)
    return RedisFeatureReader(project_of_process(), redis, run.project, patient)


def _lines(report: dict[str, Any]) -> list[str]:
    lines = []
    for entity, part in report["entities"].items():
        lines.append(
            f"{entity}: {part['rows']:,} rows of {part['keys']:,} keys recomputed,"
            f" {part['rows_wrong']:,} differ, {part['late_flags_wrong']:,} late flags differ"
        )
        lines += [f"  {name}: {_brief(counts)}" for name, counts in part["features"].items()]
        lines += [f"  e.g. {example}" for example in part["examples"]]
    lines.append(f"rows too new to be judged: {report['under_way']:,}")
    lines.append(f"raw records without an answer: {report['raw_unanswered']:,}")
    lines.append(f"log rows without a raw record: {report['log_unfounded']:,}")
    lines.append(
        f"labels before older events (leak tripwire): {report['label_early']:,} of {report['labels']:,}"
    )
    lines.append(f"labels that name other keys than their event: {report['label_mismatched']:,}")
    if report["store"] is None:
        lines.append(f"online store not compared: {report['store_why']}")
    else:
        for entity, part in report["store"].items():
            counts = {name: count for name, count in part.items() if isinstance(count, int)}
            lines.append(f"online store, {entity}: {counts}")
            lines += [f"  lag, {name}: {_brief(found)}" for name, found in part["at_newest"].items()]
            lines += [f"  FAULT, {name}: {_brief(found)}" for name, found in part["at_own_place"].items()]
    lines += [f"HOLE {hole}" for hole in report["holes"]]
    if report["holes"]:
        lines.append(
            f"known to be lost: {report['lost']:,} archived records never came out of the stream;"
            f" {report['unarchived']:,} rows have no raw record left"
        )
    lines.append("no mismatch" if not report["mismatches"] else f"{report['mismatches']:,} MISMATCHES")
    return lines


def _brief(found: dict[str, Any]) -> str:
    """Return a feature's counts, and the days that they fall on."""
    counts = ", ".join(f"{how} {found[how]:,}" for how in ("missing", "extra", "mismatch") if found[how])
    days = sorted(found["days"])
    return f"{counts}, symmetric error {found['symmetric_error']:.3g}, {days[0]} to {days[-1]}"
