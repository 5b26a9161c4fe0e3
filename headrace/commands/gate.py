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
    """Check transactions and labels against their contracts: good ones go on, bad ones to the dead letters.

    SIGTERM or Ctrl-C finishes what was taken and stops. Exit code 70-79: start again.
    """
    from prometheus_client import CollectorRegistry

    from headrace import environment, memory, stopping, telemetry
    from streams.gate.metrics import GateMetrics
    from streams.gate.settings import GateSettings
    from streams.gate.worker import GateWorker

    run = environment.current_run()
    settings = environment.settings_of(GateSettings)
    telemetry.configure("gate", settings.log_level)
    telemetry.log_settings(settings)
    is_stopping = stopping.on_signals()
    registry = CollectorRegistry()
    worker = GateWorker(settings, GateMetrics(registry))
    memory.settle()
    telemetry.serve_metrics(run, "gate", registry, settings.metrics_port)
    worker.run(is_stopping)
