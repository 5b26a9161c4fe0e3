"""`headrace train`: a new version of the model from the run's lake."""

import getpass
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

EXAMPLE = """
\b
Examples:
  headrace train
  headrace train --until 1526860800000 --json
  headrace train --promote
  headrace train --search 5
  headrace train --event-alone
  headrace train --imported --promote
"""


@click.command(name="train", epilog=EXAMPLE)
@click.option("--until", "until_ms", type=int, help="Training moment, epoch ms (default: the lake's newest).")
@click.option("--name", default="", help="Name of the model (default: the declared one's, without `_v1`).")
@click.option("--promote", is_flag=True, help="Make it champion: where there is one, if its gates hold.")
@click.option("--search", "trials", type=click.IntRange(0, 7), default=0, help="Try as many nearby settings.")
@click.option(
    "--event-alone", is_flag=True, help="Train once more without window features, and tell what they gain."
)
@click.option("--imported", is_flag=True, help="Train on what `headrace import` brought, not on the stream.")
@click.option("--json", "as_json", is_flag=True, help="Print the new entry as JSON.")
def command(
    until_ms: int | None, name: str, promote: bool, trials: int, event_alone: bool, imported: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Train on the events whose label was known at the training moment.

    Streamed features are those that were served, batch features come through Feast's point-in-time join;
    no server needs to run.
    """
    from features.project.running import project_of_process
    from headrace.release_commands import registry as models
    from headrace.training_data import training_data
    from inference.models.provenance import Provenance
    from inference.offline.training.settings import TrainSettings
    from inference.offline.training.train import train
    from inference.release.registry import Change
    from runtime.environment import current_run, settings_of

    run = current_run()
    project = project_of_process()
    name = name or name_of(project)
    began = time.monotonic()
    _tell(as_json, f"reading events and the labels known by {until_ms or 'the newest moment of the lake'}")
    data = training_data(run, project, until_ms, imported)
    _tell(as_json, f"training on {len(data):,} events, {int(data.positive.sum()):,} of them positive")
    registry = models()
    settings = settings_of(TrainSettings, **({"search_trials": trials} if trials else {}))
    with progress(settings.search_trials + 1, shown=not as_json and trials > 0) as tell:
        trained = train(data, settings, Provenance.of(), _champion(registry), tell, event_alone=event_alone)
    change = Change(who=getpass.getuser(), at_ms=time.time_ns() // 1_000_000, why="headrace train")
    entry = registry.add(name, trained.files, trained.manifest, change)
    if promote:
        entry = _promoted(registry, entry, change)
    _report(entry, trained.manifest, time.monotonic() - began, as_json)


def _promoted(registry: Any, entry: Any, change: Any) -> Any:
    """Promote through the gates; the first champion passes them by, as rules alone decided before it.

    The audit has what the gates said either way.
    """
    from headrace.release_commands import promoter

    first = registry.release().champion is None
    promoted, findings = promoter().promote(entry.id, "champion", change, force=first)
    for finding in findings:
        if not finding.holds:
            click.echo(f"  the first champion passes a gate by: {finding}", err=True)
    return promoted


@contextmanager
def progress(total: int, *, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield what to tell a search's progress to: a bar where somebody looks."""
    from rich.progress import Progress

    with Progress(disable=not shown) as bar:
        task = bar.add_task("trials", total=total)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def name_of(project: Any) -> str:
    """Return what a project's trained models are called: as its model, without the version of its inputs."""
    declared = project.model.declared.name if project.model else project.name
    return re.sub(r"_v\d+$", "", declared)


def _champion(registry: Any) -> Any:
    """Return the champion to compare with, None where there is none for these features."""
    from contracts.errors import ModelError
    from features.project.running import project_of_process
    from inference.models.manifest import read_champion
    from inference.offline.training.train import Rival
    from inference.release.champion import Definitions, load_champion

    pointer, project = read_champion(registry.models), project_of_process()
    if pointer is None:
        return None
    try:
        service, decisions = project.service, project.decisions.names
        ours = Definitions(project.definitions_hash, service.columns, {}, service, decisions)
        model = load_champion(registry.models, pointer, ours)
    except ModelError as error:
        click.echo(f"not compared with the champion: {error}", err=True)
        return None
    about = registry.manifest(registry.find("champion")).get("data", {})
    return Rival(pointer.id, model.predict, int(about.get("until_ms", 0)))


def _tell(as_json: bool, text: str) -> None:
    if not as_json:
        click.echo(text, err=True)


def _report(entry: Any, manifest: dict[str, Any], took_s: float, as_json: bool) -> None:
    import msgspec
    import orjson

    if as_json:
        whole = msgspec.to_builtins(entry) | {
            "thresholds": manifest["thresholds"], "data": manifest["data"], "seconds": round(took_s, 3)
        }  # fmt: skip
        sys.stdout.write(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    figures = entry.metrics
    click.echo(f"{entry.id} ({entry.stage}) in {took_s:.1f} s")
    click.echo(
        f"  average precision {figures['average_precision']:.4f}, AUC {figures['auc']:.4f}"
        f" on {figures['rows']:,} later events with {figures['positives']:,} positives"
    )
    alone = figures.get("comparison", {}).get("event_alone")
    if alone is not None:
        click.echo(f"  {_without_windows(alone)}")
    against = figures.get("comparison", {}).get("champion")
    if against is not None:
        click.echo(f"  {_compared(against)}")
    if not manifest["data"]["embargo"]:
        click.echo("  the history is shorter than the label delay: these figures have no embargo")
    if entry.stage != "champion":
        click.echo(f"  next: headrace models promote {entry.id}")


def _without_windows(alone: dict[str, Any]) -> str:
    low, high = alone["gain_95_percent"]
    return (
        f"without window features {alone['other_average_precision']:.4f}: they gain {alone['gain']:+.4f}"
        f" average precision (95 %: {low:+.4f} to {high:+.4f}), same rows, same split"
    )


def _compared(against: dict[str, Any]) -> str:
    if against["gain"] is None:
        return f"{against['code']}: {against['why']} ({against['against']} has learnt the rest)"
    return (
        f"{against['gain']:+.4f} average precision over {against['against']},"
        f" on {against['rows']:,} events that neither has learnt"
        f" ({against['rows_it_has_learnt']:,} that it has are left out)"
    )
