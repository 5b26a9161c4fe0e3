"""`headrace policy`: check a decision policy, see what it would change, put it in force."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from headrace.groups import NearestGroup
from headrace.printing import say, say_json
from headrace.release_commands import WHY, change

EXAMPLE = """
\b
Examples:
  headrace policy check policy.yaml
  headrace policy dry-run policy.yaml --from 2018-05-01T00:00:00Z
  headrace policy thresholds --cases-a-day 50
  headrace policy activate policy.yaml --why "fewer reviews at night"
  headrace policy rollback --why "too many reviews"
"""
FILE = click.argument("file", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
FROM = click.option("--from", "begin", default="", help="Events from this event time on, RFC 3339.")
TO = click.option("--to", "end", default="", help="Events before this event time, RFC 3339.")


@click.group(name="policy", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """Check, try and put in force the policy that turns scores and rules into decisions."""


@command.command(epilog="Example: headrace policy check policy.yaml --json")
@FILE
@JSON
def check(file: Path, as_json: bool) -> None:
    """Read a policy file as the scorer would, and refuse it with a code if it would be refused."""
    import msgspec

    from features.project.running import project_of_process
    from inference.policy.policy import read_policy

    project = project_of_process()
    declared = read_policy(file, project)
    found = {"sha256": declared.sha256, "policy": msgspec.to_builtins(declared.policy)}
    if as_json:
        say_json(found)
    else:
        policy = declared.policy
        say(f"{policy.name} version {policy.version} may be put in force; sha256 {declared.sha256}")
        say(*_rules(policy, project))


@command.command(name="dry-run", epilog="Example: headrace policy dry-run policy.yaml --json")
@FILE
@FROM
@TO
@JSON
def dry_run(file: Path, begin: str, end: str, as_json: bool) -> None:
    """Decide the lake's events by another policy and show what would change; no server needs to run.

    Scores are those that were recorded. Money is told of events whose label is known.
    """
    import msgspec

    from features.project.running import project_of_process
    from inference.offline.lake.lake import Lake
    from inference.offline.replay.dry_run import DryRunner
    from inference.policy.policy import read_policy
    from inference.release.registry import Registry
    from runtime.clock import SystemClock
    from runtime.environment import current_run

    run, project = current_run(), project_of_process()
    declared = read_policy(file, project)
    runner = DryRunner(Lake(run.lake, project), Registry(run.models), declared, SystemClock())
    found = msgspec.to_builtins(runner.run(_epoch_ms(begin, "--from"), _epoch_ms(end, "--to")))
    if as_json:
        say_json(found)
    else:
        say(*_lines(found))


@command.command(epilog="Example: headrace policy thresholds --cases-a-day 50 --review-cost-minor 500 --json")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    help="Costs of this policy (default: the one in force).",
)
@click.option(
    "--cases-a-day", type=click.IntRange(min=0), help="How many events people can look at in a day."
)
@click.option("--review-cost-minor", type=click.IntRange(min=0), help="What one look costs.")
@click.option("--decline-cost-minor", type=click.IntRange(min=0), help="What one wrong decline costs.")
@click.option(
    "--loss-share", type=click.FloatRange(0, 1), help="Share of a positive's amount lost when approved."
)
@FROM
@TO
@JSON
def thresholds(
    file: Path | None, cases_a_day: int | None, review_cost_minor: int | None, decline_cost_minor: int | None,
    loss_share: float | None, begin: str, end: str, as_json: bool,
) -> None:  # fmt: skip
    """Choose the thresholds that would have cost least, within what people can look at.

    Made from the lake's scored events with a label; no server needs to run.
    """
    import msgspec

    from features.project.running import project_of_process
    from inference.offline.lake.lake import Lake
    from inference.policy.threshold_choice import choose, of_lake
    from runtime.environment import current_run

    run, project = current_run(), project_of_process()
    named = {
        "cases_a_day": cases_a_day, "review_cost_minor": review_cost_minor,
        "decline_cost_minor": decline_cost_minor, "loss_share": loss_share,
    }  # fmt: skip
    given: Any = {name: value for name, value in named.items() if value is not None}
    terms = msgspec.structs.replace(_live(file, project).policy.review, **given)
    scored = of_lake(Lake(run.lake, project), _epoch_ms(begin, "--from"), _epoch_ms(end, "--to"))
    chosen = msgspec.to_builtins(choose(scored, terms)) | {"terms": msgspec.to_builtins(terms)}
    if as_json:
        say_json(chosen)
        return
    queue, stop = (
        next(iter(sorted(names)), "") for names in (project.decisions.queue, project.decisions.stops)
    )
    say(f"thresholds: {{{queue}: {chosen['review']!r}, {stop}: {chosen['decline']!r}}}")
    say(
        f"on {chosen['events']:,} scored events of {chosen['days']} days,"
        f" {chosen['labelled']:,} with a label, which alone count:"
        f" {chosen['reviews_a_day']:.1f} reviews and {chosen['declines_a_day']:.1f} declines a day,"
        f" cost {chosen['cost_minor']:,.0f} minor units,"
        f" instead of {chosen['cost_of_approving_all_minor']:,.0f};"
        f" of all, labelled or not, {chosen['reviews_of_all']:.2%} reviewed"
        f" and {chosen['declines_of_all']:.2%} declined"
    )


@command.command(epilog='Example: headrace policy activate policy.yaml --why "fewer reviews at night"')
@FILE
@WHY
@JSON
def activate(file: Path, why: str, as_json: bool) -> None:
    """Put a policy in force on this run: scorers take it up within a second, or keep theirs if it is refused.

    It becomes policy.yaml beside the models. Scorers that HEADRACE_POLICY_FILE points elsewhere stay there.
    Who did it, when and why is kept; see `headrace policy show`.
    """
    from features.project.running import project_of_process
    from inference.policy import activation
    from inference.policy.policy import read_policy
    from runtime.environment import current_run

    project = project_of_process()
    declared = read_policy(file, project)
    _in_force(activation.activate(current_run().models, declared, change(why), project), as_json)


@command.command(epilog='Example: headrace policy rollback --why "too many reviews"')
@WHY
@JSON
def rollback(why: str, as_json: bool) -> None:
    """Put the policy in force again that was before the present one."""
    from features.project.running import project_of_process
    from inference.policy import activation
    from runtime.environment import current_run

    project = project_of_process()
    _in_force(activation.rollback(current_run().models, change(why), project), as_json)


@command.command(epilog="Example: headrace policy show --json")
@JSON
def show(as_json: bool) -> None:
    """Show the policy in force on this run, and who put which one in force, when and why."""
    import msgspec

    from features.project.running import project_of_process
    from inference.policy import activation
    from runtime.environment import current_run

    project = project_of_process()
    declared, rows = _live(None, project), activation.audit(current_run().models)
    if as_json:
        found = {"sha256": declared.sha256, "where": declared.where}
        say_json(found | {"policy": msgspec.to_builtins(declared.policy), "audit": msgspec.to_builtins(rows)})
        return
    policy = declared.policy
    say(f"{policy.name} version {policy.version}; sha256 {declared.sha256}; {declared.where}")
    say(*_rules(policy, project))
    for row in rows:
        moment = datetime.fromtimestamp(row.at_ms / 1000, UTC).isoformat(timespec="seconds")
        say(f"  {moment}  {row.who}  {row.action}  {row.name} {row.version} {row.sha256[:16]}  {row.why}")
    if rows and rows[-1].sha256 != declared.sha256:
        say("  the policy in force is not the one of the last line: its file was changed by hand")


def _in_force(row: Any, as_json: bool) -> None:
    import msgspec

    if as_json:
        say_json(msgspec.to_builtins(row))
        return
    say(f"{row.name} version {row.version} is in force; sha256 {row.sha256}")


def _live(file: Path | None, project: Any) -> Any:
    from inference.policy.policy import read_policy
    from inference.policy.settings import PolicySettings
    from inference.policy.store import place_of
    from runtime.environment import current_run, settings_of

    named = settings_of(PolicySettings).file
    return read_policy(file or place_of(current_run().models, named, project), project)


def _rules(policy: Any, project: Any) -> list[str]:
    """Return a line a rule that is asked: what it asks for, and when."""
    from features.expressions import describe
    from inference.policy.rules import declared_rules

    names = project.decisions.names
    found = declared_rules(policy.rules, project)
    return [f"  {rule.id}: {names[rule.severity]} when {describe(rule.condition)}" for rule in found]


def _lines(found: dict[str, Any]) -> list[str]:
    before, after = found["before"], found["after"]
    lines = [
        f"{found['moved']:,} of {found['events']:,} events of {found['days']} days would be decided otherwise"
    ]
    lines += map(_move, found["moves"])
    lines += [f"  {name:22} {before[name]} -> {after[name]}" for name in before]
    keeper = found["gatekeeper"]
    if keeper["mode"] != "disabled":
        lines.append(
            f"  gatekeeper ({keeper['mode']}): clears {keeper['events']:,} ({keeper['share']:.1%}),"
            f" {keeper['otherwise']:,} of them were not approved"
        )
    for why, number in found["not_comparable"].items():
        lines.append(f"  not comparable: {number:,} ({why})")
    return lines


def _move(move: dict[str, Any]) -> str:
    ids = ", ".join(move["sample"][:2])
    return (
        f"  {move['before']} -> {move['after']} by {move['cause']}: {move['events']:,}"
        f" ({move['positives']:,} positives of {move['positive_amount_minor']:,} minor units,"
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
