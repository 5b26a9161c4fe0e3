"""One local server: its folder, its process, its ports, and how to know that it is ready.

What runs is written to `process.json`, so that a later command finds it, and recognises what is stale.
"""

import os
import socket
import time
from abc import ABC, abstractmethod
from pathlib import Path

import msgspec

from contracts.errors import ClusterError
from headrace import log_files
from headrace.last_words import last_words
from headrace.processes import Process, reap, spawn
from runtime.atomic_file import replace_file

POLL_S = 0.05


class Running(msgspec.Struct, frozen=True):
    """A server's process and the ports it listens on; the ports are kept for its next start."""

    process: Process
    ports: tuple[int, ...]
    since_s: float


class Server(ABC):
    """A server that lives in a folder."""

    name: str
    ready_timeout_s: float
    stop_patience_s: float
    port_count: int

    def __init__(self, folder: Path, *, tethered: bool) -> None:
        self.folder = folder
        self.tethered = tethered

    @abstractmethod
    def command(self, ports: tuple[int, ...]) -> list[str]:
        """Return the command that runs it in the foreground; prepares its files first."""

    @abstractmethod
    def answers(self, port: int) -> bool:
        """Return whether it serves requests, within a second."""

    @property
    def log(self) -> Path:
        """What the process writes."""
        return self.folder / f"{self.name}.log"

    @property
    def known(self) -> Running | None:
        """What was started last, alive or not."""
        path = self.folder / "process.json"
        return msgspec.json.decode(path.read_bytes(), type=Running) if path.exists() else None

    @property
    def alive(self) -> Running | None:
        """What runs now."""
        known = self.known
        return known if known and known.process.alive() else None

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped on purpose, and so is not to be started by who only watches it."""
        return self._stopped.exists()

    @property
    def _stopped(self) -> Path:
        return self.folder / "stopped"

    def launch(self, ports: tuple[int, ...]) -> Running:
        """Start the process, without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stopped.unlink(missing_ok=True)
        log_files.rotate(self.log)
        process = spawn(self.command(ports), self.log, os.environ, tethered=self.tethered)
        running = Running(process, ports, time.time())
        replace_file(self.folder / "process.json", msgspec.json.encode(running))
        return running

    def await_ready(self, running: Running) -> None:
        """Wait until it answers.

        Raises:
            ClusterError: E_SERVER_ENDED, E_SERVER_SLOW.
        """
        deadline_s = time.monotonic() + self.ready_timeout_s
        while not self.answers(running.ports[0]):
            if not running.process.alive():
                reap(running.process)
                raise self._failure("E_SERVER_ENDED", "ended while it started")
            if time.monotonic() > deadline_s:
                running.process.stop(self.stop_patience_s)
                reap(running.process)
                raise self._failure("E_SERVER_SLOW", f"was not ready after {self.ready_timeout_s:.0f} s")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Stop it, and wait until it has ended."""
        if self.folder.exists():
            self._stopped.touch()
        if running := self.alive:
            running.process.stop(self.stop_patience_s)
            reap(running.process)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if running := self.alive:
            running.process.kill()
            reap(running.process)

    def last_words(self) -> str:
        """Return the end of its log."""
        return last_words(self.log)

    def _failure(self, code: str, what: str) -> ClusterError:
        return ClusterError(
            code, f"{self.name} {what}; its last words:\n{self.last_words()}", str(self.log),
            "read the log; `headrace servers stop` and start again",
        )  # fmt: skip


def listens(port: int) -> bool:
    """Return whether something listens on a port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False
