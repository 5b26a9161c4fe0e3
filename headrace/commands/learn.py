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

    from prometheus_client import CollectorRegistry

    from headrace import environment, memory, stopping, telemetry
    from headrace.release_commands import registry as run_registry
    from headrace.training_process import ChildTrainer
    from inference.learner.metrics import LearnerMetrics
    from inference.learner.registry_models import RegistryModels
    from inference.learner.settings import LearnerSettings
    from inference.learner.worker import LearnerWorker
    from inference.release.settings import GateSettings

    run = environment.current_run()
    settings = environment.settings_of(LearnerSettings, folder=run.home / "learner")
    telemetry.configure("learn", settings.log_level)
    telemetry.log_settings(settings)
    is_stopping = stopping.on_signals()
    registry = CollectorRegistry()
    os.nice(10)  # where cores are few, decisions go first
    trainer = ChildTrainer(run.logs, settings.retrain.settle_s)
    models = RegistryModels(run_registry(follow=False), environment.settings_of(GateSettings))

    def ready() -> None:
        memory.settle()
        telemetry.serve_metrics(run, "learn", registry, settings.metrics_port)

    try:
        LearnerWorker(settings, LearnerMetrics(registry), trainer, models).run(
            is_stopping, ready, to_the_end=to_the_end
        )
    finally:
        trainer.close()
