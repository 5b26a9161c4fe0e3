"""The direction of imports, and that the command line stays quick."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
HEAVY = (
    "faust",
    "feast",
    "lightgbm",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "river",
    "duckdb",
    "confluent_kafka",
)
COMMANDS = sorted(
    path.stem for path in (CHECKOUT / "headrace" / "commands").glob("*.py") if not path.stem.startswith("_")
)


def test_rooms_import_only_what_they_may() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, timeout=100)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_shown_without_importing_what_it_runs_on(name: str) -> None:
    code = (
        f"import sys, headrace.commands.{name}\n"
        f"print(*[package for package in {HEAVY} if package in sys.modules])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, timeout=60
    )
    assert answer.stdout.strip() == "", answer.stderr


def test_our_folder_docker_does_not_hide_the_sdk() -> None:
    assert not (CHECKOUT / "docker" / "__init__.py").exists()
