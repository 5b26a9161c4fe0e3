"""Which project a command works on: the folder named for it, the current one, or the installed one."""

import os
from pathlib import Path

from contracts.errors import ConfigError
from runtime.launch import HOME

FILE = "features.py"
ENVIRONMENT = "HEADRACE_PROJECT"
INSTALLED = HOME / "feature_repo"  # the project that comes with the code


def project_folder(named: str | None = None, here: Path | None = None) -> Path:
    """Return the folder of the project to work on.

    Args:
        named: a folder that was named for it; else `HEADRACE_PROJECT` names one.
        here: the current folder, which is taken when it holds a `features.py`; else the installed project is.

    Raises:
        ConfigError: E_PROJECT_FOLDER, the folder that was named holds no project.

    >>> project_folder(here=Path("/")) == INSTALLED
    True
    """
    return chosen_folder(named, here) or INSTALLED


def chosen_folder(named: str | None = None, here: Path | None = None) -> Path | None:
    """Return the folder that was chosen by name or by where we stand; None where nobody chose one.

    Raises:
        ConfigError: E_PROJECT_FOLDER.
    """
    chosen = named or os.environ.get(ENVIRONMENT)
    if chosen:
        return _with_project(Path(chosen).resolve())
    current = (here or Path.cwd()).resolve()
    return current if (current / FILE).is_file() else None


def _with_project(folder: Path) -> Path:
    """Return a folder that holds a project.

    Raises:
        ConfigError: E_PROJECT_FOLDER.
    """
    if (folder / FILE).is_file():
        return folder
    raise ConfigError(
        "E_PROJECT_FOLDER", f"there is no {FILE}", str(folder),
        "name a project's folder with --project or HEADRACE_PROJECT",
    )  # fmt: skip
