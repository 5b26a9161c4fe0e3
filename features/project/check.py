"""Everything that is wrong in a project's folder, in one run."""

import dataclasses
from pathlib import Path

from features.project.compiled import CompiledProject
from features.project.load import load_project
from features.project.policy_file import check_policy


def check_project(folder: Path) -> CompiledProject:
    """Return the project of a folder with all problems of contracts, declarations and policy."""
    project = load_project(folder)
    if project.declared is None:
        return project
    problems = {*project.problems, *check_policy(folder, project)}
    return dataclasses.replace(project, problems=tuple(sorted(problems)))
