"""Where a chaos run happens: servers, topics and workers of its own, whose death harms nobody else.

Everything here is used from one thread: the kernel ends servers and workers with the thread that began them.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from contracts.errors import ClusterError
from features.project.running import RunningProject, project_of_process
from headrace.last_end import LastEnd
from headrace.processes import Process
from headrace.servers import LocalServers
from headrace.servers.server import Server
from headrace.stack import FreshStack, Kind
from headrace.supervisor import LEARNER, RESTARTS_MAX, Worker, workers_of_project
from load.oracle.dump import Record
from runtime import environment
from runtime.project_folder import INSTALLED

PUMP_S = 0.02
OUTSIDE = tuple(f"HEADRACE_{name}" for name in ("BOOTSTRAP_SERVERS", "REDIS_URL", "RUN", "ROOT", "CACHE"))
SERVE: Kind = ("serve",)
LAKE_BYTES, MODELS_BYTES = 192 << 20, 64 << 20
SETTINGS = {
    "HEADRACE_SERVE_PORT": "0",  # several runs may stand on one machine
    "HEADRACE_RETRAIN_START_TRAINING": "false",  # two cores: a training would be a fault of its own
}


def learns(project: RunningProject) -> bool:
    """Return whether a learner can follow a project: it reads what card payments have, so far."""
    return project.folder == INSTALLED


def kinds() -> tuple[Kind, ...]:
    """Return the kinds of workers of a run of this process's project.

    >>> [" ".join(kind) for kind in kinds()]
    ['gate', 'stream customer', 'stream terminal', 'score', 'archive', 'learn', 'serve']
    """
    learner = (LEARNER,) if learns(project_of_process()) else ()
    return (*workers_of_project(), *learner, SERVE)


class End(NamedTuple):
    """A worker's process that ended; `last` is None where it was asked to and ended in order."""

    worker: str
    last: LastEnd | None
    at_s: float = 0.0  # monotonic

    @property
    def summary(self) -> str:
        """Return who ended, and with what code or signal."""
        if self.last is None:
            return f"{self.worker}: in order"
        return f"{self.worker}: {self.last.exit_code} {self.last.code}".rstrip()

    @property
    def is_killed(self) -> bool:
        """Return whether a signal ended it, which leaves no time for a word."""
        return self.last is not None and self.last.exit_code < 0

    @property
    def is_coded(self) -> bool:
        """Return whether it ended as an unexpected exception must: 70 to 79, with a code that says why."""
        return self.last is not None and 70 <= self.last.exit_code < 80 and bool(self.last.code)

    @property
    def told(self) -> str:
        """Return how it ended, in words."""
        return f"{self.worker} " + ("ended in order" if self.last is None else "; ".join(self.last.lines))


class ChaosStack(FreshStack):
    """Servers and workers of one chaos run, in a folder of its own; leaving the block ends them.

    As under `headrace up`, workers that payments wait for have spares.
    """

    def __init__(self, folder: Path, partitions: int, worker_environment: dict[str, str]) -> None:
        self.folder = folder
        self._before = {name: os.environ.get(name) for name in OUTSIDE}
        os.environ["HEADRACE_CACHE"] = str(environment.cache())
        for name in ("HEADRACE_BOOTSTRAP_SERVERS", "HEADRACE_REDIS_URL"):
            os.environ.pop(name, None)
        os.environ["HEADRACE_ROOT"] = str(folder)
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, "chaos", partitions, {**SETTINGS, **worker_environment}, spares=True)
        self.ends: list[End] = []
        self.may_wait: set[Kind] = set()  # kinds that a fault keeps from starting for a while
        self.expired: set[str] = set()  # groups whose offsets a fault took away
        self.deleted: dict[str, list[Record]] = {}  # by topic, what stood there before a fault deleted it

    @property
    def servers(self) -> LocalServers:
        """Return the servers, which are the run's own."""
        assert self.local is not None, "the environment names none"
        return self.local

    def begin(self) -> None:
        """Give lake and models small disks of their own that can be filled, where that is allowed."""
        for folder, size in ((self.run.lake, LAKE_BYTES), (self.run.models, MODELS_BYTES)):
            if os.geteuid() == 0:
                folder.mkdir(parents=True, exist_ok=True)
                words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
                subprocess.run(words, check=False, capture_output=True)

    def start_workers(self) -> None:
        """Start one worker of each kind and wait until they are ready."""
        self.start(*kinds())

    def pump(self) -> None:
        """Let a moment pass, in which workers that ended are started again.

        Raises:
            ClusterError: E_WORKER_ENDED, a worker ended in a way that nothing here cures.
        """
        for worker in self.supervisor.look():
            self.ends.append(End(worker.name, worker.last_end, time.monotonic()))
            if worker.kind not in self.may_wait:
                _refuse_answers(worker)
        time.sleep(PUMP_S)

    def until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Let time pass until something is so; return whether it came to be."""
        deadline_s = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline_s:
                return False
            self.pump()
        return True

    def let_pass(self, seconds: float) -> None:
        """Let time pass."""
        self.until(lambda: False, seconds)

    def process_of(self, worker: Worker) -> Process | None:
        """Return the process of a worker that runs and is ready."""
        return worker.process if worker.process and self.supervisor.is_ready(worker) else None

    def crash_server(self, server: Server, down_s: float) -> None:
        """Kill a server and start it again on its ports after a while, looking after workers meanwhile."""
        known = server.known
        if known is None:
            raise ClusterError("E_CHAOS_SERVER", f"{server.name} does not run", str(self.folder))
        server.kill()
        self.let_pass(down_s)
        fresh = server.launch(known.ports)
        if not self.until(lambda: server.answers(fresh.ports[0]), server.ready_timeout_s):
            raise ClusterError("E_CHAOS_SERVER", f"{server.name} did not come back", str(server.log))

    def note_deleted(self, topic: str, records: list[Record]) -> None:
        """Keep what a topic held before a fault deleted it: the oracle judges those that were read."""
        self.deleted[topic] = [*self.deleted.get(topic, []), *records]

    def stall_server(self, server: Server, seconds: float) -> None:
        """Stop a server's clock for a while: it answers nobody, and then goes on as if nothing had been."""
        known = server.known
        assert known is not None
        known.process.signal(signal.SIGSTOP)
        self.let_pass(seconds)
        known.process.signal(signal.SIGCONT)

    def close(self) -> None:
        """End what runs and forget the surroundings."""
        super().close()
        for folder in (self.run.lake, self.run.models) if self.is_open else ():
            if folder.is_mount():
                subprocess.run(["umount", "--lazy", str(folder)], check=False)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _refuse_answers(worker: Worker) -> None:
    """Refuse an end that a restart does not cure."""
    end = worker.last_end
    if worker.in_a_row <= RESTARTS_MAX and (end is None or end.is_fault):
        return
    said = "; ".join(end.lines) if end else "ended in order"
    raise ClusterError(
        "E_WORKER_ENDED", f"the worker {worker.name} {said}, {worker.in_a_row} times in a row",
        str(worker.log), "read the log, put right what it says, and start again",
    )  # fmt: skip
