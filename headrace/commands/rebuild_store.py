"""`headrace rebuild-store`: the online store again, from the log."""

import sys
import time
from typing import Any

import click

from headrace.params import ENTITY

EXAMPLE = """
\b
Examples:
  headrace rebuild-store                      after Redis lost its data, or to be sure of it
  headrace rebuild-store --entity account
  headrace rebuild-store --json
"""


@click.command(name="rebuild-store", epilog=EXAMPLE)
@click.option("--entity", type=ENTITY, help="Only its rows (default: all).")
@click.option("--no-batch", is_flag=True, help="Leave the batch views as they are.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def command(entity: str | None, no_batch: bool, as_json: bool) -> None:
    """Restore the online store: streamed rows from the changelogs, batch views from the lake.

    Works with the stream stopped and while it runs; a row that is newer in the store stays. Redis ends up
    byte for byte as it was.
    """
    import msgspec

    from features.project.running import project_of_process
    from runtime import environment
    from streams.stage.definition import StageDefinition, stage_of
    from streams.stage.rebuild import StoreRebuild
    from streams.stage.settings import StageSettings

    began_s, run = time.monotonic(), environment.current_run()
    settings = environment.settings_of(StageSettings, data_folder=run.home / "faust")
    project, found = project_of_process(), {}
    stages = [name for name in project.pipeline.chain.names if entity in (None, name)]
    for name in stages:
        definition = StageDefinition.of(stage_of(project, name), settings)
        found[name] = StoreRebuild(definition, settings, lambda text: click.echo(text, err=True)).run()
    report: dict[str, Any] = {name: msgspec.to_builtins(rebuilt) for name, rebuilt in found.items()}
    if not no_batch:
        from streams.store.feast.materialize import rematerialize

        report["batch"] = rematerialize(run, project)
    report["seconds"] = round(time.monotonic() - began_s, 3)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        return
    for name, rebuilt in found.items():
        click.echo(f"{name}: {rebuilt.rows:,} rows of {rebuilt.partitions} partitions")
    for view, rows in report.get("batch", {}).items():
        click.echo(f"{view}: {rows:,} rows sent to the online store")
    click.echo(f"done in {report['seconds']:.1f} s")
