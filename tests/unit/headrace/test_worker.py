"""What every worker's command does around its process: in which order, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
WORK = """
import os, signal, sys, time
from pathlib import Path
from headrace import guarding
from runtime.run import Run
from headrace.worker import working
from inference.release.settings import MirrorSettings

run = Run.create(Path(sys.argv[1]), "demo")
began = []
guarding.begin = lambda name, run, registry: began.append((name, (run.ports / "gate.json").exists()))
settings = MirrorSettings(models=run.models)
with working("gate", run, settings, guard="gate") as worker:
    assert began == [("gate", False)], "the guard looks before anybody counts on the worker"
    part = worker.health.part("loop", 0.2)
    time.sleep(0.3)
    assert worker.health.report()["status"] == "stuck", "what came before is start-up"
    worker.ready()
    assert worker.health.report()["status"] == "ok"
    assert (run.ports / "gate.json").exists()
    assert not worker.is_stopping()
    os.kill(os.getpid(), signal.SIGTERM)
    assert worker.is_stopping()
    print("stops by itself", flush=True)
    if len(sys.argv) > 2:
        raise getattr(__import__("builtins"), sys.argv[2])("nobody expected it")
print("and ends", flush=True)
"""


def work(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-c", WORK, str(root), *arguments], cwd=CHECKOUT, text=True, capture_output=True,
        env=environment, timeout=120, check=False,
    )  # fmt: skip


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_worker_says_its_settings_is_guarded_ready_and_stops_by_a_signal(tmp_path: Path) -> None:
    done = work(tmp_path)
    assert (done.returncode, done.stdout) == (0, "stops by itself\nand ends\n"), done.stderr
    assert [(one["event"], one["worker"]) for one in lines(done.stderr)] == [("settings", "gate")]


@pytest.mark.parametrize("error", ["MemoryError", "KeyError", "RuntimeError"])
def test_an_exception_in_the_block_ends_the_process_with_70_and_its_reason(
    tmp_path: Path, error: str
) -> None:
    done = work(tmp_path, error)
    assert (done.returncode, done.stdout) == (70, "stops by itself\n"), done.stderr
    last = lines(done.stderr)[-1]
    assert (last["event"], last["code"]) == ("stopped", "E_INTERNAL")
    assert error in str(last["reason"])
