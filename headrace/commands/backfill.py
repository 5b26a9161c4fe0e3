"""`headrace backfill`: the same features over the lake, and the stream made ready for new ones."""

import os
import sys
from pathlib import Path
from typing import Any

import click

EXAMPLE = """
\b
Examples:
  headrace backfill                                    every row's features, for training and Feast
  headrace backfill --compare --json backfill.json     is the lake the same, bit for bit?
  headrace backfill --entity terminal --workers 8
  headrace backfill --dask tcp://10.0.0.1:8786         on a Dask cluster that shares the lake's folder
"""
EXIT_MISMATCH = 1


@click.command(name="backfill", epilog=EXAMPLE)
@click.option("--entity", type=click.Choice(["customer", "terminal"]), help="Only this one (default: all).")
@click.option(
    "--compare", is_flag=True, help="Compare every row with the feature log; exit 1 on a difference."
)
@click.option("--no-write", is_flag=True, help="Compute, and publish nothing.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes (default: one a core).")
@click.option("--dask", default="", help="A Dask scheduler's address, or `local` for Dask on this machine.")
@click.option(
    "--memory-mb", default=512, show_default=True, type=click.IntRange(64), help="For sorting, a task."
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write the report here, - for stdout."
)
def command(
    entity: str | None, compare: bool, no_write: bool, workers: int | None, dask: str, memory_mb: int,
    json_file: Path | None,
) -> None:  # fmt: skip
    """Compute features over the run's lake with the stream's own kernel, in the order of the log.

    Writes one dataset an entity under lake/backfill/, which Feast's historical features and `headrace train`
    read where the feature log was made under other definitions. Memory is bounded: what is sorted spills to
    disk. A result that --compare finds different is not published.
    """
    import orjson

    from features.catalog import ENTITIES
    from headrace.environment import current_run
    from inference.backfill.executors import executor
    from inference.backfill.run import Options, backfill
    from inference.lake import Lake

    processes = workers or len(os.sched_getaffinity(0))
    options = Options(compare=compare, write=not no_write, workers=processes, memory_mb=memory_mb)
    chosen = [known for known in ENTITIES if entity in (None, known.name)]
    found = backfill(Lake(current_run().lake), chosen, options, executor(processes, dask), _tell)
    report = found.as_dict()
    text = orjson.dumps(report, option=orjson.OPT_INDENT_2)
    if json_file is not None and str(json_file) == "-":
        sys.stdout.buffer.write(text + b"\n")
    else:
        click.echo("\n".join(_lines(report, compare)))
        if json_file is not None:
            json_file.write_bytes(text)
    if found.mismatches:
        sys.exit(EXIT_MISMATCH)


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _lines(report: dict[str, Any], compare: bool) -> list[str]:
    lines = []
    for name, part in report["entities"].items():
        lines.append(
            f"{name}: {part['rows']:,} rows of {part['keys']:,} keys in {part['seconds']:.1f} s,"
            f" {part['under_way']:,} still under way"
        )
        if part["folder"]:
            lines.append(f"  written to {part['folder']}")
        if compare:
            lines += _compared(part["compared"])
    if compare:
        lines.append(f"rows of the log that differ from their raw record: {report['facts_differing']:,}")
        total = report["mismatches"]
        lines.append(
            "backfill = stream, bit for bit" if not total else f"{total:,} MISMATCHES, nothing published"
        )
    return lines


def _compared(part: dict[str, Any]) -> list[str]:
    lines = [
        f"  {part['rows']:,} rows compared with the log: {part['rows_wrong']:,} differ,"
        f" {part['late_flags_wrong']:,} late flags differ"
    ]
    if part["not_logged"]:
        lines.append(f"  {part['not_logged']:,} rows were logged without some of these features")
    lines += [f"  {name}: {counts}" for name, counts in part["features"].items()]
    return lines + [f"  e.g. {example}" for example in part["examples"]]
