"""`headrace mirror`: the models' folder follows the registry in MLflow."""

import click

EXAMPLE = """
\b
Examples:
  headrace mirror
  headrace mirror --once
  HEADRACE_MODELS_MLFLOW=https://mlflow.example.org headrace mirror --adopt
"""


@click.command(name="mirror", epilog=EXAMPLE)
@click.option("--once", is_flag=True, help="Bring what is new and end.")
@click.option(
    "--adopt", is_flag=True, help="Take the folder's registry into an MLflow that has none, and end."
)
def command(once: bool, adopt: bool) -> None:
    """Bring versions and the release from MLflow (HEADRACE_MODELS_MLFLOW) into the folder that scorers read.

    One a folder; `headrace up` runs it where MLflow is the registry. While MLflow does not answer, the folder
    and the models in service stay as they are. SIGTERM or Ctrl-C stops it.
    """
    from contracts.errors import ConfigError
    from headrace import telemetry
    from headrace.worker import working
    from inference.release import mirror
    from inference.release.mlflow_store import MlflowStore
    from inference.release.registry_store import FolderStore
    from inference.release.settings import MirrorSettings
    from runtime import environment
    from runtime.watched import Watched

    run, settings = environment.current_run(), environment.settings_of(MirrorSettings)
    if not settings.models_mlflow:
        raise ConfigError(
            "E_CONFIG_MISSING", "no MLflow to mirror: the models' folder is the registry",
            str(settings.models), "set HEADRACE_MODELS_MLFLOW",
        )  # fmt: skip
    telemetry.configure("mirror", settings.log_level)
    store = MlflowStore(settings.models_mlflow, settings.models, settings.models_secret)
    if adopt:
        count = mirror.adopt(FolderStore(settings.models, settings.models_secret), store)
        click.echo(
            f"{count} versions and the release are in {settings.models_mlflow} now, which is the registry"
        )
        return
    follower = mirror.Mirror(store, settings.models)
    if once:
        click.echo(f"revision {follower.follow().revision} is in {settings.models}")
        return
    with working("mirror", run, settings) as worker:
        metrics = mirror.MirrorMetrics(worker.registry)
        watch = mirror.MirrorWatch(follower, metrics, Watched("mirror", worker.health, metrics.watch))
        worker.ready()
        watch.run(worker.is_stopping, settings.look_ms / 1000)
