"""Where a chaos run happens: servers, topics and workers of its own, whose death harms nobody else.

Everything here is used from one thread: the kernel ends servers and workers with the thread that began them.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import ClusterError
from headrace import environment, topics_admin
from headrace.processes import Process
from headrace.run import Run
from headrace.servers import LocalServers
from headrace.servers.server import Server
from headrace.supervisor import WORKERS, Supervisor, Worker

PUMP_S = 0.02
OUTSIDE = tuple(f"HEADRACE_{name}" for name in ("BOOTSTRAP_SERVERS", "REDIS_URL", "RUN", "ROOT", "CACHE"))
Kind = tuple[str, ...]


class Stand:
    """Servers and workers of one chaos run, in a folder of its own; leaving the block ends them."""

    def __init__(self, folder: Path, partitions: int, worker_environment: dict[str, str]) -> None:
        self.folder = folder
        self._partitions, self._worker_environment = partitions, worker_environment
        self._before = {name: os.environ.get(name) for name in OUTSIDE}

    def __enter__(self) -> "Stand":
        os.environ["HEADRACE_CACHE"] = str(environment.cache())
        for name in ("HEADRACE_BOOTSTRAP_SERVERS", "HEADRACE_REDIS_URL"):
            os.environ.pop(name, None)
        os.environ["HEADRACE_ROOT"] = str(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.servers = LocalServers(self.folder, tethered=True)
        self.workers: Supervisor | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        self.servers.start()
        self.run = Run.create(self.folder, "chaos", partitions=self._partitions)
        os.environ["HEADRACE_RUN"] = str(self.run.home)
        self.kafka: KafkaConnection = environment.kafka_connection()
        self.redis: RedisConnection = environment.redis_connection(self.run)
        topics_admin.ensure(self.kafka, self.run.topic_prefix, partitions=self._partitions)

    def start_workers(self) -> None:
        """Start one worker of each kind and wait until they are ready."""
        self.workers = Supervisor(self.run, WORKERS, self._worker_environment)
        self.workers.start()

    @property
    def supervisor(self) -> Supervisor:
        """Return the workers' supervisor."""
        if self.workers is None:
            raise ClusterError("E_CHAOS_WORKERS", "no workers run", str(self.folder))
        return self.workers

    def pump(self) -> None:
        """Let a moment pass, in which workers that ended are started again."""
        self.supervisor.check()
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

    def stall_server(self, server: Server, seconds: float) -> None:
        """Stop a server's clock for a while: it answers nobody, and then goes on as if nothing had been."""
        known = server.known
        assert known is not None
        known.process.signal(signal.SIGSTOP)
        self.let_pass(seconds)
        known.process.signal(signal.SIGCONT)

    def stop_workers(self) -> None:
        """Stop the workers in the order of the stream."""
        if self.workers is not None:
            self.workers.stop()
            self.workers = None

    def close(self) -> None:
        """End what runs and forget the surroundings."""
        self.stop_workers()
        self.servers.stop()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def remove(self) -> None:
        """Delete the folder, logs and all."""
        shutil.rmtree(self.folder, ignore_errors=True)
