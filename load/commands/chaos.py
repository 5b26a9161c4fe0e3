"""`headrace chaos`: events while processes and servers die, and every value judged by an oracle."""

import sys
from pathlib import Path
from typing import Any

import click

from headrace.params import OUTPUT
from load.commands import tell

EXAMPLE = """
\b
Examples:
  headrace chaos --seed 1
  headrace chaos --seed 7 --minutes 0.5 --faults kill,redis:flush --json seed-7.json
  headrace chaos --project examples/logins --seed 1
  headrace chaos --report load/results/chaos/*.json
"""


@click.command(name="chaos", epilog=EXAMPLE)
@click.option("--project", help="Folder of the project (default: the current one, the installed).")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Draws load and faults.")
@click.option("--minutes", default=3.0, show_default=True, type=click.FloatRange(0.05, 600), help="Of load.")
@click.option("--rate", default=400.0, show_default=True, help="Records a second, labels among them.")
@click.option("--faults", default="", help="Kinds or groups, comma between (default: all).")
@click.option("--json", "json_file", type=OUTPUT, help="Write the report here, - for stdout.")
@click.option("--store", is_flag=True, help="Keep the report in load/results/chaos/.")
@click.option("--dump", "dump_file", type=OUTPUT, help="Keep what was judged, to plant faults in.")
@click.option("--keep", is_flag=True, help="Keep the run's folder with its logs.")
@click.option(
    "--report", "reports", is_flag=True, help="Print the table of the reports named as FILES instead."
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
def command(
    project: str | None, seed: int, minutes: float, rate: float, faults: str, json_file: Path | None,
    store: bool, dump_file: Path | None, keep: bool, reports: bool, files: tuple[Path, ...],
) -> None:  # fmt: skip
    """Send a project's events while workers, Kafka and Redis are killed, paused and stalled; then judge.

    Servers and workers are its own. Afterwards an oracle that shares no code with the service recomputes
    every feature, score, dead letter and row of the store. Exits with 1 when a count that must be 0 is not.
    """
    import os

    import orjson

    from runtime.project_folder import ENVIRONMENT, chosen_folder

    if (folder := chosen_folder(project)) is not None:
        os.environ[ENVIRONMENT] = str(folder)  # before anything of the engine asks for it

    from load.chaos import report as reporting
    from load.chaos.plan import ChaosPlan

    if reports:
        sys.stdout.write(reporting.table(orjson.loads(path.read_bytes()) for path in files))
        return
    wanted = tuple(name for name in faults.split(",") if name)
    plan = ChaosPlan(seed=seed, minutes=minutes, rate=rate, faults=wanted)
    report = _run(plan, dump_file, keep)
    tell(report, json_file, lambda: _show(report, reporting.MUST_BE_ZERO))
    if store:
        click.echo(f"stored in {reporting.store(report)}", err=True)
    sys.exit(not reporting.is_clean(report))


def _run(plan: Any, dump_file: Path | None, keep: bool) -> dict[str, Any]:
    """Run, judge and report; the folder is removed unless it is wanted or something is wrong."""
    import shutil
    from datetime import UTC, datetime

    from load.chaos.report import as_json, is_clean
    from load.chaos.run import run_chaos
    from load.oracle.judge import judge
    from runtime import environment
    from runtime.run import FOLDER

    now = datetime.now(UTC)
    folder = environment.root() / FOLDER / "chaos" / f"{plan.seed}-{now:%Y%m%dT%H%M%S}"
    outcome = run_chaos(plan, folder, tell=lambda text: click.echo(text, err=True))
    if dump_file is not None:
        outcome.dump.save(dump_file)
    report = as_json(plan, outcome, judge(outcome.dump), now.isoformat(timespec="seconds"))
    if is_clean(report) and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        click.echo(f"logs are in {folder}", err=True)
    return report


def _show(report: dict[str, Any], names: tuple[str, ...]) -> None:
    for name, count in report["faults"].items():
        stall = report["stall_s"][name]
        click.echo(
            f"{name:32} {count:3} times, predictions waited {stall['median']} s, at most {stall['max']} s"
        )
    click.echo(f"{report['events']:,} records, {report['looked_at']['predictions']:,} predictions judged")
    click.echo("  ".join(f"{name} {report[name]}" for name in names))
    for name, examples in report["examples"].items():
        for example in examples:
            click.echo(f"  {name}: {example}", err=True)
