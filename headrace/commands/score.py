"""`headrace score`: turn feature rows into decisions."""

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
    "--slot", type=click.IntRange(0, 999), help="Number of this worker; no two live workers share one."
)
def command(slot: int | None) -> None:
    """Score every accepted payment once: champion model, rules, thresholds, reasons, drift.

    SIGTERM or Ctrl-C finishes the transaction under way and stops. Exit code 70-79: start again.
    """
    from prometheus_client import CollectorRegistry

    from headrace import environment, memory, stopping, telemetry
    from inference.scorer.metrics import ScorerMetrics
    from inference.scorer.settings import ScorerSettings
    from inference.scorer.worker import ScorerWorker

    run = environment.current_run()
    settings = environment.settings_of(ScorerSettings, **({} if slot is None else {"slot": slot}))
    telemetry.configure(settings.worker, settings.log_level)
    telemetry.log_settings(settings)
    is_stopping = stopping.on_signals()
    registry = CollectorRegistry()

    def ready() -> None:
        memory.settle()
        telemetry.serve_metrics(run, settings.worker, registry, settings.metrics_port)

    ScorerWorker(settings, ScorerMetrics(registry)).run(is_stopping, ready)
