"""Everything `headrace up` keeps running: servers, topics, workers; and the notes that say so to others.

One part's end is one part's end: a worker that ends, or a server that does not answer, is told with its
reason and tried again, and what works goes on. Only the operator ends it all.
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from contracts.errors import ClusterError, HeadraceError
from headrace import up_state
from headrace.health_watch import HealthWatch
from headrace.processes import Process
from headrace.reload import SourceWatch
from headrace.run_project import own_run
from headrace.server_watch import ServerWatch, ask_kafka, ask_redis, watches
from headrace.servers import LocalServers
from headrace.stack import Stack
from headrace.supervisor import Supervisor, Worker, workers_of_project
from headrace.up_state import UpState, worker_state
from runtime import environment
from runtime.run import FOLDER, Run

POLL_S = 0.1
STATE_EVERY_S = 1.0
STOP_TIMEOUT_S = 90.0
READY_WAIT_S = 60.0  # then `up` says what is not ready, and goes on trying
DISK_EVERY_S = 5.0
NAMES_MAX = 3
DISK_LOW_BYTES = 256 << 20
DISK_LOW, UP_STATE = "E_DISK_LOW", "E_UP_STATE"


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
        variables: settings of the workers, beside the environment.
        sources: whose change lets all workers begin again.
    """

    def __init__(
        self, root: Path, report: Callable[[str], None], more: Sequence[tuple[str, ...]] = (),
        variables: Mapping[str, str] | None = None, *, spares: bool = False,
        sources: SourceWatch | None = None,
    ) -> None:  # fmt: skip
        self._sources = sources
        self._root, self._report, self._kinds = root, report, (*workers_of_project(), *more)
        self._stack = Stack(root, variables, tethered=False, spares=spares)
        self._watches: list[ServerWatch] = []
        self._health_watch: HealthWatch | None = None
        self._disk = DiskWatch(root / FOLDER, report)
        self._ready: set[str] = set()
        self._state, self._state_next_s = UpState(), 0.0
        self._answered = True

    def start(self) -> None:
        """Bring everything up, telling what is where; a worker that does not start is told and tried on.

        Raises:
            HeadraceError: a server or a topic cannot be had.
        """
        _note(self._root).parent.mkdir(parents=True, exist_ok=True)
        servers = self._stack.start_servers()
        if self._stack.local:
            self._report(f"Kafka     {servers.bootstrap_servers}\nRedis     {servers.redis_url}")
        run = environment.current_run() if "HEADRACE_RUN" in os.environ else own_run(self._root)
        _note(self._root).write_bytes(msgspec.json.encode(Up(Process.this(), str(run.home))))
        created = self._stack.open(run)
        self._report(f"run       {run.home}" + (f", {len(created)} topics created" if created else ""))
        self._watches = watches(self._stack.kafka, self._stack.redis, self._stack.local, self._report)
        for watch in self._watches:
            watch.start()
        self._health_watch = HealthWatch(run, self._report)
        self._health_watch.start()
        self._await_ready(self._stack.launch(*self._kinds))

    def watch(self) -> None:
        """Keep everything running until an exception, such as a signal's, ends it."""
        while self._stack.workers:
            self._look(self._stack.workers)
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Stop what this started, workers first; servers that ran before stay."""
        if self._health_watch:
            self._health_watch.close()
        self._stack.stop_workers()
        self._stack.end_starts()
        for watch in self._watches:
            watch.close()
        self._stack.close()
        _note(self._root).unlink(missing_ok=True)
        up_state.forget(self._root)

    def _await_ready(self, supervisor: Supervisor) -> None:
        """Wait until every worker is ready, or has ended, or the patience is over; say what is not."""
        deadline_s = time.monotonic() + READY_WAIT_S
        while time.monotonic() < deadline_s:
            self._look(supervisor)
            if all(w.name in self._ready or w.last_end is not None for w in supervisor.workers):
                break
            time.sleep(POLL_S)
        waiting = [worker.name for worker in supervisor.workers if worker.name not in self._ready]
        if waiting:
            self._report(f"not ready: {', '.join(waiting)}; it is tried on, and the others work")

    def _look(self, supervisor: Supervisor) -> None:
        """Do once what is done again and again."""
        before = {worker.name: worker.restarts for worker in supervisor.workers}
        for worker in supervisor.look():
            self._ready.discard(worker.name)
            self._report_end(worker)
        for worker in supervisor.workers:
            if worker.restarts != before[worker.name]:
                self._report(f"{worker.name} was started again ({worker.restarts})")
            self._report_ready(supervisor, worker)
        for watch in (*self._watches, self._health_watch):
            if watch is not None:
                watch.replace_dead()
        self._wake(supervisor)
        self._reload(supervisor)
        self._disk.look()
        self._write_state(supervisor)

    def _reload(self, supervisor: Supervisor) -> None:
        """Let workers begin again when their code has changed."""
        if self._sources is not None and (changed := self._sources.changed()):
            names = ", ".join(path.name for path in changed[:NAMES_MAX])
            more = f" and {len(changed) - NAMES_MAX} more" if len(changed) > NAMES_MAX else ""
            self._report(f"{names}{more} changed: the workers begin again")
            supervisor.begin_again()

    def _report_end(self, worker: Worker) -> None:
        if worker.last_end is None:
            return
        how, *advice = worker.last_end.lines
        self._report("\n  ".join([f"{worker.name} {how}", *advice]))
        pause_s = worker.start_again_s - time.monotonic()
        self._report(f"  {worker.name} starts again in {max(pause_s, 0):.1f} s; the others go on")

    def _report_ready(self, supervisor: Supervisor, worker: Worker) -> None:
        if worker.name in self._ready or (port := supervisor.metrics_port(worker)) is None:
            return
        self._ready.add(worker.name)
        self._report(f"{worker.name:15} metrics 127.0.0.1:{port}, log {worker.log}")

    def _wake(self, supervisor: Supervisor) -> None:
        """Start what waits for its next try at once when a server that was away is back."""
        answer = all(watch.state.answers for watch in self._watches)
        if answer and not self._answered:
            supervisor.start_now()
        self._answered = answer

    def _write_state(self, supervisor: Supervisor) -> None:
        now_s = time.monotonic()
        if now_s < self._state_next_s:
            return
        self._state_next_s = now_s + STATE_EVERY_S
        state = UpState(
            servers=[watch.state for watch in self._watches],
            workers=[worker_state(supervisor, worker) for worker in supervisor.workers],
        )
        if state != self._state:
            self._state = state
            try:
                state.write(self._root)
            except OSError as error:  # a full disk: the view says so, and must go on saying
                self._report(f"{UP_STATE}: what runs cannot be written down: {error}")


class DiskWatch:
    """Says when the disk below a folder is nearly full, and when it is not any more."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self._folder, self._report = folder, report
        self._low, self._next_s = False, 0.0

    def look(self) -> None:
        """Look, at most every few seconds."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + DISK_EVERY_S
        free = shutil.disk_usage(self._folder).free
        low = free < DISK_LOW_BYTES
        if low != self._low:
            self._low = low
            enough = f"the disk has {free >> 20:,} MiB free again"
            self._report(disk_words(free, self._folder) if low else enough)


def disk_words(free: int, folder: Path) -> str:
    """Return what is told of a disk that is nearly full."""
    return (
        f"{DISK_LOW}: {free >> 20:,} MiB are free at {folder}; archive and Kafka stop when it is full\n"
        "  next: make room; `headrace runs list` shows what each run takes"
    )


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


def parts_down(root: Path, up: Up) -> list[str]:
    """Return what does not work of a running `up`: servers are asked now, workers are as `up` saw them."""
    state = UpState.read(root)
    noted = {server.name: server.what for server in state.servers if not server.answers}
    down = [f"{name} {noted.get(name, what)}" for name, what in _ask_servers(up).items() if what]
    return down + UpState(workers=state.workers).wrong


def _ask_servers(up: Up) -> dict[str, str]:
    """Return what is wrong with each server, "" where it answers."""
    try:
        run = Run.load(Path(up.home))
        kafka, to = environment.kafka_connection(), environment.redis_connection(run)
    except HeadraceError as error:
        return {"servers": str(error)}
    return {"Kafka": ask_kafka(kafka)(), "Redis": ask_redis(to)()}


def refuse_if_down(root: Path, up: Up) -> None:
    """Refuse to call an `up` well that is not.

    Raises:
        ClusterError: E_UP_PARTS, with every part that does not work.
    """
    if down := parts_down(root, up):
        raise ClusterError(
            "E_UP_PARTS", "it is up, but not all of it works:\n" + "\n".join(down), up.home,
            "`up` goes on trying; see the logs there, or `headrace down` and `headrace up`",
        )  # fmt: skip


def _note(root: Path) -> Path:
    return root / FOLDER / "up.json"
