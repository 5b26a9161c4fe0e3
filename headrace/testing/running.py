"""Runs a project's tests, written as YAML or in Python, and says of each whether it holds."""

import contextlib
import io
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from contracts.problem import nearest_name
from features.project.running import RunningProject
from headrace.testing.delivery import delivered
from headrace.testing.expected import Mismatch, found_of, holds
from headrace.testing.suite import FOLDER, WrittenTest
from headrace.testing.written import WrittenRecord
from runtime.project_folder import ENVIRONMENT


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """How one test ended.

    `mismatches` are expectations that do not hold; `failure` is what a Python test said.
    """

    __test__ = False  # for pytest: this is none of its classes

    id: str
    file: str
    line: int
    seconds: float
    mismatches: Sequence[Mismatch] = field(default_factory=tuple)
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Whether all of it holds."""
        return not self.mismatches and not self.failure


def run_written(project: RunningProject, test: WrittenTest) -> TestResult:
    """Deliver a test's records and compare what became of them."""
    begin = time.perf_counter()
    came = delivered(project, test.records, test.thresholds)
    wrong = [
        Mismatch(expectation=one, record=_label(test.records[at], at), found=found_of(one, came[at]))
        for at, expected in test.expectations.items()
        for one in expected
        if not holds(one, came[at])
    ]
    return TestResult(
        id=test.id, file=test.file, line=test.line, seconds=time.perf_counter() - begin, mismatches=wrong
    )


def chosen(names: Sequence[str], known: Sequence[str]) -> frozenset[str]:
    """Return the ids that are meant: a whole id, a test's own name, or a file's.

    Raises:
        ConfigError: E_TEST_NAME, a name is none of these; the nearest is told.

    >>> sorted(chosen(["guessing"], ["guessing/a", "guessing/b", "stuffing/c"]))
    ['guessing/a', 'guessing/b']
    """
    found: set[str] = set(known if not names else ())
    for name in names:
        mine = [one for one in known if name in (one, *one.split("/", 1))]
        if not mine:
            words = {word for one in known for word in (one, *one.split("/", 1))}
            near = nearest_name(name, words)
            raise ConfigError(
                "E_TEST_NAME", "no test or file of tests is called so", name,
                f"did you mean {near!r}?" if near else "`headrace test` without a name runs all",
            )  # fmt: skip
        found.update(mine)
    return frozenset(found)


def run_python(folder: Path, names: Sequence[str] = ()) -> list[TestResult]:
    """Run `tests/test_*.py` of a project by pytest, in this process.

    Args:
        names: of tests, by their id as `FILE/FUNCTION`; empty for all.

    Raises:
        ConfigError: E_TEST_PYTEST, pytest is not installed; E_TEST_PYTHON, a file cannot be run.
    """
    if not python_files(folder):
        return []
    return [one for one in _run_pytest(folder).results if not names or one.id in names]


def python_ids(folder: Path) -> list[str]:
    """Return the ids of the tests in `tests/test_*.py`, without running one; raises as `run_python`."""
    if not python_files(folder):
        return []
    return _run_pytest(folder, "--collect-only").ids


def python_files(folder: Path) -> list[Path]:
    """Return the Python files of a project's tests."""
    return sorted((folder / FOLDER).glob("test_*.py"))


def _run_pytest(folder: Path, *also: str) -> "_Seen":
    """Run pytest over a project's files with nothing of its own on the screen or the disk."""
    seen, files = _Seen(folder), [str(path) for path in python_files(folder)]
    own = ["--rootdir", str(folder), "-c", os.devnull, "--import-mode=importlib"]
    pytest = _pytest()
    os.environ[ENVIRONMENT] = str(folder)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            code = int(pytest.main([*own, "-p", "no:cacheprovider", *also, *files], plugins=[seen]))
    finally:
        sys.dont_write_bytecode = written
        _forget(folder / FOLDER)
    if seen.broken or code not in (0, 1, 5):  # all hold, some do not, there are none
        file, why = seen.broken[0] if seen.broken else (str(folder / FOLDER), f"pytest ended with {code}")
        raise ConfigError("E_TEST_PYTHON", why, file, "correct the file")
    return seen


def _forget(folder: Path) -> None:
    """Let go of the modules of a folder: another project's may have the same names."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and Path(file).is_relative_to(folder):
            del sys.modules[name]


class _Seen:
    """What pytest tells of its tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ids: list[str] = []
        self.results: list[TestResult] = []
        self.broken: list[tuple[str, str]] = []

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Take note of the tests there are."""
        self.ids = [_python_id(Path(str(item.path)), item.name) for item in items]

    def pytest_collectreport(self, report: Any) -> None:
        """Take note of a file that cannot be run."""
        if report.failed:
            self.broken.append((str(self._folder / report.nodeid), _last_line(report.longreprtext)))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take note of how a test ended."""
        if report.when == "call" or report.failed:
            file, line, _ = report.location
            path = self._folder / file
            crash = getattr(report.longrepr, "reprcrash", None)
            at = crash.lineno if crash is not None and crash.path == str(path) else (line or 0) + 1
            said = crash.message if crash is not None else report.longreprtext
            self.results.append(
                TestResult(
                    id=_python_id(path, report.nodeid.rpartition("::")[2]), file=str(path),
                    line=at, seconds=report.duration,
                    failure=said if report.failed else "",
                )
            )  # fmt: skip


def _pytest() -> Any:
    try:
        import pytest
    except ImportError as error:
        raise ConfigError(
            "E_TEST_PYTEST", "the project has tests in Python, and pytest is not installed", FOLDER,
            "install pytest beside headrace, or write the tests as YAML",
        ) from error  # fmt: skip
    return pytest


def _python_id(path: Path, name: str) -> str:
    return f"{path.stem}/{name}"


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), text)[:300]


def _label(record: WrittenRecord, at: int) -> str:
    """Return what a record is called where a person reads: its place, source and id."""
    name = record.form.id_of(record.document)
    return f"record {at + 1}, {record.form.name}" + (f" {name}" if name else "")
