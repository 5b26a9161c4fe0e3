"""`headrace verify`: does the log say what the events say, and the store what the log says?"""

import sys
from pathlib import Path
from typing import Any

import click

EXAMPLE = """
\b
Examples:
  headrace verify
  headrace verify --rows 20000 --json verify.json
"""
EXIT_MISMATCH = 1


@click.command(name="verify", epilog=EXAMPLE)
@click.option(
    "--rows", default=5000, show_default=True, type=click.IntRange(min=1), help="Rows an entity, at least."
)
@click.option(
    "--mismatches-max", default=0, show_default=True, type=click.IntRange(min=0), help="More is exit code 1."
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    help="Write the report to this file, - for stdout.",
)
def command(rows: int, mismatches_max: int, json_file: Path | None) -> None:
    """Recompute features from the raw events in the run's lake and compare them bit for bit.

    Samples whole keys. Online rows are compared too when Redis answers; a row that is behind is counted
    apart from a row that is wrong. Let the archive come to rest first.
    """
    import msgspec
    import orjson

    from headrace.environment import current_run
    from inference.lake import Lake
    from inference.verify import verify

    run = current_run()
    report = verify(Lake(run.lake), _reader(run), run.epoch, rows)
    whole = msgspec.to_builtins(report) | {"mismatches": report.mismatches, "run": run.name}
    text = orjson.dumps(whole, option=orjson.OPT_INDENT_2)
    if json_file == Path("-"):
        sys.stdout.write(text.decode() + "\n")
    else:
        if json_file is not None:
            json_file.write_bytes(text)
        click.echo("\n".join(_lines(whole)))
    if report.mismatches > mismatches_max:
        sys.exit(EXIT_MISMATCH)


def _reader(run: Any) -> Any:
    """Return a patient reader of the run's Redis, None when no server is known."""
    from contracts.errors import ConfigError
    from headrace.environment import redis_connection
    from inference.online_reader import RedisFeatureReader
    from inference.scorer_settings import ReaderSettings

    try:
        redis = redis_connection(run)
    except ConfigError:
        return None
    patient = ReaderSettings(connect_timeout_ms=1000.0, reply_timeout_ms=5000.0)
    return RedisFeatureReader(redis, run.project, patient)


def _lines(report: dict[str, Any]) -> list[str]:
    lines = []
    for entity in ("customer", "terminal"):
        part = report[entity]
        lines.append(
            f"{entity}: {part['rows']:,} rows of {part['keys']:,} keys recomputed,"
            f" {part['rows_wrong']:,} differ, {part['late_flags_wrong']:,} late flags differ"
        )
        lines += [f"  {name}: {counts}" for name, counts in part["features"].items()]
        lines += [f"  e.g. {example}" for example in part["examples"]]
    lines.append(f"raw payments without an answer: {report['raw_unanswered']:,}")
    lines.append(f"log rows without a raw payment: {report['log_unfounded']:,}")
    lines.append(
        f"labels before older payments (leak tripwire): {report['label_early']:,} of {report['labels']:,}"
    )
    if report["store"] is None:
        lines.append(f"online store not compared: {report['store_why']}")
    else:
        for entity, part in report["store"].items():
            counts = {name: count for name, count in part.items() if name != "examples"}
            lines.append(f"online store, {entity}: {counts}")
    lines.append("no mismatch" if not report["mismatches"] else f"{report['mismatches']:,} MISMATCHES")
    return lines
