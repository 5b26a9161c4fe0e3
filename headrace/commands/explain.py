"""`headrace explain`: one decision with everything it was made of."""

import sys
from datetime import UTC, datetime
from typing import Any

import click

EXAMPLE = """
\b
Examples:
  headrace explain 1763719200-2-10482
  headrace explain t872001 --json
"""
TOP = 8


@click.command(name="explain", epilog=EXAMPLE)
@click.argument("prediction_or_transaction_id")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(prediction_or_transaction_id: str, as_json: bool) -> None:
    """Explain the decision on a payment, from the run's lake and registry; no server needs to run.

    Personal fields are masked.
    """
    import msgspec
    import orjson

    from headrace.environment import current_run
    from inference.lake.lake import Lake
    from inference.release.registry import Registry
    from inference.replay.explain import explain

    run = current_run()
    found = msgspec.to_builtins(explain(Lake(run.lake), Registry(run.models), prediction_or_transaction_id))
    if as_json:
        sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        click.echo("\n".join(lines(found)))


def lines(found: dict[str, Any]) -> list[str]:
    """Return an explanation for people."""
    said = found["prediction"]
    score = f"score {said['score']:.4f}" if said.get("score") is not None else "not scored"
    lines = [
        f"{said['decision'].upper()} by {said['decided_by']}, {score} ({said['risk_band']})",
        f"  prediction {said['prediction_id']} of transaction {said['transaction_id']}",
        f"  payment    {_time(said['event_time'])}",
        f"  keys       customer {said['customer_id']}, terminal {said['terminal_id']}",
        f"  place      {said['source']['topic']}/{said['source']['partition']}@{said['source']['offset']}",
    ]
    if found["payment"]:
        lines.append(f"  raw event  {found['payment']}")
    lines += [
        f"  label      {row['label']} from {row['source']}, known {_time(row['label_time'])}"
        for row in found["labels"]
    ]
    if said["degraded"]:
        lines.append(f"  degraded   {', '.join(said['degraded_why'])}")
    policy = found["policy"]
    if policy:
        lines.append(
            f"policy: {policy['name']} v{policy['version']}, {policy['sha256'][:16]}; rung {said['rung']}"
        )
    lines += _model(found)
    lines += ["reasons"] * bool(said["reasons"])
    lines += [f"  {reason['code']}: {reason['text']}" for reason in said["reasons"]]
    hits = [rule for rule in said["rules"] if rule["outcome"] != "no_hit"]
    lines.append(f"rules: {len(said['rules'])} asked, {len(hits)} answered other than no_hit")
    lines += [f"  {rule['id']} v{rule['version']}: {rule['outcome']}" for rule in hits]
    return lines + _features(found) + _otherwise(found)


def _otherwise(found: dict[str, Any]) -> list[str]:
    """Say what would have decided otherwise."""
    other = found["counterfactual"]
    if other is None:
        return [
            f"what would have decided otherwise: not to be told ({found['policy_why'] or found['model_why']})"
        ]
    if not other["changes"]:
        return [f"what would have decided otherwise: {other['why']}"]
    score = "" if other["score"] is None else f", score {other['score']:.4f}"
    lines = [f"would have been {other['decision'].upper()}{score} with"]
    for change in other["changes"]:
        value = "null" if change["value"] is None else f"{change['value']:.6g}"
        lines.append(f"  {change['feature']} = {change['other']:.6g} instead of {value}")
    return lines


def _model(found: dict[str, Any]) -> list[str]:
    if found["model"] is None:
        return [f"model: none ({found['model_why']})"]
    review, decline = (found["model"]["thresholds"][name] for name in ("review", "decline"))
    return [f"model: {found['model']['id']}, review from {review:.4f}, decline from {decline:.4f}"]


def _features(found: dict[str, Any]) -> list[str]:
    rows = found["features"]
    scored = found["base"] is not None
    if scored:
        rows = sorted(rows, key=lambda row: -abs(row["contribution"]))
        title = (
            f"first {TOP} of {len(rows)} features by what they added to the log-odds of {found['base']:+.3f}"
        )
        rows = rows[:TOP]
    else:
        title = f"features ({len(rows)})"
    lines = [title]
    for row in rows:
        value = "null" if row["value"] is None else f"{row['value']:.6g}"
        added = f"{row['contribution']:+.3f}  " if scored else ""
        state = f" ({row['group']}: {row['status']})" if row["status"] else f" ({row['group']})"
        lines.append(f"  {added}{row['name']} = {value}{state}")
    return lines


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds")
