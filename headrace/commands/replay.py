"""`headrace replay`: compute decisions again from the log and compare them bit for bit."""

import sys
from typing import Any

import click

EXAMPLE = """
\b
Examples:
  headrace replay 1763719200-2-10482
  headrace replay --all 1000 --seed 1 --json
"""
EXIT_HOLES = 8  # nothing differs, and the run is known to have lost records


@click.command(name="replay", epilog=EXAMPLE)
@click.argument("ids", metavar="[PREDICTION_OR_EVENT_ID]...", nargs=-1)
@click.option("--all", "count", type=click.IntRange(min=1), help="So many predictions of the run, at random.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which ones --all draws.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(ids: tuple[str, ...], count: int | None, seed: int, as_json: bool) -> None:
    """Compute decisions again from the run's lake and registry; no server needs to run.

    Features come from the raw events in log order, score, rules, reasons and decision from the model and
    policy that the prediction names. Exit code 0: every bit is equal. 1: something differs, and is named. 8:
    nothing differs, but records of the run were lost, as somebody has accepted.
    """
    import msgspec
    import orjson

    from features.project.running import project_of_process
    from inference.offline.lake.known_losses import words
    from inference.offline.lake.lake import Lake
    from inference.offline.lake.sample import draw
    from inference.offline.replay.explain import predictions_of
    from inference.offline.replay.replay import Replay
    from inference.release.registry import Registry
    from runtime.environment import current_run

    if bool(ids) == (count is not None):
        raise click.UsageError("name predictions, or draw some by --all")
    run = current_run()
    lake = Lake(run.lake, project_of_process())
    records = [row["value"] for sought in ids for row in predictions_of(lake, sought)]
    if count is not None:
        records = draw(lake, "predictions", count, seed)
    outcomes = Replay(lake, Registry(run.models), run.epoch).run(records)
    differing = [msgspec.to_builtins(one) for one in outcomes if not one.equal]
    holes = words(lake)
    said = {
        "holes": holes,
        "replayed": len(outcomes),
        "equal": len(outcomes) - len(differing),
        "differing": differing,
    }
    if as_json:
        sys.stdout.write(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        click.echo("\n".join(_lines(said)))
    if differing or holes:
        raise SystemExit(1 if differing else EXIT_HOLES)


def _lines(said: dict[str, Any]) -> list[str]:
    lines = []
    for one in said["differing"]:
        lines.append(f"{one['prediction_id']} of {one['event_id']} differs")
        lines += [
            f"  {part['what']}: recorded {part['recorded']}, replayed {part['replayed']}"
            for part in one["differences"]
        ]
    lines += [f"HOLE {hole}" for hole in said["holes"]]
    return [*lines, f"{said['equal']:,} of {said['replayed']:,} predictions are equal in every bit"]
