"""Commands that change who is in service: promote, rollback, retire; and audit, which tells who did."""

import getpass
import sys
import time
from typing import Any

import click

from contracts.errors import ModelError
from headrace.printing import escaped, say, say_json

WHY = click.option("--why", default="", help="Reason, kept in the audit.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("version_id")
@click.option(
    "--to", type=click.Choice(["shadow", "canary", "champion"]), default="champion", show_default=True,
    help="The stage to move to.",
)  # fmt: skip
@click.option(
    "--share", "share_percent", type=click.FloatRange(0, 100, min_open=True), default=1.0, show_default=True,
    help="A canary's share of the keys, percent.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Pass by gates that do not hold; needs --why.")
@click.option("--dry-run", is_flag=True, help="Show what the gates say and change nothing.")
@WHY
@JSON
def promote(
    version_id: str, to: Any, share_percent: float, force: bool, dry_run: bool, why: str, as_json: bool
) -> None:
    """Move VERSION_ID to a stage when its gates hold; running scorers follow within a second.

    A shadow scores every event and decides none; a canary decides for a share of the keys and is
    withdrawn when its guardrails break; the champion decides the rest.

    \b
    Examples:
      headrace models promote risk/0002-1a2b3c4d --to shadow
      headrace models promote risk/0002-1a2b3c4d --to canary --share 5
      headrace models promote risk/0002-1a2b3c4d --force --why "the old one is known to be broken"
    """
    if force and not why:
        raise ModelError("E_GATE_FORCE", "gates are passed by without a reason", version_id, "give --why")
    gates = promoter()
    if dry_run:
        findings = gates.judge(version_id, to)
        if as_json:
            show_json(findings)
        else:
            _tell(findings)
        sys.exit(0 if all(finding.holds for finding in findings) else 6)
    entry, findings = gates.promote(version_id, to, change(why), share_percent=share_percent, force=force)
    if not as_json:
        _tell(findings)
    answer(entry, as_json)


@click.command()
@WHY
@JSON
def rollback(why: str, as_json: bool) -> None:
    """Let the champion before the present one decide again.

    Example: headrace models rollback --why "declines too many"
    """
    answer(registry().rollback(change(why)), as_json)


@click.command()
@click.argument("version_id")
@WHY
@JSON
def retire(version_id: str, why: str, as_json: bool) -> None:
    """Take VERSION_ID (name/version, or "canary") out of service: a shadow, a canary or a candidate.

    Example: headrace models retire canary --why "the campaign is over"
    """
    answer(registry().retire(version_id, change(why)), as_json)


@click.command()
@JSON
def audit(as_json: bool) -> None:
    """Show who changed the registry, when and why, oldest first.

    Example: headrace models audit --json
    """
    rows = registry().audit()
    if as_json:
        show_json(rows)
        return
    for row in rows:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row["at_ms"] / 1000))
        moved = f"  {row['from']} to {row['to']}" if row.get("to") else ""
        effect = "" if row["took_effect"] else "  (a crash came before it took effect)"
        why = f"  {row['why']}" if row["why"] else ""
        say(f"{moment}  {row['who']}  {row['action']}  {row['id']}{moved}{why}{effect}")


def registry(*, follow: bool = True) -> Any:
    """Return the run's registry.

    Args:
        follow: bring the models' folder up to date first where MLflow is the registry; without MLflow
            nothing is done, and a process that can wait for it does not ask.
    """
    from headrace import telemetry
    from inference.release.mirror import MirroredStore
    from inference.release.registry import Registry
    from inference.release.stores import store_of
    from runtime.environment import current_run, models_mlflow, models_secret

    models = current_run().models
    store = store_of(models, models_secret(), models_mlflow())
    if follow and isinstance(store, MirroredStore):
        telemetry.configure("models")  # what is logged goes to stderr, beside the answer
        store.mirror.follow()
    return Registry(models, store)


def promoter() -> Any:
    """Return what promotes the run's versions through their gates."""
    from headrace.training_data import lake_of
    from inference.release.live_evidence import FolderEvidence
    from inference.release.promotion import Promoter
    from inference.release.settings import ReleaseGateSettings
    from runtime.environment import current_run, settings_of

    run, gates = current_run(), settings_of(ReleaseGateSettings)
    evidence, lake = FolderEvidence(run.models), lake_of(run)
    return Promoter(lake.project, registry(), gates, evidence, _comparison(run, lake))


def change(why: str) -> Any:
    """Return who asks, now, and why."""
    from inference.release.registry import Change

    return Change(who=getpass.getuser(), at_ms=time.time_ns() // 1_000_000, why=why)


def answer(entry: Any, as_json: bool) -> None:
    """Print an entry."""
    if as_json:
        show_json(entry)
    else:
        say(line(entry))


def line(entry: Any) -> str:
    """Return an entry in one line."""
    precision = entry.metrics.get("average_precision")
    figure = f"average precision {precision:.4f}" if isinstance(precision, float) else "no figures"
    return f"{entry.id}  {entry.stage:<9}  {figure}"


def show_json(what: Any) -> None:
    """Print a result as JSON."""
    import msgspec

    say_json(msgspec.to_builtins(what))


def _tell(findings: list[Any]) -> None:
    for finding in findings:
        word = "REFUSED" if not finding.holds else "holds  " if finding.value is not None else "UNKNOWN"
        click.echo(escaped(f"  {word}  {finding}{f' ({finding.code})' if finding.code else ''}"), err=True)


def _comparison(run: Any, lake: Any) -> Any:
    """Return how two versions are compared on the lake's events, None where the lake has none."""
    from headrace.training_data import profiles
    from inference.offline.training import compare, training_set

    if not lake.has("features") or not lake.has("label_log"):
        return None

    def on_the_lake(one: Any, other: Any) -> Any:
        data = training_set.build(lake, profiles(run, lake), training_set.newest_ms(lake))
        return compare.compare(data, one, other)

    return on_the_lake
