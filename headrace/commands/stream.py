"""`headrace stream ENTITY`: a Faust worker that keeps one entity's windows."""

import click

from headrace.params import ENTITY

EXAMPLE = """
\b
Examples:
  headrace stream account
  HEADRACE_STAGE_CHECKPOINT_INTERVAL_MS=500 headrace stream account
"""


@click.command(name="stream", epilog=EXAMPLE)
@click.argument("stage", metavar="ENTITY", type=ENTITY)
def command(stage: str) -> None:
    """Keep the windows of ENTITY: features to the next topic and to the online store.

    Several workers of one stage share its partitions. SIGTERM or Ctrl-C commits a last checkpoint and
    stops within 5 s. Exit code 70-79: start again, it goes on from its marker.
    """
    import os
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):  # until Faust takes over there is nothing to save
        signal.signal(number, lambda *_: os._exit(0))

    from features.meaning import meaning_of
    from features.project.running import project_of_process
    from features.service_meaning import service_meaning
    from headrace.worker import working
    from inference.offline.lake.seed_note import finished_seed
    from runtime import environment, slots, standby
    from runtime.meaning_note import note
    from streams.stage.definition import StageDefinition, stage_of
    from streams.stage.faust_app import StageProcess
    from streams.stage.metrics import StageMetrics
    from streams.stage.settings import StageSettings
    from streams.stage.warm_up import warm_up

    run = environment.current_run()
    name = f"stream-{stage}"
    settings = environment.settings_of(StageSettings, data_folder=run.home / "faust")
    project = project_of_process()
    definition = StageDefinition.of(stage_of(project, stage), settings)
    if standby.is_spare():
        warm_up(definition)
        standby.await_turn()
    finished_seed(run.lake)  # one that some partitions may have and others not stops the stage
    settings = slots.with_member(settings, run.home / "slots", name)
    for meaning in (meaning_of(definition.entity), service_meaning(project)):
        note(run.lake, meaning)
    with working(name, run, settings, guard=name, own_signals=True) as worker:
        process = StageProcess(definition, settings, StageMetrics(worker.registry, stage), worker.health)
        process.warm()
        worker.ready()
        process.run()
