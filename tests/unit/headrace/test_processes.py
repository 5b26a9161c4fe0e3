"""Processes: known by id and start time, tethered to who started them, ended for sure."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.processes import Process, alive_pid, reap, spawn
from tests.waiting import until

PYTHON = sys.executable
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


def started(tmp_path: Path, code: str, *, tethered: bool = True) -> Process:
    return spawn([PYTHON, "-c", code], tmp_path / "log", os.environ, tethered=tethered)


def test_output_is_kept_and_the_exit_code_is_told(tmp_path: Path) -> None:
    process = started(tmp_path, "import sys; print('hello'); print('oh', file=sys.stderr); sys.exit(71)")
    until(lambda: not process.alive(), timeout_s=20, what="the process has ended")
    assert process.exit_code() == 71
    assert sorted((tmp_path / "log").read_text().split()) == ["hello", "oh"]


def test_a_child_counts_its_metrics_in_its_own_memory(tmp_path: Path) -> None:
    shown = [sys.executable, "-c", "import os; print(sorted(n for n in os.environ if 'MULTIPROC' in n))"]
    process = spawn(
        shown, tmp_path / "log", os.environ | {"PROMETHEUS_MULTIPROC_DIR": "/nowhere"}, tethered=False
    )
    assert process.wait(10)
    assert (tmp_path / "log").read_text() == "[]\n"


def test_what_will_not_stop_is_ended(tmp_path: Path) -> None:
    process = started(tmp_path, DEAF)
    until(lambda: "deaf" in (tmp_path / "log").read_text(), timeout_s=20, what="the process is deaf")
    process.stop(patience_s=0.2)
    assert process.exit_code() == -signal.SIGKILL


def test_a_stranger_with_the_same_id_is_left_alone(tmp_path: Path) -> None:
    process = started(tmp_path, "import time; time.sleep(60)")
    stale = Process(process.pid, process.start_tick - 1)
    stale.stop(patience_s=0.1)
    assert process.alive()
    assert not stale.alive()
    process.stop(patience_s=5)
    reap(process)
    assert not alive_pid(process.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_tethered_process_ends_with_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from headrace.processes import spawn\n"
        f"command = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        f"process = spawn(command, Path({str(tmp_path / 'inner')!r}), os.environ, tethered=True)\n"
        "time.sleep(0.5); print(process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([PYTHON, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive_pid(child)
        parent.send_signal(number)
    until(lambda: not alive_pid(child), timeout_s=10, what="the child has ended too")
