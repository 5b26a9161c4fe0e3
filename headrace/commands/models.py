"""`headrace models`: what was trained, which version decides, and how to change that."""

import getpass
import sys
import time
from typing import Any

import click

EXAMPLE = """
\b
Examples:
  headrace models list
  headrace models promote fraud/0002-1a2b3c4d --why "better on the last two weeks"
  headrace models rollback --why "declines too many"
"""
WHY = click.option("--why", default="", help="Reason, kept in the audit.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="models", epilog=EXAMPLE)
def command() -> None:
    """List, show, promote and roll back the run's models; no server needs to run."""


@command.command(name="list")
@JSON
def list_models(as_json: bool) -> None:
    """List every version with its stage and average precision.

    Example: headrace models list --json
    """
    entries = _registry().entries()
    if as_json:
        _print(entries)
        return
    for entry in entries:
        click.echo(_line(entry))
    if not entries:
        click.echo("no models yet; `headrace train` makes one")


@command.command()
@click.argument("version_id")
@JSON
def show(version_id: str, as_json: bool) -> None:
    """Show all that training wrote down about VERSION_ID (name/version, or "champion").

    Example: headrace models show champion --json
    """
    registry = _registry()
    entry = registry.find(version_id)
    manifest = registry.manifest(entry)
    if as_json:
        _print({"id": entry.id, "stage": entry.stage, "sha256": entry.sha256, "metrics": entry.metrics,
                "name": entry.name, "version": entry.version, "manifest": manifest})  # fmt: skip
        return
    click.echo(_line(entry))
    for key in (
        "thresholds",
        "data",
        "parameters",
        "definitions_hash",
        "git_commit",
        "lock_hash",
        "data_hash",
    ):
        click.echo(f"  {key}: {manifest.get(key)}")
    for key, value in entry.metrics.items():
        if key != "reliability":
            click.echo(f"  {key}: {value}")


@command.command()
@click.argument("version_id")
@WHY
@JSON
def promote(version_id: str, why: str, as_json: bool) -> None:
    """Let VERSION_ID decide; running scorers take it up within a second.

    Example: headrace models promote fraud/0002-1a2b3c4d
    """
    _answer(_registry().promote(version_id, _change(why)), as_json)


@command.command()
@WHY
@JSON
def rollback(why: str, as_json: bool) -> None:
    """Let the champion before the present one decide again.

    Example: headrace models rollback --why "declines too many"
    """
    _answer(_registry().rollback(_change(why)), as_json)


@command.command()
@click.argument("version_id")
@JSON
def reproduce(version_id: str, as_json: bool) -> None:
    """Train VERSION_ID again from what its manifest says; the bytes must be equal, or the exit code says so.

    Example: headrace models reproduce fraud/0002-1a2b3c4d
    """
    from headrace.environment import current_run
    from headrace.training_data import profiles
    from inference.lake import Lake
    from inference.provenance import Provenance
    from inference.reproduce import reproduce as train_again

    run, registry = current_run(), _registry()
    entry, lake = registry.find(version_id), Lake(current_run().lake)
    found = train_again(entry.id, registry.manifest(entry), lake, profiles(run.home, lake), Provenance.of())
    if as_json:
        _print(found)
    else:
        for name, equal in found.files.items():
            click.echo(f"{name:18} {'equal' if equal else 'DIFFERS'}")
        for name, (then, now) in found.inputs.items():
            click.echo(f"  {name}: {then or '(none)'} then, {now or '(none)'} now")
    sys.exit(0 if found.equal else 1)


@command.command()
@click.argument("version_id")
@click.argument("other_id")
@click.option("--from", "from_ms", type=int, help="Judge payments after this, epoch ms.")
@JSON
def compare(version_id: str, other_id: str, from_ms: int | None, as_json: bool) -> None:
    """Compare two versions on labelled payments younger than both trainings.

    Example: headrace models compare fraud/0002-1a2b3c4d champion
    """
    from headrace.environment import current_run
    from headrace.training_data import profiles
    from inference import compare as comparing
    from inference import training_set
    from inference.lake import Lake

    run, registry = current_run(), _registry()
    lake = Lake(run.lake)
    sides = [_side(registry, name) for name in (version_id, other_id)]
    data = training_set.build(lake, profiles(run.home, lake), training_set.newest_ms(lake))
    found = comparing.compare(data, sides[0], sides[1], from_ms)
    if as_json:
        _print(found)
        return
    for name, figures in found.versions.items():
        click.echo(f"{name}  average precision {figures['average_precision']:.4f}, AUC {figures['auc']:.4f}")
    low, high = found.gain["gain_95_percent"]
    click.echo(f"gain {found.gain['gain']:+.4f} (95 %: {low:+.4f} to {high:+.4f}), {found.rows:,} payments")


def _side(registry: Any, version_id: str) -> Any:
    from inference.champion import Definitions, load_champion
    from inference.compare import Side
    from inference.manifest import Champion

    entry = registry.find(version_id)
    manifest = registry.manifest(entry)
    pointer = Champion(name=entry.name, version=entry.version, sha256=entry.sha256)
    meant = Definitions(manifest["definitions_hash"], tuple(manifest["features"]))
    return Side(id=entry.id, model=load_champion(registry.models, pointer, meant), manifest=manifest)


def _registry() -> Any:
    from headrace.environment import current_run
    from inference.registry import Registry

    return Registry(current_run().models)


def _change(why: str) -> Any:
    from inference.registry import Change

    return Change(who=getpass.getuser(), at_ms=time.time_ns() // 1_000_000, why=why)


def _line(entry: Any) -> str:
    precision = entry.metrics.get("average_precision")
    figure = f"average precision {precision:.4f}" if isinstance(precision, float) else "no figures"
    return f"{entry.id}  {entry.stage:<9}  {figure}"


def _answer(entry: Any, as_json: bool) -> None:
    if as_json:
        _print(entry)
    else:
        click.echo(_line(entry))


def _print(what: Any) -> None:
    import msgspec
    import orjson

    text = orjson.dumps(msgspec.to_builtins(what), option=orjson.OPT_INDENT_2)
    sys.stdout.write(text.decode() + "\n")
