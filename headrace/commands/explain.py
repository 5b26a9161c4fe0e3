"""`headrace explain`: one decision with everything it was made of."""

from datetime import UTC, datetime
from typing import Any

import click

from headrace.printing import say, say_json

EXAMPLE = """
\b
Examples:
  headrace explain 1763719200-2-10482
  headrace explain t872001 --json
"""
TOP = 8
OTHERS_SHOWN = 10


@click.command(name="explain", epilog=EXAMPLE)
@click.argument("prediction_or_event_id")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(prediction_or_event_id: str, as_json: bool) -> None:
    """Explain the decision on an event, from the run's lake and registry; no server needs to run.

    Of several decisions on one event id the newest is explained, and the others are named with the
    prediction_id by which to ask for each. Personal fields are masked.
    """
    import msgspec

    from features.project.running import project_of_process
    from inference.offline.lake.known_losses import words
    from inference.offline.lake.lake import Lake
    from inference.offline.replay.explain import explain
    from inference.release.registry import Registry
    from runtime.environment import current_run

    run = current_run()
    lake = Lake(run.lake, project_of_process())
    found = msgspec.to_builtins(explain(lake, Registry(run.models), prediction_or_event_id))
    if as_json:
        found["holes"] = words(lake)
        say_json(found)
    else:
        say(*lines(found))
        say(*(f"HOLE in what the run read: {hole}" for hole in words(lake)))


def lines(found: dict[str, Any]) -> list[str]:
    """Return an explanation for people."""
    said = found["prediction"]
    score = f"score {said['score']:.4f}" if said.get("score") is not None else "not scored"
    lines = [
        f"{said['decision'].upper()} by {said['decided_by']}, {score} ({said['risk_band']})",
        f"  prediction {said['prediction_id']} of event {said['event_id']}",
        f"  event      {_time(said['event_time'])}",
        f"  keys       {_keys(said)}",
        f"  place      {said['source']['topic']}/{said['source']['partition']}@{said['source']['offset']}",
    ]
    if found["event"]:
        lines.append(f"  raw event  {found['event']}")
    lines += [f"  label      {_label(row)}, known {_time(row['known_ms'])}" for row in found["labels"]]
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
    return lines + _features(found) + _otherwise(found) + _others(found)


def _others(found: dict[str, Any]) -> list[str]:
    """Name the other decisions on the event id, each as the command that explains it."""
    said, others = found["prediction"], found["others"]
    if not others:
        return []
    which = "newest" if all(said["scored_at"] >= other["scored_at"] for other in others) else "one asked for"
    title = f"{len(others):,} more with event id {said['event_id']}; above is the {which}"
    lines = [title + (f"; the newest {OTHERS_SHOWN} of them:" if len(others) > OTHERS_SHOWN else ":")]
    for other in others[:OTHERS_SHOWN]:
        who = "the same keys" if other["keys"] == said["keys"] else _keys(other)
        when = _time(other["event_time"])
        lines.append(f"  headrace explain {other['prediction_id']}  {other['decision']}, {who}, {when}")
    return lines


def _label(row: dict[str, Any]) -> str:
    own = ", ".join(f"{name} {value}" for name, value in row.items() if name not in ("positive", "known_ms"))
    return f"{'positive' if row['positive'] else 'not positive'}{' (' + own + ')' if own else ''}"


def _keys(said: dict[str, Any]) -> str:
    return ", ".join(f"{entity} {key or 'without'}" for entity, key in said["keys"].items())


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
    limits = ", ".join(f"{name} from {limit:.4f}" for name, limit in found["model"]["thresholds"].items())
    lines = [f"model: {found['model']['id']}, {limits}"]
    unmet = found["model"]["nulls_never_met"]
    if unmet:
        lines.append(f"  null here and never in training, so taken as most events are: {', '.join(unmet)}")
    return lines


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
