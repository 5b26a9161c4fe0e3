"""`headrace check`: everything that is wrong in a project's folder, without running any of it on a server."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.printing import say, say_json

if TYPE_CHECKING:
    from contracts.problem import Problem
    from features.project.compiled import CompiledProject

EXAMPLE = """
\b
Examples:
  headrace check                                the project of the current folder
  headrace check --project examples/logins --json
"""


@click.command(name="check", epilog=EXAMPLE)
@click.option(
    "--project", "folder", help="The project's folder (default: HEADRACE_PROJECT, the current one)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(folder: str | None, as_json: bool) -> None:
    """Show all that is wrong in a project: contracts, features, models, policy; exit code 2 if anything is.

    Each problem has its file and line, a code, what to do, and the nearest right name. The project's
    features.py is run, as any command in that folder does.
    """
    from features.project.check import check_project
    from runtime.project_folder import project_folder

    project = check_project(project_folder(folder))
    project = dataclasses.replace(project, problems=(*project.problems, *_engine_policy(project)))
    if as_json:
        say_json(_document(project))
    else:
        say(*_lines(project))
    sys.exit(2 if project.problems else 0)


def _engine_policy(project: "CompiledProject") -> "Iterator[Problem]":
    """Yield what the scorer would refuse in a policy with the engine's own decisions."""
    from contracts.errors import ConfigError
    from contracts.problem import Problem
    from contracts.yaml_file import load
    from features.project.policy_file import FILE

    path = Path(project.folder) / FILE
    if project.problems or not path.is_file() or "decisions" in load(path):
        return
    from features.project.running import project_at
    from inference.policy.policy import read_policy

    try:
        read_policy(path, project_at(project.folder))
    except ConfigError as error:
        yield Problem(file=str(path), line=1, code=error.code, what=error.what, remedy="correct the file")


def _lines(project: "CompiledProject") -> list[str]:
    if project.problems:
        shown = [f"{_near(problem.file)}:{problem.line}: {problem.code}: {problem.what}; {problem.advice}"
                 for problem in project.problems]  # fmt: skip
        return [*shown, f"{len(shown)} {'problem' if len(shown) == 1 else 'problems'} in {project.folder}"]
    assert project.declared is not None
    views, columns = len(project.views) + len(project.batch_views), len(project.feature_names)
    lines = [f"{project.declared.name}: {len(project.contracts)} sources, {views} views, {columns} features"]
    for view in project.views:
        lines += [
            f"  {view.name}: sums of {measure} fit up to {rows:,} rows of a key"
            for measure, rows in view.rows_allowed.items()
        ]
    if project.needs:
        lines.append(f"  not run by this version yet: {', '.join(project.needs)}")
    return lines


def _near(file: str) -> str:
    """Return a path as seen from the current folder, where it lies in it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _document(project: "CompiledProject") -> dict[str, Any]:
    return {
        "project": project.declared.name if project.declared else None,
        "folder": project.folder,
        "problems": [
            {"file": each.file, "line": each.line, "code": each.code, "what": each.what,
             "remedy": each.remedy,
             "nearest": each.nearest or None}
            for each in project.problems
        ],
        "views": {
            view.name: {"entity": view.entity, "source": view.source, "features": list(view.columns),
                        "rows_allowed": dict(view.rows_allowed)}
            for view in project.views
        },
        "models": {model.name: list(model.columns) for model in project.models},
        "not_run_yet": list(project.needs),
    }  # fmt: skip
