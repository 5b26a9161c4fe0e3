"""The demo's workers: a process each, started again when one ends, stopped in the order of the stream."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ClusterError
from headrace.processes import Process, log_tail, reap, spawn
from headrace.run import Run

WORKERS: tuple[tuple[str, ...], ...] = (
    ("gate",), ("stream", "customer"), ("stream", "terminal"), ("score",), ("archive",),
)  # fmt: skip
READY_TIMEOUT_S = 90.0
STOP_PATIENCE_S = 10.0
STARTS_MAX = 6  # of one worker within START_WINDOW_S: more is a fault that restarting does not cure
START_WINDOW_S = 60.0


@dataclass(slots=True)
class Worker:
    """One worker and the moments at which it was started."""

    name: str
    command: list[str]
    log: Path
    process: Process
    starts_s: list[float]


class WorkerSet:
    """All workers of a run; to be used from one thread, which they die with."""

    def __init__(self, run: Run, kinds: Sequence[tuple[str, ...]]) -> None:
        self._run, self._kinds = run, kinds
        self.workers: list[Worker] = []
        self.restarts: dict[str, int] = {}

    def start(self) -> None:
        """Start every worker and wait until each serves its metrics, which it does when it is ready."""
        for kind in self._kinds:
            name = "-".join(kind)
            command = [sys.executable, "-m", "headrace", *kind]
            log = self._run.logs / f"{name}.log"
            self.workers.append(Worker(name, command, log, self._spawn(command, log), [time.monotonic()]))
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while waiting := [w for w in self.workers if not (self._run.ports / f"{w.name}.json").exists()]:
            self.check()
            if time.monotonic() > deadline_s:
                raise self._failure(waiting[0], f"was not ready after {READY_TIMEOUT_S:.0f} s")
            time.sleep(0.05)

    def check(self) -> None:
        """Start ended workers again.

        Raises:
            ClusterError: E_WORKER_ENDED, one ends again and again.
        """
        now_s = time.monotonic()
        for worker in self.workers:
            if worker.process.alive():
                continue
            reap(worker.process)
            worker.starts_s = [*(at for at in worker.starts_s if now_s - at < START_WINDOW_S), now_s]
            if len(worker.starts_s) > STARTS_MAX:
                raise self._failure(worker, f"ended {STARTS_MAX} times within a minute")
            self.restarts[worker.name] = self.restarts.get(worker.name, 0) + 1
            worker.process = self._spawn(worker.command, worker.log)

    def stop(self) -> None:
        """Stop the workers, first to last; what will not stop is ended."""
        while self.workers:
            worker = self.workers.pop(0)
            worker.process.stop(STOP_PATIENCE_S)
            reap(worker.process)

    def pids(self) -> dict[str, int]:
        """Return the process ids by worker."""
        return {worker.name: worker.process.pid for worker in self.workers}

    def _spawn(self, command: list[str], log: Path) -> Process:
        environment = {**os.environ, "HEADRACE_RUN": str(self._run.home)}
        return spawn(command, log, environment, tethered=True)

    def _failure(self, worker: Worker, what: str) -> ClusterError:
        return ClusterError(
            "E_WORKER_ENDED", f"the worker {worker.name} {what}; its last words:\n{log_tail(worker.log)}",
            str(worker.log), "read the log",
        )  # fmt: skip
