"""`headrace test`: a project's own tests, rows in and values out, with no server."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.printing import say, say_json

if TYPE_CHECKING:
    from contracts.problem import Problem
    from features.project.running import RunningProject
    from headrace.testing.running import TestResult
    from headrace.testing.suite import Suite

EXAMPLE = """
\b
Examples:
  headrace test                                  all tests of the current folder's project
  headrace test passwords --project examples/logins
  headrace test --json
  headrace test --schema > tests.schema.json
"""


@click.command(name="test", epilog=EXAMPLE)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--project", "folder", help="The project's folder (default: HEADRACE_PROJECT, the current one)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--schema", is_flag=True, help="Print the JSON Schema of the project's test files, for editors."
)
def command(names: tuple[str, ...], folder: str | None, as_json: bool, schema: bool) -> None:
    """Run the project's tests: records in, expected features, rules and decisions out, no server.

    They are in the folder's `tests/`: YAML files, and `test_*.py` for pytest (docs/testing.md). The records
    go through the service's own code. A NAME is that of a file, of a test, or both as FILE/TEST.

    Exits with 1 when something that is expected does not hold, with 2 when a test cannot be read.
    """
    from features.project.running import project_at
    from headrace.testing.running import chosen, python_ids, run_python, run_written
    from headrace.testing.suite import read_suite
    from runtime.project_folder import project_folder

    project = project_at(str(project_folder(folder)))
    if schema:
        from headrace.testing.schema import schema_of

        say_json(schema_of(project))
        return
    suite = read_suite(project)
    if suite.problems:
        _refuse(project, suite, as_json)
    of_python = python_ids(project.folder)
    wanted = chosen(names, [*(test.id for test in suite.tests), *of_python])
    written = [test for test in suite.tests if test.id in wanted]
    if written:
        run_written(project, written[0])  # loads what is compiled: no test's time
    results = [run_written(project, test) for test in written]
    if mine := [one for one in of_python if one in wanted]:
        results += run_python(project.folder, mine)
    if as_json:
        say_json(_document(project, results, ()))
    else:
        say(*_lines(project, results))
    sys.exit(0 if all(result.passed for result in results) else 1)


def _refuse(project: "RunningProject", suite: "Suite", as_json: bool) -> None:
    if as_json:
        say_json(_document(project, (), suite.problems))
    else:
        say(
            *(f"{_near(one.file)}:{one.line}: {one.code}: {one.what}; {one.advice}" for one in suite.problems)
        )
    sys.exit(2)


def _lines(project: "RunningProject", results: Sequence["TestResult"]) -> list[str]:
    if not results:
        return [f"no tests in {_near(str(project.folder / 'tests'))}; docs/testing.md says how to write one"]
    lines = []
    for result in results:
        lines.append(f"{'ok  ' if result.passed else 'FAIL'}  {result.id}  {result.seconds:.2f} s")
        for one in result.mismatches:
            at = f"{_near(one.expectation.file)}:{one.expectation.line}"
            lines += [
                f"      {at}: {one.record}: {one.expectation.name}",
                f"        expected {_shown(one.expectation.value)}",
                f"        found    {_shown(one.found)}",
            ]
        if result.failure:
            first, *rest = result.failure.splitlines()
            lines += [
                f"      {_near(result.file)}:{result.line}: {first}",
                *(f"        {line}" for line in rest),
            ]
    failed, seconds = sum(not result.passed for result in results), sum(one.seconds for one in results)
    told = f"{failed} failed" if failed else "all hold"
    many = f"{len(results)} {'test' if len(results) == 1 else 'tests'}"
    return [*lines, f"{project.name}: {many}, {told}, {seconds:.2f} s"]


def _shown(value: Any) -> str:
    """Return a value as a test writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _near(file: str) -> str:
    """Return a path as seen from the current folder, where it lies in it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _document(
    project: "RunningProject", results: Sequence["TestResult"], problems: Sequence["Problem"]
) -> dict[str, Any]:
    return {
        "project": project.name,
        "folder": str(project.folder),
        "tests": len(results),
        "failed": sum(not result.passed for result in results),
        "seconds": round(sum(result.seconds for result in results), 3),
        "problems": [
            {"file": one.file, "line": one.line, "code": one.code, "what": one.what, "remedy": one.remedy,
             "nearest": one.nearest or None}
            for one in problems
        ],
        "results": [
            {
                "id": result.id, "file": result.file, "line": result.line, "passed": result.passed,
                "seconds": round(result.seconds, 3), "failure": result.failure or None,
                "mismatches": [
                    {"file": one.expectation.file, "line": one.expectation.line, "record": one.record,
                     "name": one.expectation.name, "expected": one.expectation.value, "found": one.found}
                    for one in result.mismatches
                ],
            }
            for result in results
        ],
    }  # fmt: skip
