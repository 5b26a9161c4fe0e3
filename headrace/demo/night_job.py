"""The job that fills the batch view, as a process that stays: importing Feast costs more than the work."""

import subprocess
from pathlib import Path

from contracts.errors import ClusterError
from runtime import launch


class NightJob:
    """Materialises up to a given event time, one order after another."""

    def __init__(self, home: Path, log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                launch.command("headrace.demo.night_loop", str(home)),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip

    def materialize(self, end_ms: int) -> None:
        """Fill the online store with the batch view as of `end_ms`, epoch ms.

        Raises:
            ClusterError: E_DEMO_COMMAND, the job ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{end_ms}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer != "done\n":
            raise ClusterError(
                "E_DEMO_COMMAND", f"the materialize job ended with {self._process.wait()}", str(self._log),
                "read its log",
            )  # fmt: skip

    def close(self) -> None:
        """End the process: its input ends, and it is waited for, or killed when it does not see that."""
        try:
            self._process.communicate(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
