"""Kafka and Redis on this machine, without Docker: started together, reused when they run."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from headrace.servers.kafka import Kafka
from headrace.servers.ports import free, from_environment, is_free
from headrace.servers.redis import Redis
from headrace.servers.server import Running, Server
from runtime import environment
from runtime.atomic_file import replace_file
from runtime.file_lock import locked
from runtime.run import FOLDER

PORT_WAIT_S = 5.0  # a process that was killed may hold its port for a moment after it is gone


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """Where the servers are; `.headrace/servers.json` holds the same."""

    bootstrap_servers: str
    redis_url: str
    pids: dict[str, int]
    ports: dict[str, int]

    def environment(self, redis_db: int = 0) -> dict[str, str]:
        """Return the variables that point a process at these servers."""
        return {
            "HEADRACE_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "HEADRACE_REDIS_URL": f"{self.redis_url}/{redis_db}",
        }


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `headrace servers status` tells of one server."""

    name: str
    running: bool
    pid: int | None
    port: int | None
    log: str


class LocalServers:
    """The servers of one root folder, under `<root>/.headrace/servers/`.

    Tethered servers die with the process that started them; others outlive it and are found again.
    """

    def __init__(self, root: Path, *, tethered: bool = False) -> None:
        self.folder = (root / FOLDER).resolve()
        self.redis = Redis(self.folder / "servers" / "redis", tethered=tethered)
        self.kafka = Kafka(self.folder / "servers" / "kafka", environment.cache(), tethered=tethered)

    def start(self) -> Servers:
        """Start what does not run yet, wait until everything answers, and say where it is.

        Raises:
            ClusterError: a server cannot be had or does not start; its log's end is in the message.
        """
        with self._alone():
            servers: tuple[Server, ...] = (self.kafka, self.redis)
            for server, running in [(server, self._launch(server)) for server in servers]:
                server.await_ready(running)
            return self._note()

    def stop(self) -> None:
        """Stop what runs, in the reverse order of its start; what it stored stays."""
        with self._alone():
            self.redis.stop()
            self.kafka.stop()
            (self.folder / "servers.json").unlink(missing_ok=True)

    def end_starts(self) -> None:
        """End servers whose start another thread waits for, so that `stop` need not wait for it."""
        for server in (self.redis, self.kafka):
            if (running := server.alive) and not server.answers(running.ports[0]):
                server.stop()

    def status(self) -> list[Status]:
        """Return what runs and where."""
        return [
            Status(
                name=server.name,
                running=(running := server.alive) is not None,
                pid=running.process.pid if running else None,
                port=running.ports[0] if running else None,
                log=str(server.log),
            )
            for server in (self.kafka, self.redis)
        ]

    @property
    def running(self) -> bool:
        """Whether both servers run."""
        return all(status.running for status in self.status())

    def restart_kafka(self, *, crash: bool = False) -> Servers:
        """Stop Kafka, by SIGKILL if it is to be a crash, and start it again on the same ports."""
        self.kafka.kill() if crash else self.kafka.stop()
        return self.start_kafka()

    def start_kafka(self) -> Servers:
        """Start Kafka again on the same ports."""
        with self._alone():
            self.kafka.await_ready(self._launch(self.kafka))
            return self._note()

    def stop_redis(self) -> None:
        """Stop Redis alone; its rows are gone, as they would be after a crash."""
        self.redis.stop()

    def start_redis(self) -> Servers:
        """Start Redis again, empty, on the same port."""
        with self._alone():
            self.redis.await_ready(self._launch(self.redis))
            return self._note()

    def _launch(self, server: Server) -> Running:
        """Return the running server, or start it: on the ports it had, if they are still free."""
        if running := server.alive:
            return running
        known = server.known
        if known and all(is_free(port, PORT_WAIT_S) for port in known.ports):
            return server.launch(known.ports)
        return server.launch(tuple(islice(free(from_environment()), server.port_count)))

    def _note(self) -> Servers:
        """Write down where the servers are; one that is down for a while comes back at the same place."""
        known = {server.name: server.known for server in (self.kafka, self.redis)}
        ports = {name: running.ports[0] for name, running in known.items() if running}
        servers = Servers(
            bootstrap_servers=f"127.0.0.1:{ports['kafka']}",
            redis_url=f"redis://127.0.0.1:{ports['redis']}",
            pids={name: running.process.pid for name, running in known.items() if running},
            ports=ports,
        )
        replace_file(self.folder / "servers.json", msgspec.json.format(msgspec.json.encode(servers)))
        return servers

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep a second command from starting or stopping the same servers at the same moment."""
        with locked(self.folder / "servers" / "lock"):
            yield


@contextmanager
def ephemeral(folder: Path) -> Iterator[LocalServers]:
    """Run servers in a folder of a test's; they end with the block, or with the process."""
    servers = LocalServers(folder, tethered=True)
    servers.start()
    try:
        yield servers
    finally:
        servers.stop()
