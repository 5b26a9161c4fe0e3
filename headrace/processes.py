"""Processes of ours: started in a session of their own, known by id *and* start time, stopped by id.

A process id is reused by the kernel; the id together with the tick at which the process started is not.
So a stale file never leads to the death of a stranger.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from contracts.errors import HeadraceError

TETHER = Path(__file__).parent / "tether.py"
POLL_S = 0.02
KILL_WAIT_S = 10.0  # the kernel takes a while to give back the memory of a large process

OURS_ALONE = "PROMETHEUS_MULTIPROC"  # how the names begin


class Process(msgspec.Struct, frozen=True):
    """A process that was started by us, perhaps by an earlier command.

    >>> Process.this().alive()
    True
    >>> Process(os.getpid(), start_tick=1).alive()
    False
    """

    pid: int
    start_tick: int

    @classmethod
    def this(cls) -> "Process":
        """Return the process that asks."""
        return cls(os.getpid(), _stat(os.getpid())[1])

    def alive(self) -> bool:
        """Return whether it still runs; a zombie does not."""
        state, start_tick = _stat(self.pid)
        return start_tick == self.start_tick and state not in "ZX"

    def stop(self, patience_s: float) -> None:
        """Ask it to end (SIGTERM); end it (SIGKILL) when it has not after `patience_s`."""
        if not self.alive():
            return
        self.signal(signal.SIGTERM)
        if not self.wait(patience_s):
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.signal(signal.SIGKILL)
        self.wait(KILL_WAIT_S)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return  # it ended between the two lines

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; return False when it has not within `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(POLL_S)
        return True

    def exit_code(self) -> int | None:
        """Collect our own child: its exit code, minus a signal's number, or None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None


def spawn(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    *,
    tethered: bool,
    stdin: int | None = None,
) -> Process:
    """Start a command with its output appended to `log`; its input is the descriptor `stdin`, or empty.

    A tethered process is killed by the kernel when the thread that started it ends, even by SIGKILL. What
    importing Feast put into our environment stays with us: a child's metrics would else be counted in files,
    slower, and beside those of any process that had its number before.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if tethered:
        command = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command]
    output = (
        os.POSIX_SPAWN_OPEN,
        1,
        str(log),
        os.O_WRONLY | os.O_CREAT | os.O_APPEND,
        0o600,
    )
    silence = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    source = silence if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0)
    pid = os.posix_spawn(
        command[0], list(command), {k: v for k, v in environment.items() if not k.startswith(OURS_ALONE)},
        file_actions=[source, output, (os.POSIX_SPAWN_DUP2, 1, 2)], setsid=True,
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE], setsigmask=[],
    )  # fmt: skip
    return Process(pid, _stat(pid)[1])


def reap(process: Process) -> None:
    """Collect an ended child so that no zombie stays; one that is not our child leaves nothing to collect."""
    try:
        os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return


def _stat(pid: int) -> tuple[str, int]:
    """Return the state letter and the start tick; ("X", -1) when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X", -1
    except OSError as error:
        raise HeadraceError("E_PROC", f"/proc cannot be read: {error}", f"/proc/{pid}/stat") from error
    fields = text.rpartition(")")[2].split()  # the command's name, before it, may hold spaces and brackets
    return fields[0], int(fields[19])


def alive_pid(pid: int) -> bool:
    """Return whether a process of this id runs, whoever started it."""
    return _stat(pid)[0] not in "ZX"
