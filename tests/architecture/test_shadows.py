"""No folder of the user's stands in the place of one of our packages, wherever a process of ours starts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import launch

CHECKOUT = Path(__file__).resolve().parents[2]
OURS_FIRST = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("headrace", {str(CHECKOUT / "headrace" / "__init__.py")!r})
sys.modules["headrace"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["headrace"])
"""  # as the console script of an installation does: ours is found, and the user's folders are on the path
POOLS = (
    OURS_FIRST
    + """
if __name__ == "__main__":
    from functools import partial
    from headrace.traffic.pacing import at_rate
    from inference.offline.backfill.executors import DaskProcesses, Processes
    for pool in (Processes(2), DaskProcesses(2)):
        print([len(moments) for moments in pool.map(partial(at_rate, events_per_s=1.0), [2, 2])])
"""
)
TRIAL = (
    OURS_FIRST
    + """
from contracts.errors import ModelError
from inference.models.manifest import Golden
from inference.models.trial import try_model
try:
    try_model("no model", Golden(vectors=[], scores=[]))
except ModelError as error:
    print(error.code)
"""
)


@pytest.fixture
def shadowed(tmp_path: Path) -> Path:
    """A folder with packages called like all of ours, each of which says so when it is imported."""
    for name in launch.PACKAGES | launch.BESIDE:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('shadowed by {name}')")
    return tmp_path


def run(command: list[str], shadowed: Path, *, errors: bool = True) -> str:
    """Run a command in the folder, with the folder in PYTHONPATH too, and return what it printed.

    Pools may warn on a busy machine, so what is printed as an error can be left out.
    """
    variables = {**os.environ, "PYTHONPATH": str(shadowed)}
    done = subprocess.run(
        command, cwd=shadowed, env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + (done.stderr if errors else "")


def test_a_command_in_a_process_of_its_own_is_ours(shadowed: Path) -> None:
    assert "Events from Kafka to decisions" in run(launch.command("headrace", "--help"), shadowed)
    assert "shadowed" in run([sys.executable, "-m", "headrace", "--help"], shadowed)  # the folder does shadow


def test_a_trial_of_a_model_is_ours(shadowed: Path) -> None:
    assert run([sys.executable, "-c", TRIAL], shadowed).strip() in ("E_MODEL_LOAD", "E_MODEL_CRASH")


def test_pools_of_processes_are_ours(shadowed: Path) -> None:
    (shadowed / "pools.py").write_text(POOLS)
    said = run([sys.executable, str(shadowed / "pools.py")], shadowed, errors=False)
    assert said.splitlines() == ["[2, 2]", "[2, 2]"]


def test_who_imports_us_gets_all_of_us(shadowed: Path) -> None:
    names = sorted((launch.PACKAGES | launch.BESIDE) - {"headrace"})
    script = OURS_FIRST + "".join(f"import {name}; print({name}.__file__)\n" for name in names)
    expected = [str(CHECKOUT / name / "__init__.py") for name in names]
    assert run([sys.executable, "-c", script], shadowed).splitlines() == expected


def test_every_process_of_ours_starts_so() -> None:
    """Nothing in the product starts Python by a module's name: the current directory could answer to it."""
    named = re.compile(r"sys\.executable,\s*\"-[mc]\"")
    found = {
        str(path.relative_to(CHECKOUT))
        for package in launch.PACKAGES | launch.BESIDE
        for path in (CHECKOUT / package).rglob("*.py")
        if named.search(path.read_text())
    }
    peers = {"load/peers/environment.py", "load/peers/plain.py"}  # a venv; programs of other projects
    assert found == {"contracts/generate.py", *peers}  # `make contracts`
