"""Load a project's `features.py` by its path, under a private name: never through `sys.path`."""

import hashlib
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from contracts.errors import ConfigError
from contracts.problem import Problem, nearest_name
from features.declare import Project
from features.project.compile import compile_project
from features.project.compiled import CompiledProject
from runtime.project_folder import FILE

_NO_SUCH = re.compile(r"cannot import name '(\w+)' from 'headrace'")


def load_project(folder: Path) -> CompiledProject:
    """Return the project of a folder with everything that is wrong with it.

    What is wrong with the file itself is one problem: E_PROJECT_PYTHON where Python cannot run it,
    E_PROJECT_NONE where it declares no project, or two.
    """
    path = folder / FILE
    declared = _declared(path)
    if isinstance(declared, Problem):
        return CompiledProject(folder=str(folder), declared=None, problems=(declared,))
    return compile_project(folder, declared)


def project_of(folder: Path) -> CompiledProject:
    """Return the project of a folder, which has nothing wrong with it.

    Raises:
        ConfigError: the first problem that `load_project` finds.
    """
    project = load_project(folder)
    if project.problems:
        raise project.problems[0].error
    return project


def _declared(path: Path) -> Project | Problem:
    """Return the project that a file declares, or why it declares none."""
    try:
        module = run_file(path)
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        return _problem(path, 1, "E_PROJECT_PYTHON", what, f"give the folder a {FILE}")
    except SyntaxError as error:
        return _problem(
            path, error.lineno or 1, "E_PROJECT_PYTHON", f"no Python: {error.msg}", "correct the line"
        )
    except ImportError as error:
        return _import_problem(path, error)
    except ConfigError as error:
        return _problem(path, _line(path, error), error.code, error.what, error.next_step)
    except Exception as error:  # noqa: BLE001  # the file is a stranger's program: whatever it raises is shown
        what = f"{type(error).__name__}: {error!s:.200}"
        return _problem(path, _line(path, error), "E_PROJECT_PYTHON", what, "correct the line")
    found = [value for value in vars(module).values() if isinstance(value, Project)]
    if len(found) != 1:
        what = f"it declares {len(found)} projects" if found else "it declares no project"
        return _problem(path, 1, "E_PROJECT_NONE", what, "write one project = Project(...)")
    return found[0]


def run_file(path: Path) -> ModuleType:
    """Run a file of a project by its path, under a private name, and return its names.

    No bytecode is left in the folder, and nothing beside it can be imported.

    Raises:
        Exception: whatever the file raises; it is a stranger's program.
    """
    text = path.read_bytes()
    module = ModuleType(f"_headrace_project_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}")
    module.__file__ = str(path)
    code = compile(text, str(path), "exec", dont_inherit=True)
    sys.modules[module.__name__] = module  # dataclasses and pickles look there for what the file defines
    exec(code, vars(module))  # noqa: S102  # a project is a program, as Feast's repositories are
    return module


def _import_problem(path: Path, error: ImportError) -> Problem:
    line = _line(path, error)
    found = _NO_SUCH.match(str(error))
    if found:
        name = found[1]
        known = getattr(sys.modules.get("headrace"), "__all__", ())
        return Problem(
            file=str(path),
            line=line,
            code="E_PROJECT_PYTHON",
            what=f"headrace has no {name!r}",
            remedy="import what headrace has",
            nearest=nearest_name(name, known),
        )
    return _problem(
        path, line, "E_PROJECT_PYTHON", str(error), "import what is installed; files beside it are not found"
    )


def _line(path: Path, error: BaseException) -> int:
    """Return the last line of the file that led to an error."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if frame.filename == str(path)), 1)


def _problem(path: Path, line: int, code: str, what: str, remedy: str) -> Problem:
    return Problem(file=str(path), line=line, code=code, what=what, remedy=remedy)
