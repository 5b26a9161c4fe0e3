"""Stage workers as processes, restarted like the supervisor does, and made to fail on purpose."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RESTART = range(70, 80)


class Workers:
    """One worker a stage; an exit code that asks for it, or a kill, starts the next incarnation."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._stopping = False
        self.exits: dict[str, list[int]] = {"customer": [], "terminal": []}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._threads = [
            threading.Thread(target=self._keep, args=(stage,), daemon=True) for stage in self.exits
        ]
        for thread in self._threads:
            thread.start()

    def kill(self, stage: str) -> None:
        """End a worker as a crash would."""
        self._processes[stage].kill()

    def stop(self) -> None:
        """Ask all workers to end, and wait."""
        self._stopping = True
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for thread in self._threads:
            thread.join(10)

    def log(self, stage: str) -> str:
        """Return what the workers of a stage have logged."""
        return (self._logs / f"{stage}.log").read_text()

    def _keep(self, stage: str) -> None:
        while True:
            with (self._logs / f"{stage}.log").open("ab") as log:
                command = [sys.executable, "-m", "headrace", "stream", stage]
                process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
            self._processes[stage] = process
            code = process.wait()
            self.exits[stage].append(code)
            if self._stopping or (code != -signal.SIGKILL and code not in RESTART):
                return


@contextmanager
def stage_workers(logs: Path) -> Iterator[Workers]:
    """Run both stages; whatever happens, none is left behind."""
    workers = Workers(logs)
    try:
        yield workers
    finally:
        workers.stop()
        for process in workers._processes.values():
            process.kill()
