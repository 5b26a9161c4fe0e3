"""A process ends, or stops its clock, at the point and passage that the environment names; else nowhere."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts import crash_points
from contracts.crash_points import POINTS, planted, reach

LOOP = """
import sys, time
from contracts.crash_points import reach
for passage in range(int(sys.argv[1])):
    print(passage, flush=True)
    reach("stage.after_commit")
    time.sleep(0.02)
"""


def started(passages: int, **environment: str) -> "subprocess.Popen[str]":
    """Start a process that passes the point so often."""
    return subprocess.Popen(
        [sys.executable, "-c", LOOP, str(passages)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def test_nothing_happens_unless_asked() -> None:
    for point in POINTS:
        reach(point)
    assert not planted("commit_early")


def test_the_named_passage_is_the_last() -> None:
    process = started(9, HEADRACE_CRASH_AT="stage.after_commit:3")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert said.split() == ["0", "1", "2"]


def test_another_point_is_passed() -> None:
    process = started(2, HEADRACE_CRASH_AT="stage.after_store")
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_running_worker_is_armed_by_a_file_of_its_name(tmp_path: Path) -> None:
    process = started(3_000, HEADRACE_CRASH_AT=f"@{tmp_path}", HEADRACE_WORKER="stream-customer")
    assert process.stdout is not None
    process.stdout.readline()
    (tmp_path / "gate").write_text("stage.after_commit")
    (tmp_path / "stream-customer").write_text("stage.after_commit:2")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gate", "stream-customer.hit"]


def test_a_clock_stopped_at_a_point_goes_on_when_woken() -> None:
    process = started(4, HEADRACE_CRASH_AT="stage.after_commit:2:STOP")
    deadline_s = time.monotonic() + 60
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.split() == ["0", "1", "2", "3"]


@pytest.mark.parametrize("name", ["MemoryError", "OSError", "confluent_kafka.KafkaException"])
def test_an_exception_is_raised_at_the_named_passage(name: str) -> None:
    process = started(9, HEADRACE_CRASH_AT=f"stage.after_commit:2:RAISE={name}")
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.split() == ["0", "1"]
    assert name.rpartition(".")[2] in errors


def test_a_running_worker_is_armed_to_raise_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "gate").write_text("stage.after_commit:2:RAISE=TypeError")
    process = started(9, HEADRACE_CRASH_AT=f"@{tmp_path}", HEADRACE_WORKER="gate")
    _, errors = process.communicate(timeout=60)
    assert "TypeError: injected at stage.after_commit" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["gate.hit"]


def test_hooks_are_armed_in_a_checkout_alone(tmp_path: Path) -> None:
    """An installed package has no tests beside it: what the environment asks for is not done there."""
    shutil.copytree(Path(crash_points.__file__).parent, tmp_path / "contracts")
    (tmp_path / "tests").mkdir()  # some packages leave such a folder in site-packages
    code = LOOP + "\nfrom contracts.crash_points import armed, in_checkout, planted\n"
    code += "print(planted('commit_early'), in_checkout(), sorted(armed()))"
    environment = {
        **os.environ, "PYTHONPATH": str(tmp_path), "HEADRACE_CRASH_AT": "stage.after_commit",
        "HEADRACE_PLANTED_FAULT": "commit_early",
    }  # fmt: skip
    answer = subprocess.run(
        [sys.executable, "-c", code, "2"], env=environment, cwd=tmp_path, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split("\n")[2] == "False False ['HEADRACE_CRASH_AT', 'HEADRACE_PLANTED_FAULT']"
