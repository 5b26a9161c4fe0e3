"""What the product imports or runs is what an installation brings: no tool of development is among it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from runtime.launch import PACKAGES

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
FILES = sorted(path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py"))
OPTIONAL = {
    "mlflow": "mlflow",
    "pytest": "a project with tests in Python",
    "quixstreams": "peers",
    "bytewax": "peers",
    "distributed": "a Dask cluster",
}
BROUGHT = {  # by a dependency that could not do without them
    "dask": "feast", "dill": "feast", "google": "feast", "ibis": "feast", "pandas": "feast",
    "psutil": "feast", "yaml": "feast",
    "mode": "faust-streaming", "fastavro": "feast", "sklearn": "lightgbm", "dateutil": "pandas",
}  # fmt: skip
DEVELOPMENT = ("ruff", "mypy", "pytest", "hypothesis", "lint-imports", "testcontainers")


def normal(name: str) -> str:
    return re.split(r"[<>=!~;\[ ]", name, maxsplit=1)[0].lower().replace("_", "-")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_every_import_is_of_a_dependency_that_an_installation_has() -> None:
    declared = {normal(name) for name in PROJECT["dependencies"]}
    providers = packages_distributions()
    foreign = {
        (name, str(path.relative_to(CHECKOUT)))
        for path in FILES
        for name in imported(path)
        if name not in sys.stdlib_module_names and name not in PACKAGES
        and name not in OPTIONAL and name not in BROUGHT
        and not declared & {normal(provider) for provider in providers.get(name, [])}
    }  # fmt: skip
    assert foreign == set()


def programs(path: Path) -> Iterator[str]:
    """Yield texts of a file that stand in a list or call, where the words of a command line stand."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.List | ast.Tuple | ast.Call):
            inside = node.args if isinstance(node, ast.Call) else node.elts
            for word in inside:
                if isinstance(word, ast.Constant) and isinstance(word.value, str):
                    yield word.value


@pytest.mark.parametrize("tool", DEVELOPMENT)
def test_no_tool_of_development_is_run_by_what_an_installation_does(tool: str) -> None:
    users = {str(path.relative_to(CHECKOUT)) for path in FILES if tool in programs(path)}
    assert users <= {"contracts/generate.py"}  # `make contracts`, in a checkout


def test_what_uses_the_formatter_is_not_reached_by_the_doctor() -> None:
    from contracts import generate

    assert generate.is_current(generate.HERE)
    text = (CHECKOUT / "headrace" / "doctor.py").read_text()
    assert "generate.source" not in text
