"""`headrace gate`: judge what producers publish."""

import click

EXAMPLE = """
\b
Examples:
  headrace gate
  HEADRACE_GATE_GATHER_MS=2 headrace gate
"""


@click.command(name="gate", epilog=EXAMPLE)
def command() -> None:
    """Check the sources' records against their contracts: good ones go on, bad ones to the dead letters.

    SIGTERM or Ctrl-C finishes what was taken and stops. Exit code 70-79: start again.
    """
    from features.project.running import project_of_process
    from headrace.worker import working
    from runtime import environment, slots, standby
    from runtime.personal_keys import keys_for
    from streams.gate.metrics import GateMetrics
    from streams.gate.settings import GateSettings
    from streams.gate.worker import GateWorker

    standby.await_turn()
    run = environment.current_run()
    settings = slots.with_member(environment.settings_of(GateSettings), run.home / "slots", "gate")
    with working("gate", run, settings, guard="gate") as worker:
        pipeline = project_of_process().pipeline
        keys = keys_for(pipeline, run)
        gate = GateWorker(pipeline, settings, GateMetrics(worker.registry), worker.health, keys)
        worker.ready()
        gate.run(worker.is_stopping)
