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
    "mlflow",
)
COMMANDS = sorted(
    f"{room}.commands.{path.stem}"
    for room in ("headrace", "load")
    for path in (CHECKOUT / room / "commands").glob("*.py")
    if not path.stem.startswith("_")
)


def test_rooms_import_only_what_they_may() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, timeout=100)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_shown_without_importing_what_it_runs_on(name: str) -> None:
    assert _loaded(name, HEAVY) == ""


@pytest.mark.parametrize("name", ["scorer.worker", "serve.worker", "models.trial"])
def test_what_payments_wait_for_starts_without_what_it_does_not_use(name: str) -> None:
    assert _loaded(f"inference.{name}", ("pandas", "feast", "faust", "duckdb", "sqlalchemy", "mlflow")) == ""


def test_pandas_is_there_for_whoever_asks_after_lightgbm() -> None:
    assert _loaded("inference.models.bare_lightgbm, pandas", ("lightgbm", "pandas")) == "lightgbm pandas"


def _loaded(modules: str, packages: tuple[str, ...]) -> str:
    """Return which packages are loaded by importing modules in a fresh process."""
    code = (
        f"import importlib, sys\n"
        f"for name in {modules.split(', ')!r}: importlib.import_module(name)\n"
        f"print(*[package for package in {packages} if package in sys.modules])\n"
    )  # fmt: skip
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_our_folder_docker_does_not_hide_the_sdk() -> None:
    assert not (CHECKOUT / "docker" / "__init__.py").exists()
