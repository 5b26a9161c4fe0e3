"""`headrace review`: what people should look at, what it is made of, and what they found."""

from datetime import UTC, datetime
from typing import Any

import click

from headrace.groups import NearestGroup
from headrace.printing import say, say_json

EXAMPLE = """
\b
Examples:
  headrace review list --by score
  headrace review show 1763719200-2-10482
  headrace review decide 1763719200-2-10482 confirmed --who ana --why "the owner called"
"""
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
LAKE = click.option(
    "--lake", "from_lake", is_flag=True, help="Read the lake instead of Kafka; needs no server."
)
VERDICT = click.Choice(["confirmed", "false_positive", "valuable_alert"])


@click.group(name="review", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """List, show and decide the cases that wait for people."""


@command.command(name="list", epilog="Example: headrace review list --by age --limit 20 --json")
@click.option(
    "--by", type=click.Choice(["age", "score"]), default="age", show_default=True, help="What comes first."
)
@click.option("--all", "every", is_flag=True, help="Decided and disputed cases too.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@LAKE
@JSON
def list_cases(by: str, every: bool, limit: int, from_lake: bool, as_json: bool) -> None:
    """List open cases, one line each: those that wait longest, or score highest, first."""
    from inference.review.queue import now_ms, order

    cases = _cases(from_lake)
    clock = now_ms(cases)
    wanted = order([case for case in cases.values() if every or case.state == "open"], by)
    rows = [_row(case, clock) for case in wanted[:limit]]
    if as_json:
        say_json({"cases": rows, "of": len(wanted), "event_time": clock})
        return
    for row in rows:
        score = "     -" if row["score"] is None else f"{row['score']:.4f}"
        say(
            f"{row['case_id']:28} {row['state']:8} {score} {row['age_ms'] / 3_600_000:7.1f} h"
            f" {row['amount_minor'] or '-':>10} {row['why']:9} {row['decision']:9}"
            f" {', '.join(row['reasons'][:2])}"
        )
    say(f"{len(rows)} of {len(wanted)} cases" if wanted else "no case is open")


@command.command(epilog="Example: headrace review show 1763719200-2-10482 --json")
@click.argument("case_or_event_id")
@LAKE
@JSON
def show(case_or_event_id: str, from_lake: bool, as_json: bool) -> None:
    """Show one case: verdicts so far, and the decision explained as `headrace explain` does."""
    import msgspec

    from contracts.errors import StateError
    from features.project.running import project_of_process
    from headrace.commands.explain import lines
    from inference.offline.lake.lake import Lake
    from inference.offline.replay.explain import explain
    from inference.release.registry import Registry
    from inference.review.log import find
    from inference.review.queue import now_ms
    from runtime.environment import current_run

    cases = _cases(from_lake)
    case = find(cases, case_or_event_id)
    run = current_run()
    try:
        explained = msgspec.to_builtins(
            explain(Lake(run.lake, project_of_process()), Registry(run.models), case.opened.case_id)
        )  # fmt: skip
        why = ""
    except StateError as error:  # seconds old: the lake has not heard of it
        explained, why = None, str(error)
    row = _row(case, now_ms(cases)) | {"explained": explained, "explained_why": why}
    if as_json:
        say_json(row)
        return
    worth = "" if row["amount_minor"] is None else f", {row['amount_minor']} minor units"
    say(f"case {row['case_id']}: {row['state']}, opened by {row['why']}{worth}")
    for verdict in row["verdicts"]:
        say(f"  {verdict['verdict']} by {verdict['who']} at {_time(verdict['decided_at'])}: {verdict['why']}")
    say(*(lines(explained) if explained else [f"not explained: {why}"]))


@command.command(
    epilog='Example: headrace review decide 1763719200-2-10482 false_positive --who ana --why "called"'
)
@click.argument("case_or_event_id")
@click.argument("verdict", type=VERDICT, metavar="VERDICT")
@click.option("--who", required=True, help="The analyst.")
@click.option("--why", required=True, help="What the verdict rests on.")
@click.option(
    "--at", "at", default="", help="When it became known, RFC 3339 (default: the run's event time)."
)
@JSON
def decide(case_or_event_id: str, verdict: str, who: str, why: str, at: str, as_json: bool) -> None:
    """Give a verdict. It goes to `verdicts`, and as a label to the project's labels.

    VERDICT is confirmed, false_positive, or valuable_alert (no positive, and right to look at). Where a case
    does not say all that a label needs, none is sent, and the answer says what is missing.

    The same verdict again changes nothing; another analyst's is kept beside yours.
    """
    from features.project.running import project_of_process
    from inference.review.log import ReviewLog
    from runtime.environment import connections

    kafka, run = connections()
    at_ms = _epoch_ms(at) if at else None
    reviews = ReviewLog(kafka, run.topic_prefix, project_of_process())
    case, new, unlabelled = reviews.decide(case_or_event_id, verdict, who, why, at_ms)
    row = _row(case, case.verdicts[-1].decided_at) | {"new": new, "unlabelled": unlabelled}
    if as_json:
        say_json(row)
        return
    told = "noted" if new else "was noted before"
    say(f"{verdict} of {case.opened.case_id} by {who} {told}; the case is {case.state}")
    if unlabelled:
        say(f"no label was sent: {unlabelled}")


@command.command(epilog="Example: headrace review stats --json")
@LAKE
@JSON
def stats(from_lake: bool, as_json: bool) -> None:
    """Show how people keep up and agree: capacity, ageing, agreement, and what their verdicts were."""
    from features.project.running import project_of_process
    from inference.policy.policy import read_policy
    from inference.policy.settings import PolicySettings
    from inference.policy.store import place_of
    from inference.review.queue import figures
    from runtime.environment import current_run, settings_of

    run, project = current_run(), project_of_process()
    file = place_of(run.models, settings_of(PolicySettings).file, project)
    policy = read_policy(file, project).policy
    found = figures(_cases(from_lake), policy.review)
    if as_json:
        say_json(found)
        return
    for name, value in found.items():
        say(f"{name:24} {value}")


def _cases(from_lake: bool) -> Any:
    from features.project.running import project_of_process
    from inference.offline.lake.lake import Lake
    from inference.review.log import ReviewLog, cases_in
    from runtime.environment import connections, current_run

    project = project_of_process()
    if from_lake:
        return cases_in(Lake(current_run().lake, project))
    kafka, run = connections()
    return ReviewLog(kafka, run.topic_prefix, project).cases()


def _row(case: Any, clock_ms: int) -> dict[str, Any]:
    import msgspec

    opened = msgspec.to_builtins(case.opened)
    return {
        "score": None, "model": None, "amount_minor": None, **opened, "state": case.state,
        "age_ms": clock_ms - case.opened.event_time,
        "verdicts": [msgspec.to_builtins(verdict) for verdict in case.verdicts],
    }  # fmt: skip


def _epoch_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--at") from error
    if moment.tzinfo is None:
        raise click.BadParameter("has no offset from UTC", param_hint="--at")
    return round(moment.timestamp() * 1000)


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds")
