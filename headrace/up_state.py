"""What a running `headrace up` knows of its parts, in a file beside its note, for other commands to read."""

from pathlib import Path

import msgspec

from headrace.server_watch import ServerState
from headrace.supervisor import Supervisor, Worker
from runtime.atomic_file import replace_file
from runtime.run import FOLDER


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """A worker: `ready`, `starting` or `waiting` for its next start; why it ended last, where it did."""

    name: str
    state: str
    restarts: int = 0
    last_end: list[str] = []


class UpState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is not as it should be is in here, in words."""

    servers: list[ServerState] = []
    workers: list[WorkerState] = []

    @classmethod
    def read(cls, root: Path) -> "UpState":
        """Return what the last `up` wrote; nothing where there is no such file, or one of another version."""
        try:
            return msgspec.json.decode(_path(root).read_bytes(), type=cls)
        except (FileNotFoundError, msgspec.DecodeError):
            return cls()

    def write(self, root: Path) -> None:
        """Put this where other commands find it, in one step."""
        replace_file(_path(root), msgspec.json.encode(self))

    @property
    def wrong(self) -> list[str]:
        """Return a line or two for each part that does not work now."""
        lines = [f"{server.name} {server.what}" for server in self.servers if not server.answers]
        waiting = [worker for worker in self.workers if worker.state != "ready"]
        return lines + ["\n  ".join((f"{one.name} is not ready", *one.last_end)) for one in waiting]


def forget(root: Path) -> None:
    """Remove what an `up` that has ended wrote."""
    _path(root).unlink(missing_ok=True)


def worker_state(supervisor: Supervisor, worker: Worker) -> WorkerState:
    """Return what is so of a worker now."""
    state = "waiting" if worker.process is None else "ready" if supervisor.is_ready(worker) else "starting"
    return WorkerState(
        name=worker.name, state=state, restarts=worker.restarts,
        last_end=worker.last_end.lines if worker.last_end and state != "ready" else [],
    )  # fmt: skip


def _path(root: Path) -> Path:
    return root / FOLDER / "up-state.json"
