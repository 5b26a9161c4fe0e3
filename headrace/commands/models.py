"""`headrace models`: what was trained, which version decides, and how to change that."""

import sys

import click

from headrace.groups import NearestGroup
from headrace.printing import say, warn
from headrace.release_commands import JSON, audit, line, promote, registry, retire, rollback, show_json

EXAMPLE = """
\b
Examples:
  headrace models list
  headrace models promote risk/0002-1a2b3c4d --to shadow --why "better on the last two weeks"
  headrace models rollback --why "declines too many"
"""


@click.group(name="models", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """List, show, compare, promote and roll back the run's models; no server needs to run."""


@command.command(name="list")
@JSON
def list_models(as_json: bool) -> None:
    """List every version with its stage and average precision.

    Example: headrace models list --json
    """
    entries = registry().entries()
    if as_json:
        show_json(entries)
        return
    for entry in entries:
        say(line(entry))
    if not entries:
        say("no models yet; `headrace train` makes one")


@command.command()
@click.argument("version_id")
@JSON
def show(version_id: str, as_json: bool) -> None:
    """Show all that training wrote down about VERSION_ID (name/version, or "champion").

    Example: headrace models show champion --json
    """
    models = registry()
    entry = models.find(version_id)
    manifest = models.manifest(entry)
    if as_json:
        show_json({"id": entry.id, "stage": entry.stage, "sha256": entry.sha256, "metrics": entry.metrics,
                "name": entry.name, "version": entry.version, "manifest": manifest})  # fmt: skip
        return
    say(line(entry))
    for key in (
        "thresholds",
        "data",
        "parameters",
        "definitions_hash",
        "git_commit",
        "lock_hash",
        "data_hash",
    ):
        say(f"  {key}: {manifest.get(key)}")
    for key, value in entry.metrics.items():
        if key != "reliability":
            say(f"  {key}: {value}")


@command.command()
@click.argument("version_id")
@click.option("--imported", is_flag=True, help="It was trained on what `headrace import` brought.")
@JSON
def reproduce(version_id: str, imported: bool, as_json: bool) -> None:
    """Train VERSION_ID again from what its manifest says; the bytes must be equal, or the exit code says so.

    Example: headrace models reproduce risk/0002-1a2b3c4d
    """
    from headrace.training_data import lake_of, profiles
    from inference.models.provenance import Provenance
    from inference.offline.training.reproduce import reproduce as train_again
    from runtime.environment import current_run

    run, models = current_run(), registry()
    entry, lake = models.find(version_id), lake_of(run, imported)
    found = train_again(entry.id, models.manifest(entry), lake, profiles(run, lake), Provenance.of())
    if as_json:
        show_json(found)
    else:
        for name, equal in found.files.items():
            say(f"{name:18} {'equal' if equal else 'DIFFERS'}")
        for name, (then, now) in found.inputs.items():
            say(f"  {name}: {then or '(none)'} then, {now or '(none)'} now")
    sys.exit(0 if found.equal else 1)


@command.command()
@click.argument("version_id")
@click.argument("other_id")
@click.option("--from", "from_ms", type=int, help="Judge events after this, epoch ms.")
@JSON
def compare(version_id: str, other_id: str, from_ms: int | None, as_json: bool) -> None:
    """Compare two versions on labelled events younger than both trainings.

    Example: headrace models compare risk/0002-1a2b3c4d champion
    """
    from features.project.running import project_of_process
    from headrace.training_data import profiles
    from inference.offline.lake.lake import Lake
    from inference.offline.training import compare as comparing
    from inference.offline.training import training_set
    from inference.release.promotion import side
    from runtime.environment import current_run

    run, models, project = current_run(), registry(), project_of_process()
    lake = Lake(run.lake, project)
    sides = [side(models, models.find(name), project) for name in (version_id, other_id)]
    data = training_set.build(lake, profiles(run, lake), training_set.newest_ms(lake))
    found = comparing.compare(data, sides[0], sides[1], from_ms)
    if as_json:
        show_json(found)
        return
    for name, figures in found.versions.items():
        say(f"{name}  average precision {figures['average_precision']:.4f}, AUC {figures['auc']:.4f}")
    for name, rows in found.learnt.items():
        if rows:
            warn(f"{name} has learnt {rows:,} of these events: its figures flatter it")
    low, high = found.gain["gain_95_percent"]
    say(f"gain {found.gain['gain']:+.4f} (95 %: {low:+.4f} to {high:+.4f}), {found.rows:,} events")


for released in (promote, rollback, retire, audit):
    command.add_command(released)
