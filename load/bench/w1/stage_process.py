"""The customer stage's process with W1's entity: `headrace stream customer` in all else.

Run as `python -m load.bench.w1.stage_process [--json] [--windows N] [--profile FILE]`. With --profile the
main thread is profiled and SIGRTMIN writes what was found so far.
"""

import argparse
import cProfile
import os
import signal

from prometheus_client import CollectorRegistry

from headrace import memory, telemetry
from load.bench.w1.entity import stage
from load.bench.w1.growth import windows_of
from runtime import environment
from runtime.ending import incarnation
from streams.stage.definition import StageDefinition
from streams.stage.faust_app import StageProcess
from streams.stage.metrics import StageMetrics
from streams.stage.settings import StageSettings

WORKER = "stream-customer"


def main() -> None:
    """Run the worker until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--profile", default="")
    asked = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # until Faust takes over there is nothing to save
        signal.signal(number, lambda *_: os._exit(0))
    run = environment.current_run()
    settings = environment.settings_of(StageSettings, data_folder=run.home / "faust")
    telemetry.configure(WORKER, settings.log_level)
    registry = CollectorRegistry()
    made = stage(windows_of(asked.windows), json=asked.json)
    definition = StageDefinition.of(made, settings)
    with incarnation():
        process = StageProcess(definition, settings, StageMetrics(registry, definition.name))
        process.warm()
        memory.settle()
        if asked.profile:
            _profile(asked.profile)
        telemetry.serve_metrics(run, WORKER, registry, settings.metrics_port)
        process.run()


def _profile(path: str) -> None:
    profile = cProfile.Profile()
    signal.signal(signal.SIGRTMIN, lambda *_: profile.dump_stats(path))
    profile.enable()


if __name__ == "__main__":
    main()
