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
