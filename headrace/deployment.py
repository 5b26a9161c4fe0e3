"""Everything `headrace up` keeps running: servers, topics, workers; and the note that says so to others."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from headrace import environment, topics_admin
from headrace.processes import Process
from headrace.run import FOLDER, Run
from headrace.servers import LocalServers
from headrace.supervisor import WORKERS, Supervisor

POLL_S = 0.1
STOP_TIMEOUT_S = 90.0


class Up(msgspec.Struct, frozen=True):
    """The note of a running `headrace up`: its process and its run's home."""

    process: Process
    home: str

    @classmethod
    def running(cls, root: Path) -> "Up | None":
        """Return the note of an `up` that runs now; one that a crash left behind is no such note."""
        path = _note(root)
        noted = msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else None
        return noted if noted and noted.process.alive() else None


class Deployment:
    """Servers, topics and workers of one run, on this machine.

    Args:
        more: kinds of workers beside those that every run has.
    """

    def __init__(self, root: Path, tell: Callable[[str], None], more: Sequence[tuple[str, ...]] = ()) -> None:
        self._root, self._tell, self._kinds = root, tell, (*WORKERS, *more)
        outside = "HEADRACE_BOOTSTRAP_SERVERS" in os.environ
        self._local = None if outside else LocalServers(root)
        self._stop_servers = self._local is not None and not self._local.running
        self._supervisor: Supervisor | None = None

    def start(self) -> None:
        """Bring everything up, telling what is where.

        Raises:
            HeadraceError: something cannot be had, or does not start.
        """
        _note(self._root).parent.mkdir(parents=True, exist_ok=True)
        if self._local:
            servers = self._local.start()
            self._tell(f"Kafka     {servers.bootstrap_servers}\nRedis     {servers.redis_url}")
        run = environment.current_run() if "HEADRACE_RUN" in os.environ else Run.main(self._root)
        _note(self._root).write_bytes(msgspec.json.encode(Up(Process.this(), str(run.home))))
        created = topics_admin.ensure(
            environment.kafka_connection(), run.topic_prefix, partitions=run.partitions
        )
        self._tell(f"run       {run.home}" + (f", {len(created)} topics created" if created else ""))
        self._supervisor = Supervisor(run, self._kinds)
        self._supervisor.start()
        for worker in self._supervisor.workers:
            port = self._supervisor.metrics_port(worker)
            self._tell(f"{worker.name:15} metrics 127.0.0.1:{port}, log {worker.log}")

    def watch(self) -> None:
        """Keep the workers running until an exception, such as a signal's, ends it."""
        seen: dict[str, int] = {}
        while self._supervisor:
            self._supervisor.check()
            if (restarts := self._supervisor.restarts) != seen:
                self._tell("; ".join(f"{name} was started again ({n})" for name, n in restarts.items()))
                seen = restarts
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Stop what this started, workers first; servers that ran before stay."""
        if self._supervisor:
            self._supervisor.stop()
        if self._local and self._stop_servers:
            self._local.stop()
        _note(self._root).unlink(missing_ok=True)


def stop_everything(root: Path) -> list[str]:
    """Stop a running `up` and the local servers; return what was stopped."""
    stopped = []
    if up := Up.running(root):
        up.process.stop(STOP_TIMEOUT_S)
        stopped.append(f"workers of {up.home}")
    local = LocalServers(root)
    stopped += [status.name for status in local.status() if status.running]
    local.stop()
    return stopped


def _note(root: Path) -> Path:
    return root / FOLDER / "up.json"
