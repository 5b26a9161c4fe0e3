"""`headrace stream customer|terminal`: a Faust worker that keeps one entity's windows."""

import click

EXAMPLE = """
\b
Examples:
  headrace stream customer
  headrace stream terminal
  HEADRACE_STAGE_CHECKPOINT_INTERVAL_MS=500 headrace stream customer
"""


@click.command(name="stream", epilog=EXAMPLE)
@click.argument("stage", type=click.Choice(["customer", "terminal"]))
def command(stage: str) -> None:
    """Keep the windows of customers or terminals: features to the next topic and to the online store.

    Several workers of one stage share its partitions. SIGTERM or Ctrl-C commits a last checkpoint and
    stops within 5 s. Exit code 70-79: start again, it goes on from its marker.
    """
    import os
    import signal
    from typing import cast

    for number in (signal.SIGTERM, signal.SIGINT):  # until Faust takes over there is nothing to save
        signal.signal(number, lambda *_: os._exit(0))

    from prometheus_client import CollectorRegistry

    from contracts.meaning import note
    from features.meaning import meaning_of
    from features.service_meaning import service_meaning
    from headrace import environment, memory, telemetry
    from inference.lake.seed_note import finished_seed
    from streams.stage.definition import StageDefinition, StageName
    from streams.stage.faust_app import StageProcess
    from streams.stage.metrics import StageMetrics
    from streams.stage.settings import StageSettings

    run = environment.current_run()
    finished_seed(run.lake)  # one that some partitions may have and others not stops the stage
    settings = environment.settings_of(StageSettings, data_folder=run.home / "faust")
    worker = f"stream-{stage}"
    telemetry.configure(worker, settings.log_level)
    telemetry.log_settings(settings)
    registry = CollectorRegistry()
    definition = StageDefinition.of(cast(StageName, stage), settings)
    process = StageProcess(definition, settings, StageMetrics(registry, stage))
    for meaning in (meaning_of(definition.entity), service_meaning()):
        note(run.lake, meaning)
    process.warm()
    memory.settle()
    telemetry.serve_metrics(run, worker, registry, settings.metrics_port)
    process.run()
