"""Keeps workers running: a process each, started again when a fault ended it, stopped in the stream's order.

A worker that meets a fault ends with an exit code of 70 to 79 and goes on from its last marker when it is
started again. Any other code is an answer that a restart would only repeat (a wrong setting, a model that is
refused), so it ends the supervisor too.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import msgspec

from contracts.errors import ClusterError
from headrace.last_words import last_words
from headrace.processes import Process, spawn
from headrace.run import Run

WORKERS: tuple[tuple[str, ...], ...] = (
    ("gate",), ("stream", "customer"), ("stream", "terminal"), ("score",), ("archive",),
)  # fmt: skip
LEARNER = ("learn",)  # beside them where it is asked for; one a run
MIRROR = ("mirror",)  # where MLflow is the registry
SLOTTED = (("score",),)  # kinds that number their workers themselves
RESTART_CODES = range(70, 80)
PAUSE_S, PAUSE_MAX_S = 0.2, 5.0
STEADY_S = 10.0  # a worker that ran as long starts with a clean record
RESTARTS_MAX = 20  # in a row, none of them steady: a fault that restarting does not cure
READY_TIMEOUT_S = 90.0
STOP_PATIENCE_S = 8.0


class Worker(msgspec.Struct):
    """One worker: its command, and what became of it so far. Times are of the monotonic clock."""

    name: str
    command: list[str]
    log: Path
    kind: tuple[str, ...] = ()
    process: Process | None = None
    started_s: float = 0.0
    start_again_s: float = 0.0
    in_a_row: int = 0
    restarts: int = 0
    asked_to_end: bool = False

    def ended(self, code: int, now_s: float) -> None:
        """Note an end that calls for a restart, after a pause that doubles."""
        self.process, self.asked_to_end = None, False
        self.in_a_row = 1 if now_s - self.started_s > STEADY_S else self.in_a_row + 1
        self.start_again_s = now_s + pause_s(self.in_a_row)


def numbered(kind: tuple[str, ...], number: int) -> str:
    """Return the name of the n-th worker of a kind, counted from 0.

    >>> numbered(("stream", "customer"), 0), numbered(("gate",), 2)
    ('stream-customer', 'gate-2')
    """
    return "-".join(kind) + (f"-{number}" if number else "")


def pause_s(in_a_row: int) -> float:
    """Return how long to wait before the n-th start in a row.

    >>> [pause_s(n) for n in (1, 2, 3, 9)]
    [0.2, 0.4, 0.8, 5.0]
    """
    return float(min(PAUSE_S * 2 ** (in_a_row - 1), PAUSE_MAX_S))


class Supervisor:
    """The workers of one run. Used from one thread: the kernel ends them when that thread ends.

    `check` is to be called every fraction of a second; nothing happens between the calls.
    """

    def __init__(
        self,
        run: Run,
        kinds: Sequence[tuple[str, ...]] = WORKERS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._run = run
        self._environment = {**os.environ, **(environment or {}), "HEADRACE_RUN": str(run.home)}
        for stale in run.ports.glob("*.json"):
            stale.unlink()
        self.workers: list[Worker] = []
        for kind in kinds:
            self.workers.append(self._worker(kind))

    def start(self) -> None:
        """Start every worker and wait until each serves its metrics, which it does when it is ready.

        Raises:
            ClusterError: E_WORKER_ENDED, E_WORKER_SLOW.
        """
        for worker in self.workers:
            self._spawn(worker)
        self.await_ready()

    def add(self, kind: tuple[str, ...]) -> Worker:
        """Start one more worker of a kind, without waiting for it; they share the partitions."""
        worker = self._worker(kind)
        self.workers.append(worker)
        self._spawn(worker)
        return worker

    def remove(self, worker: Worker) -> None:
        """Stop a worker and forget it; those that stay take its partitions over."""
        self._stop(worker)
        self.workers.remove(worker)

    def ask_to_end(self, worker: Worker) -> None:
        """Ask a worker to end in order, and start it again when it has: a rolling restart."""
        if worker.process is not None:
            worker.asked_to_end = True
            worker.process.signal(signal.SIGTERM)

    def of_kind(self, kind: tuple[str, ...]) -> list[Worker]:
        """Return the workers of a kind, in the order of their names."""
        return [worker for worker in self.workers if worker.kind == kind]

    def is_ready(self, worker: Worker) -> bool:
        """Return whether a worker runs and serves its metrics."""
        return self.metrics_port(worker) is not None

    def await_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until every worker is ready.

        Raises:
            ClusterError: E_WORKER_ENDED, E_WORKER_SLOW.
        """
        deadline_s = time.monotonic() + timeout_s
        while waiting := [worker for worker in self.workers if self.metrics_port(worker) is None]:
            self.check()
            if time.monotonic() > deadline_s:
                raise _failure(waiting[0], "E_WORKER_SLOW", f"was not ready after {timeout_s:.0f} s")
            time.sleep(0.05)

    def check(self) -> None:
        """Start workers again that a fault ended.

        Raises:
            ClusterError: E_WORKER_ENDED, a worker ended in a way that a restart does not cure.
        """
        now_s = time.monotonic()
        for worker in self.workers:
            if worker.process is None:
                if now_s >= worker.start_again_s:
                    worker.restarts += 1
                    self._spawn(worker)
            elif (code := worker.process.exit_code()) is not None:
                expected = worker.asked_to_end and code == 0
                worker.ended(code, now_s)
                if code >= 0 and code not in RESTART_CODES and not expected:
                    raise _failure(worker, "E_WORKER_ENDED", f"ended with exit code {code}")
                if worker.in_a_row > RESTARTS_MAX:
                    raise _failure(worker, "E_WORKER_ENDED", f"ended {RESTARTS_MAX} times in a row")

    def stop(self) -> None:
        """Stop the workers, first to last, so that each finishes what the one before sent."""
        for worker in self.workers:
            self._stop(worker)

    def metrics_port(self, worker: Worker) -> int | None:
        """Return where a worker serves its metrics; None while it is not ready."""
        if worker.process is None:
            return None
        noted = (msgspec.json.decode(path.read_bytes()) for path in self._run.ports.glob("*.json"))
        return next((note["port"] for note in noted if note["pid"] == worker.process.pid), None)

    @property
    def restarts(self) -> dict[str, int]:
        """How often each worker was started again; those that never were are left out."""
        return {worker.name: worker.restarts for worker in self.workers if worker.restarts}

    def pids(self) -> dict[str, int]:
        """Return the process ids of the workers that run."""
        return {worker.name: worker.process.pid for worker in self.workers if worker.process}

    def _worker(self, kind: tuple[str, ...]) -> Worker:
        """Return a worker that does not run yet; the first of a kind has its name, others a number too."""
        taken = {worker.name for worker in self.workers}
        number = next(n for n in count() if numbered(kind, n) not in taken)
        name, slot = numbered(kind, number), ["--slot", str(number)] if number and kind in SLOTTED else []
        command = [sys.executable, "-m", "headrace", *kind, *slot]
        return Worker(name, command, self._log(name), kind)

    def _spawn(self, worker: Worker) -> None:
        environment = {**self._environment, "HEADRACE_WORKER": worker.name}
        worker.process = spawn(worker.command, worker.log, environment, tethered=True)
        worker.started_s = time.monotonic()

    def _stop(self, worker: Worker) -> None:
        if worker.process is not None:
            worker.process.stop(STOP_PATIENCE_S)
            worker.process.exit_code()
            worker.process = None

    def _log(self, name: str) -> Path:
        return self._run.logs / f"{name}.log"


def _failure(worker: Worker, code: str, what: str) -> ClusterError:
    return ClusterError(
        code, f"the worker {worker.name} {what}; its last words:\n{last_words(worker.log)}", str(worker.log),
        "read the log, mend what it says, and start again",
    )  # fmt: skip
