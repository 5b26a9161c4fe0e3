"""`headrace score`: turn feature rows into decisions."""

import os

import click

EXAMPLE = """
\b
Examples:
  headrace score
  headrace score --slot 1
  HEADRACE_POLICY_FILE=policy.yaml headrace score
"""


@click.command(name="score", epilog=EXAMPLE)
@click.option(
    "--slot",
    type=click.IntRange(0, 999),
    help="Number of this worker (default: HEADRACE_SCORER_SLOT, or the lowest that no live worker has).",
)
def command(slot: int | None) -> None:
    """Score every accepted event once: champion model, rules, thresholds, reasons, drift.

    SIGTERM or Ctrl-C finishes the batch under way and stops. Exit code 70-79: start again.
    """
    from features.project.running import project_of_process
    from headrace.worker import working
    from inference.scorer.metrics import ScorerMetrics
    from inference.scorer.settings import ScorerSettings
    from inference.scorer.worker import ScorerWorker
    from runtime import environment, slots, standby

    standby.await_turn()
    run, project = environment.current_run(), project_of_process()
    if slot is None and environment.variable(ScorerSettings, "slot") in os.environ:
        slot = environment.settings_of(ScorerSettings).slot
    taken = slots.take(run.home / "slots", "score", slot)  # held until this process ends
    settings = environment.settings_of(ScorerSettings, slot=taken.number)
    with working(settings.worker, run, settings, guard="score") as worker:
        scorer = ScorerWorker(project, settings, ScorerMetrics(worker.registry, project), worker.health)
        scorer.run(worker.is_stopping, worker.ready)
