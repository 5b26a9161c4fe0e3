"""A stack on this machine: servers, the topics of a run, workers. What brings one up stands here alone.

`headrace up`, the demo, chaos runs and benchmarks differ in what they do with a stack, not in how it begins
and ends.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import ClusterError
from features.project.running import project_of_process
from headrace import topics_admin
from headrace.run_project import admit_project, fresh_run
from headrace.servers import LocalServers, Servers
from headrace.supervisor import Supervisor
from runtime import environment
from runtime.personal_keys import make_keys
from runtime.run import Run
from runtime.settings import GuardSettings

Kind = tuple[str, ...]
T = TypeVar("T")
OUTSIDE = "HEADRACE_BOOTSTRAP_SERVERS"


class Stack:
    """Servers, then the topics of a run, then workers, each begun by its own call; `close` ends them.

    Servers that run already are used and left running; so are those that the environment names.

    Args:
        root: the folder that has `.headrace/`.
        variables: settings of the workers, beside the environment.
        tethered: servers that are started here die with this process.
        spares: see `Supervisor`.
    """

    run: Run
    kafka: KafkaConnection
    redis: RedisConnection

    def __init__(
        self, root: Path, variables: Mapping[str, str] | None = None, *, tethered: bool = True,
        spares: bool = False,
    ) -> None:  # fmt: skip
        self.root, self._variables, self._spares = root, variables or {}, spares
        self.local = None if OUTSIDE in os.environ else LocalServers(root)
        self._stops_servers = self.local is not None and not self.local.running
        if self.local is not None and self._stops_servers:
            self.local = LocalServers(root, tethered=tethered)
        # Tethered servers die with the thread that started them: this one lives as long as the stack.
        self._server_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")
        self._is_tethered = tethered
        self._run_before = os.environ.get("HEADRACE_RUN")
        self.workers: Supervisor | None = None
        self.is_open = False

    def start_servers(self) -> Servers:
        """Start the local servers that do not run; return where they are, or where the outside ones are.

        Raises:
            ClusterError: a server cannot be had or does not start.
        """
        if self.local is not None:
            return self.with_servers(self.local.start)
        kafka, redis = os.environ[OUTSIDE], os.environ.get("HEADRACE_REDIS_URL", "")
        return Servers(bootstrap_servers=kafka, redis_url=redis, pids={}, ports={})

    def open(self, run: Run) -> list[str]:
        """Connect to a run and create the topics that are missing; return the names of those.

        Processes that are started afterwards act on the run.

        Raises:
            ClusterError: E_TOPIC_CREATE, E_TOPICS_DIFFER, E_KAFKA_UNREACHABLE.
            ConfigError, StateError: the run is of another project, or of another form of it.
        """
        self.run = run
        admit_project(run)
        make_keys(project_of_process().pipeline, run)
        os.environ["HEADRACE_RUN"] = str(run.home)
        self.kafka, self.redis = environment.kafka_connection(), environment.redis_connection(run)
        settings = environment.settings_of(GuardSettings)
        created = topics_admin.ensure(
            self.kafka, run.topic_prefix, partitions=run.partitions, settings=settings
        )
        self.is_open = True
        return created

    def launch(self, *kinds: Kind) -> Supervisor:
        """Start workers without waiting for them: one of each kind."""
        if self.workers is None:
            self.workers = Supervisor(self.run, (), self._variables, spares=self._spares)
        for kind in kinds:
            self.workers.add(kind)
        return self.workers

    def start(self, *kinds: Kind) -> dict[str, int]:
        """Start workers, wait until all are ready, and return the process ids of these by name.

        Raises:
            ClusterError: E_WORKER_ENDED, E_WORKER_SLOW.
        """
        before = set(self.workers.pids()) if self.workers else set[str]()
        supervisor = self.launch(*kinds)
        supervisor.await_ready()
        return {name: pid for name, pid in supervisor.pids().items() if name not in before}

    @property
    def supervisor(self) -> Supervisor:
        """Return the supervisor of the workers.

        Raises:
            ClusterError: E_STACK_WORKERS, none were started, or they are stopped.
        """
        if self.workers is None:
            raise ClusterError("E_STACK_WORKERS", "no workers run", str(self.root), "start them first")
        return self.workers

    def with_servers(self, call: Callable[[], T]) -> T:
        """Call what starts or stops a local server, in the thread that tethered servers depend on."""
        return self._server_thread.submit(call).result() if self._is_tethered else call()

    def stop_workers(self) -> None:
        """Stop the workers in the order of the stream, so that each finishes what the one before sent."""
        if self.workers is not None:
            self.workers.stop()
            self.workers = None

    def end_starts(self) -> None:
        """End local servers whose start another thread waits for, so that `close` need not wait for it."""
        if self.local is not None and self._stops_servers:
            self.local.end_starts()

    def close(self) -> None:
        """Stop what this started, workers first; a second call does nothing."""
        self.stop_workers()
        if self.local is not None and self._stops_servers:
            self.with_servers(self.local.stop)
            self._stops_servers = False
        self._server_thread.shutdown()
        if self._run_before is None:
            os.environ.pop("HEADRACE_RUN", None)
        else:
            os.environ["HEADRACE_RUN"] = self._run_before


class FreshStack(Stack):
    """A stack with a run of its own: the block begins with servers and topics, and ends with nothing left."""

    def __init__(
        self, root: Path, name: str, partitions: int = 1, variables: Mapping[str, str] | None = None, *,
        spares: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(root, variables, spares=spares)
        self._name, self._partitions = name, partitions

    def __enter__(self) -> Self:
        try:
            self.start_servers()
            self.open(fresh_run(self.root, self._name, self._partitions))
            self.begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self) -> None:
        """Do what belongs to this stack's beginning, such as to start its workers; nothing by default."""
