"""The job that fills the batch view, as a process that stays: importing Feast costs more than the work."""

import subprocess
import sys
from pathlib import Path

from contracts.errors import ClusterError

CODE = Path(__file__).resolve().parents[2]
LOOP = """
import sys
from pathlib import Path
from headrace.run import Run
from headrace.commands.materialize import materialize
answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print goes to the log
run = Run.load(Path(sys.argv[1]))
for line in sys.stdin:
    materialize(run, int(line))
    print("done", file=answers, flush=True)
"""


class NightJob:
    """Materialises up to a given event time, one order after another."""

    def __init__(self, home: Path, log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", LOOP, str(home)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=CODE,
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
