"""`headrace policy`: check a decision policy, see what it would change, put it in force."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

EXAMPLE = """
\b
Examples:
  headrace policy check policy.yaml
  headrace policy dry-run policy.yaml --from 2018-05-01T00:00:00Z
  headrace policy thresholds --cards-a-day 50
  headrace policy activate policy.yaml
"""
FILE = click.argument("file", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
FROM = click.option("--from", "begin", default="", help="Payments from this event time on, RFC 3339.")
TO = click.option("--to", "end", default="", help="Payments before this event time, RFC 3339.")


@click.group(name="policy", epilog=EXAMPLE)
def command() -> None:
    """Check, try and put in force the policy that turns scores and rules into decisions."""


@command.command(epilog="Example: headrace policy check policy.yaml --json")
@FILE
@JSON
def check(file: Path, as_json: bool) -> None:
    """Read a policy file as the scorer would, and refuse it with a code if it would be refused."""
    import msgspec

    from inference.policy.policy import read_policy

    declared = read_policy(file)
    found = {"sha256": declared.sha256, "policy": msgspec.to_builtins(declared.policy)}
    if as_json:
        _print_json(found)
    else:
        policy = declared.policy
        click.echo(f"{policy.name} version {policy.version} may be put in force; sha256 {declared.sha256}")


@command.command(name="dry-run", epilog="Example: headrace policy dry-run policy.yaml --json")
@FILE
@FROM
@TO
@JSON
def dry_run(file: Path, begin: str, end: str, as_json: bool) -> None:
    """Decide the lake's payments by another policy and show what would change; no server needs to run.

    Scores are those that were recorded. Money is told of payments whose label is known.
    """
    import msgspec

    from headrace.environment import current_run
    from inference.clock import SystemClock
    from inference.lake.lake import Lake
    from inference.policy.policy import read_policy
    from inference.release.registry import Registry
    from inference.replay.dry_run import DryRunner

    run, declared = current_run(), read_policy(file)
    runner = DryRunner(Lake(run.lake), Registry(run.models), declared, SystemClock())
    found = msgspec.to_builtins(runner.run(_epoch_ms(begin, "--from"), _epoch_ms(end, "--to")))
    if as_json:
        _print_json(found)
    else:
        click.echo("\n".join(_lines(found)))


@command.command(epilog="Example: headrace policy thresholds --cards-a-day 50 --review-cost-minor 500 --json")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    help="Costs of this policy (default: the one in force).",
)
@click.option(
    "--cards-a-day", type=click.IntRange(min=0), help="How many payments people can look at in a day."
)
@click.option("--review-cost-minor", type=click.IntRange(min=0), help="What one look costs.")
@click.option("--decline-cost-minor", type=click.IntRange(min=0), help="What one wrong decline costs.")
@click.option(
    "--loss-share", type=click.FloatRange(0, 1), help="Share of a fraud's amount lost when approved."
)
@FROM
@TO
@JSON
def thresholds(
    file: Path | None, cards_a_day: int | None, review_cost_minor: int | None, decline_cost_minor: int | None,
    loss_share: float | None, begin: str, end: str, as_json: bool,
) -> None:  # fmt: skip
    """Choose the thresholds that would have cost least, within what people can look at.

    Made from the lake's scored payments with a label; no server needs to run.
    """
    import msgspec

    from headrace.environment import current_run
    from inference.lake.lake import Lake
    from inference.policy.threshold_choice import choose, of_lake

    run = current_run()
    named = {
        "cards_a_day": cards_a_day, "review_cost_minor": review_cost_minor,
        "decline_cost_minor": decline_cost_minor, "loss_share": loss_share,
    }  # fmt: skip
    given: Any = {name: value for name, value in named.items() if value is not None}
    terms = msgspec.structs.replace(_live(file).policy.review, **given)
    scored = of_lake(Lake(run.lake), _epoch_ms(begin, "--from"), _epoch_ms(end, "--to"))
    chosen = msgspec.to_builtins(choose(scored, terms)) | {"terms": msgspec.to_builtins(terms)}
    if as_json:
        _print_json(chosen)
        return
    click.echo(f"thresholds: {{review: {chosen['review']!r}, decline: {chosen['decline']!r}}}")
    click.echo(
        f"on {chosen['payments']:,} scored payments of {chosen['days']} days,"
        f" {chosen['labelled']:,} with a label:"
        f" {chosen['reviews_a_day']:.1f} reviews and {chosen['declines_a_day']:.1f} declines a day,"
        f" cost {chosen['cost_minor']:,.0f} minor units,"
        f" instead of {chosen['cost_of_approving_all_minor']:,.0f}"
    )


@command.command(epilog="Example: headrace policy activate policy.yaml")
@FILE
def activate(file: Path) -> None:
    """Put a policy in force on this run: scorers take it up within a second, or keep theirs if it is refused.

    It becomes policy.yaml beside the models. Scorers that HEADRACE_POLICY_FILE points elsewhere stay there.
    """
    from headrace.environment import current_run
    from inference.policy.policy import read_policy
    from inference.policy.store import POLICY_FILE, keep, write

    run, declared = current_run(), read_policy(file)
    keep(run.models, declared)
    write(run.models / POLICY_FILE, declared.data)
    click.echo(
        f"{declared.policy.name} version {declared.policy.version} is in force; sha256 {declared.sha256}"
    )


def _live(file: Path | None) -> Any:
    from headrace.environment import current_run, settings_of
    from inference.policy.policy import read_policy
    from inference.policy.settings import PolicySettings
    from inference.policy.store import place_of

    return read_policy(file or place_of(current_run().models, settings_of(PolicySettings).file))


def _lines(found: dict[str, Any]) -> list[str]:
    before, after = found["before"], found["after"]
    lines = [
        f"{found['moved']:,} of {found['payments']:,} payments of {found['days']} days"
        " would be decided otherwise"
    ]
    lines += map(_move, found["moves"])
    lines += [f"  {name:22} {before[name]} -> {after[name]}" for name in before]
    keeper = found["gatekeeper"]
    if keeper["mode"] != "disabled":
        lines.append(
            f"  gatekeeper ({keeper['mode']}): clears {keeper['payments']:,} ({keeper['share']:.1%}),"
            f" {keeper['otherwise']:,} of them were not approved"
        )
    for why, number in found["not_comparable"].items():
        lines.append(f"  not comparable: {number:,} ({why})")
    return lines


def _move(move: dict[str, Any]) -> str:
    ids = ", ".join(move["sample"][:2])
    return (
        f"  {move['before']} -> {move['after']} by {move['cause']}: {move['payments']:,}"
        f" ({move['frauds']:,} frauds of {move['fraud_amount_minor']:,} minor units,"
        f" {move['legitimate']:,} legitimate, {move['unknown']:,} unknown), as {ids}"
    )


def _epoch_ms(text: str, option: str) -> int | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _print_json(document: Any) -> None:
    import orjson

    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
