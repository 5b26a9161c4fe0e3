"""`headrace learn`: labels joined to the predictions they judge, and what follows."""

import click

EXAMPLE = """
\b
Examples:
  headrace learn
  headrace learn --to-the-end
  HEADRACE_RETRAIN_PROMOTE=policy HEADRACE_RETRAIN_COOLDOWN_DAYS=3 headrace learn
"""


@click.command(name="learn", epilog=EXAMPLE)
@click.option(
    "--to-the-end", is_flag=True, help="Stop when all that is in the log was read, after a last report."
)
def command(to_the_end: bool) -> None:
    """Report matured quality, fairness and the error's drift; start trainings when the policy says so.

    One a run: a second one takes over from the first. SIGTERM or Ctrl-C stops it. Exit code 70-79: start
    again.
    """
    import os

    from features.project.running import project_of_process
    from headrace.release_commands import registry as run_registry
    from headrace.training_process import ChildTrainer
    from headrace.worker import working
    from inference.learning.metrics import LearnerMetrics
    from inference.learning.registry_models import RegistryModels
    from inference.learning.settings import LearnerSettings
    from inference.learning.worker import LearnerWorker
    from inference.release.settings import ReleaseGateSettings
    from runtime import environment

    run, project = environment.current_run(), project_of_process()
    settings = environment.settings_of(LearnerSettings, folder=run.home / "learner")
    os.nice(10)  # where cores are few, decisions go first
    with working("learn", run, settings, guard="learn") as worker:
        trainer = ChildTrainer(run.logs, settings.retrain.settle_s)
        models = RegistryModels(
            project, run_registry(follow=False), environment.settings_of(ReleaseGateSettings)
        )
        try:
            learner = LearnerWorker(
                project, settings, LearnerMetrics(worker.registry), trainer, models, worker.health
            )
            learner.run(worker.is_stopping, worker.ready, to_the_end=to_the_end)
        finally:
            trainer.close()
