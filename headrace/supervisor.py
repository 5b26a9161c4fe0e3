"""Keeps workers running: a process each, started again whatever it ended with, stopped in the stream's order.

A worker that meets a fault ends with an exit code of 70 to 79 and goes on from its last marker when it is
started again, soon. Any other code is an answer that a restart would only repeat until somebody has changed
something (a wrong setting, a model that is refused, a full disk), so the pauses grow to a minute. The others
go on meanwhile. Who would rather end with such a worker asks `check`; who keeps the rest running, `look`.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec

from contracts.errors import ClusterError
from features.project.running import project_of_process
from headrace import log_files
from headrace.last_end import LastEnd, last_end
from headrace.last_words import last_words
from headrace.processes import Process, spawn
from runtime import launch
from runtime.ending import END_NOTE
from runtime.run import Run
from runtime.standby import STANDBY

LEARNER = ("learn",)  # beside them where it is asked for; one a run
MIRROR = ("mirror",)  # where MLflow is the registry
SLOTTED = (("score",),)  # kinds that number their workers themselves
SPARED = ("gate", "stream", "score")  # decisions wait for these
SPARE_DELAY_S = 1.0  # after a worker is ready: it catches up first
PAUSE_S, FAULT_PAUSE_MAX_S, PAUSE_MAX_S = 0.2, 5.0, 60.0
STEADY_S = 10.0  # a worker that ran as long starts with a clean record
RESTARTS_MAX = 20  # in a row, none of them steady: a fault that restarting does not cure soon
LOG_LOOK_S = 1.0
READY_TIMEOUT_S = 90.0
STOP_PATIENCE_S = 8.0


class Spare(NamedTuple):
    """A process that waits for its turn (`runtime/standby.py`), and the pipe that gives it."""

    process: Process
    turn: int

    def begin(self) -> bool:
        """Give it its turn; return False where it has ended."""
        try:
            return os.write(self.turn, b"\n") == 1
        except BrokenPipeError:
            return False
        finally:
            os.close(self.turn)

    def dismiss(self) -> None:
        """Let it end."""
        os.close(self.turn)
        self.process.stop(STOP_PATIENCE_S)
        self.process.exit_code()


class Worker(msgspec.Struct):
    """One worker: its command, and what became of it so far. Times are of the monotonic clock."""

    name: str
    command: list[str]
    log: Path
    note: Path
    kind: tuple[str, ...] = ()
    process: Process | None = None
    started_s: float = 0.0
    start_again_s: float = 0.0
    in_a_row: int = 0
    restarts: int = 0
    asked_to_end: bool = False
    last_end: LastEnd | None = None  # None too while it ended only because it was asked to
    ready_s: float | None = None  # since when this process is
    spare: Spare | None = None

    def ended(self, code: int, now_s: float) -> None:
        """Note an end, and when to start again: after a pause that doubles.

        The same answer again continues the row however long the worker ran: to find it may take a while.
        """
        expected, before = self.asked_to_end and code == 0, self.last_end
        self.last_end = None if expected else last_end(self.note, self.log, code)
        self.process, self.asked_to_end, self.ready_s = None, False, None
        is_fault = self.last_end is None or self.last_end.is_fault
        is_again = not is_fault and _answer(before) == _answer(self.last_end)
        is_steady = now_s - self.started_s > STEADY_S and not is_again
        self.in_a_row = 1 if is_steady else self.in_a_row + 1
        self.start_again_s = now_s + pause_s(self.in_a_row, is_fault)


def workers_of_project() -> tuple[tuple[str, ...], ...]:
    """Return the kinds of workers that every run of this process's project has, in the stream's order.

    A gate, a stage an entity of its chain, a scorer and an archive.
    """
    chain = project_of_process().pipeline.chain
    return (("gate",), *(("stream", link.name) for link in chain.links), ("score",), ("archive",))


def _answer(end: LastEnd | None) -> tuple[int, str]:
    return (end.exit_code, end.code) if end is not None else (0, "")


def numbered(kind: tuple[str, ...], number: int) -> str:
    """Return the name of the n-th worker of a kind, counted from 0.

    >>> numbered(("stream", "shop"), 0), numbered(("gate",), 2)
    ('stream-shop', 'gate-2')
    """
    return "-".join(kind) + (f"-{number}" if number else "")


def pause_s(in_a_row: int, is_fault: bool = True) -> float:
    """Return how long to wait before the n-th start in a row; longest after what restarting does not cure.

    >>> [pause_s(n) for n in (1, 2, 3, 9, 21)]
    [0.2, 0.4, 0.8, 5.0, 60.0]
    >>> pause_s(9, is_fault=False), pause_s(20, is_fault=False)
    (51.2, 60.0)
    """
    longest_s = FAULT_PAUSE_MAX_S if is_fault and in_a_row <= RESTARTS_MAX else PAUSE_MAX_S
    return float(min(PAUSE_S * 2 ** (min(in_a_row, 16) - 1), longest_s))


class Supervisor:
    """The workers of one run. Used from one thread: the kernel ends them when that thread ends.

    `look` (or `check`) is to be called every fraction of a second; nothing happens between the calls. With
    `spares` each worker that decisions wait for has a second process, which has imported everything and
    begins when the first ends (some 100 to 250 MiB each).
    """

    def __init__(
        self,
        run: Run,
        kinds: Sequence[tuple[str, ...]] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        spares: bool = False,
    ) -> None:
        self._run, self._spares = run, spares
        self._environment = {**os.environ, **(environment or {}), "HEADRACE_RUN": str(run.home)}
        for stale in run.ports.glob("*.json"):
            stale.unlink()
        log_files.make_private(run.logs)
        run.ends.mkdir(exist_ok=True)
        self._logs_looked_s = 0.0
        self.workers: list[Worker] = []
        for kind in workers_of_project() if kinds is None else kinds:
            self.workers.append(self._worker(kind))

    def start(self) -> None:
        """Start every worker and wait until each serves its metrics, which it does when it is ready.

        Raises:
            ClusterError: E_WORKER_ENDED, E_WORKER_SLOW.
        """
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start every worker, without waiting for it."""
        for worker in self.workers:
            self._spawn(worker)

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

    def begin_again(self) -> None:
        """Ask every worker to end in order and start it again, of the code that is there now."""
        for worker in self.workers:
            if worker.spare is not None:
                worker.spare.dismiss()
                worker.spare = None
            self.ask_to_end(worker)

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

    def look(self) -> list[Worker]:
        """Start again what ended and whose pause is over; return the workers that have ended since."""
        now_s, ended = time.monotonic(), []
        for worker in self.workers:
            if worker.process is None:
                if now_s >= worker.start_again_s:
                    worker.restarts += 1
                    self._spawn(worker)
            elif (code := worker.process.exit_code()) is not None:
                worker.ended(code, now_s)
                ended.append(worker)
            elif self._spares and worker.kind[0] in SPARED:
                self._keep_spare(worker, now_s)
        self._bound_logs(now_s)
        return ended

    def check(self) -> None:
        """Start again what ended, unless that would not help.

        Raises:
            ClusterError: E_WORKER_ENDED, a worker ended in a way that a restart does not cure.
        """
        for worker in self.look():
            if worker.last_end is not None and not worker.last_end.is_fault:
                code = worker.last_end.exit_code
                raise _failure(worker, "E_WORKER_ENDED", f"ended with exit code {code}")
            if worker.in_a_row > RESTARTS_MAX:
                raise _failure(worker, "E_WORKER_ENDED", f"ended {RESTARTS_MAX} times in a row")

    def start_now(self) -> None:
        """Start what waits for its next start without a further pause: what it waited for is there again."""
        for worker in self.workers:
            worker.start_again_s, worker.in_a_row = 0.0, 0

    def stop(self) -> None:
        """Stop the workers, first to last, so that each finishes what the one before sent."""
        for worker in self.workers:
            self._stop(worker)

    def metrics_port(self, worker: Worker) -> int | None:
        """Return where a worker serves its metrics; None while it is not ready."""
        if worker.process is None:
            return None
        noted = (_port_note(path) for path in self._run.ports.glob("*.json"))
        return next((note.port for note in noted if note and note.pid == worker.process.pid), None)

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
        command = launch.command("headrace", *kind, *slot)
        return Worker(name, command, self._log(name), self._run.ends / f"{name}.json", kind)

    def _spawn(self, worker: Worker) -> None:
        worker.note.unlink(missing_ok=True)
        spare, worker.spare = worker.spare, None
        if spare is not None and spare.begin():
            worker.process = spare.process
        else:
            worker.process = spawn(worker.command, worker.log, self._variables(worker), tethered=True)
        worker.started_s = time.monotonic()

    def _keep_spare(self, worker: Worker, now_s: float) -> None:
        """See that a worker which is ready has a spare."""
        if worker.spare is not None and worker.spare.process.exit_code() is not None:
            os.close(worker.spare.turn)
            worker.spare, worker.ready_s = None, now_s  # another after the delay
        if worker.ready_s is None:
            worker.ready_s = now_s if self.is_ready(worker) else None
        elif worker.spare is None and now_s - worker.ready_s >= SPARE_DELAY_S:
            waits, turn = os.pipe()
            variables = self._variables(worker) | {STANDBY: "1"}
            process = spawn(worker.command, worker.log, variables, tethered=True, stdin=waits)
            os.close(waits)
            worker.spare = Spare(process, turn)

    def _variables(self, worker: Worker) -> dict[str, str]:
        return {**self._environment, "HEADRACE_WORKER": worker.name, END_NOTE: str(worker.note)}

    def _bound_logs(self, now_s: float) -> None:
        if now_s - self._logs_looked_s >= LOG_LOOK_S:
            self._logs_looked_s = now_s
            for worker in self.workers:
                log_files.rotate(worker.log)

    def _stop(self, worker: Worker) -> None:
        if worker.spare is not None:
            worker.spare.dismiss()
            worker.spare = None
        if worker.process is not None:
            worker.process.stop(STOP_PATIENCE_S)
            worker.process.exit_code()
            worker.process = None

    def _log(self, name: str) -> Path:
        return self._run.logs / f"{name}.log"


class _PortNote(msgspec.Struct):
    pid: int
    port: int


def _port_note(path: Path) -> _PortNote | None:
    """Return what a worker noted; None for a file that is being written or has just gone."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_PortNote)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _failure(worker: Worker, code: str, what: str) -> ClusterError:
    end = worker.last_end
    why = f"{end.code}: {end.what}" if end and end.code else f"its last words:\n{last_words(worker.log)}"
    advice = end.next_step if end and end.code else ""
    return ClusterError(
        code, f"the worker {worker.name} {what}; {why}", str(worker.log),
        advice or "read the log, put right what it says, and start again",
    )  # fmt: skip
