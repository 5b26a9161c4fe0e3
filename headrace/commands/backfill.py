"""`headrace backfill`: the same features over the lake, and the stream made ready for new ones."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from headrace.params import ENTITY, OUTPUT

EXAMPLE = """
\b
Examples:
  headrace backfill                                    every row's features, for training and Feast
  headrace backfill --compare --json backfill.json     is the lake the same, bit for bit?
  headrace backfill --entity device --workers 8
  headrace backfill --warm                             stages stopped: hand their state to new definitions
  headrace backfill --seed-from ../old/lake            a new run, before its stages start: begin where it ends
  headrace backfill --dask tcp://10.0.0.1:8786         on a Dask cluster that shares the lake's folder
"""
EXIT_MISMATCH = 1
EXIT_HOLES = 8  # nothing differs, and the run is known to have lost records


@click.command(name="backfill", epilog=EXAMPLE)
@click.option("--entity", type=ENTITY, help="Only this one (default: all).")
@click.option(
    "--compare", is_flag=True, help="Compare every row with the feature log; exit 1 on a difference."
)
@click.option("--warm", is_flag=True, help="Hand the stages' state over to this code's definitions.")
@click.option(
    "--seed-from",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="LAKE_FOLDER",
    help="Begin this new run with the state that another run's lake comes to.",
)
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="Seconds --warm waits for the lake.")
@click.option("--no-write", is_flag=True, help="Compute, and publish nothing.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes (default: one a core).")
@click.option("--dask", default="", help="A Dask scheduler's address, or `local` for Dask on this machine.")
@click.option(
    "--memory-mb", default=512, show_default=True, type=click.IntRange(64), help="For sorting, a task."
)
@click.option("--json", "json_file", type=OUTPUT, help="Write the report here, - for stdout.")
def command(
    entity: str | None, compare: bool, warm: bool, seed_from: Path | None, wait_s: float, no_write: bool,
    workers: int | None, dask: str, memory_mb: int, json_file: Path | None,
) -> None:  # fmt: skip
    """Compute features over the run's lake with the stream's own kernel, in the order of the log.

    Writes one dataset an entity under lake/backfill/, which Feast's historical features and `headrace train`
    read where the feature log was made under other definitions. Memory is bounded: what is sorted spills to
    disk. A result that --compare finds different is not published.

    After a change of definitions a stage refuses to start (E_STATE_DEFINITIONS). Stop its workers, let the
    stages behind it and the archive read to the end, and run this with --warm from the new code: it writes
    the stage's state and rows under the new definitions, at the exact offset where the old ones stopped.

    A new run begins with empty windows. With --seed-from, before its stages have taken a record, it begins
    where another run ended: windows, remembered ids and rows of the online store are those of
    that run's whole lake. Told are the offsets of its topics up to which that goes; send this run what comes
    after them. A seeded run whose code has new definitions needs this once more before --warm.
    """
    from features.project.running import project_of_process
    from inference.offline.backfill.executors import executor
    from inference.offline.backfill.run import Options, backfill
    from inference.offline.lake.lake import Lake
    from runtime.environment import current_run

    processes = workers or len(os.sched_getaffinity(0))
    options = Options(compare=compare, write=not no_write, memory_mb=memory_mb)
    if seed_from is not None:
        if warm or compare or entity or no_write:
            raise click.UsageError("--seed-from goes with --workers, --dask, --memory-mb and --json only")
        _seed(seed_from, options, executor(processes, dask), json_file)
        return
    if warm:
        _warm(entity, options, executor(processes, dask), wait_s, json_file)
        return
    chosen = [known for known in project_of_process().entities if entity in (None, known.name)]
    lake = Lake(current_run().lake, project_of_process())
    found = backfill(lake, chosen, options, executor(processes, dask), _tell)
    report = found.as_dict()
    _tell_result(report, json_file, _lines(report, compare))
    if found.mismatches:
        sys.exit(EXIT_MISMATCH)
    if compare and found.holes:
        sys.exit(EXIT_HOLES)


def _warm(entity: str | None, options: Any, on: Any, wait_s: float, json_file: Path | None) -> None:
    from features.project.running import project_of_process
    from headrace import warm as hand_over
    from headrace.run_project import adopt_project
    from inference.offline.lake.lake import Lake
    from runtime import environment
    from streams.stage.settings import StageSettings

    run = environment.current_run()
    settings = environment.settings_of(StageSettings, data_folder=run.home / "faust")
    project = project_of_process()
    stages = [name for name in project.pipeline.chain.names if entity in (None, name)]
    place = hand_over.Place(project, settings, Lake(run.lake, project), wait_s)
    found = hand_over.warm(stages, place, options, on, _tell)
    adopt_project(run)
    lines = [
        f"{name}: {f'{part.keys:,} keys handed over' if part.changed else 'nothing to do'}"
        for name, part in found.items()
    ]
    _tell_result(found, json_file, lines)


def _seed(old: Path, options: Any, on: Any, json_file: Path | None) -> None:
    from features.project.running import project_of_process
    from headrace import seed as seeding
    from headrace.run_project import adopt_project
    from inference.offline.lake.lake import Lake
    from runtime import environment
    from streams.stage.settings import StageSettings

    run = environment.current_run()
    settings = environment.settings_of(StageSettings, data_folder=run.home / "faust")
    project = project_of_process()
    into = seeding.Into(project, Lake(run.lake, project), settings)
    made = seeding.seed(old, into, options, on, _tell)
    adopt_project(run)
    lines = [f"{name}: begins after {rows:,} rows" for name, rows in made.rows.items()]
    for what, before in made.bounds.raw_before.items():
        offsets = ", ".join(f"{partition}@{offset}" for partition, offset in before.items()) or "none"
        lines.append(f"send this run the records of {what} from offsets {offsets} of that run on")
    _tell_result(made, json_file, lines)


def _tell_result(result: Any, json_file: Path | None, lines: list[str]) -> None:
    """Write a result as JSON where it was asked for, and say it in lines unless stdout has the JSON."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(result))
    if str(json_file) == "-":
        sys.stdout.buffer.write(text + b"\n")
        return
    if json_file is not None:
        json_file.write_bytes(text)
    click.echo("\n".join(lines))


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
        equal = "backfill = stream, bit for bit"
        if report["holes"]:
            lines += [f"HOLE {hole}" for hole in report["holes"]]
            equal = (
                "backfill = stream in what is left; the input has holes, and"
                f" {report['records_lost']:,} archived records never came out of the stream"
            )
        lines.append(equal if not total else f"{total:,} MISMATCHES, nothing published")
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
