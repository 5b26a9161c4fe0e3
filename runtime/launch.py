"""Run a module of this installation so that no other folder can stand in its place: `launch.py MODULE ...`.

Python looks for a module first in the current directory (`python -m`) and in PYTHONPATH. A folder called
`features/` or `streams/` there would be imported instead of ours. So our packages are found where this file
lies and nowhere else, in this process (`OurPackages`) and in those that take its `sys.path` over, as the
pools of multiprocessing and Dask do.

Standard library only: it runs, as a script, before anything of ours can be imported.
"""

import importlib.machinery
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

HOME = Path(__file__).resolve().parents[1]
PACKAGES = frozenset(("runtime", "contracts", "features", "streams", "inference", "feature_repo", "headrace"))
BESIDE = frozenset(name for name in ("load",) if (HOME / name / "commands").is_dir())  # in a checkout


class OurPackages(MetaPathFinder):
    """Finds our top-level packages beside this file, before anybody asks `sys.path`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where one of our packages is; None for what is not ours."""
        if fullname not in PACKAGES | BESIDE:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [str(HOME)], target)


def install() -> None:
    """Make this process and its pools find our packages here; a second call changes nothing."""
    if not any(type(finder).__name__ == OurPackages.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, OurPackages())
    sys.path[:] = before_others(sys.path)


def before_others(path: Sequence[str]) -> list[str]:
    """Return a search path on which no folder with a package called like one of ours comes before our home.

    >>> before_others(["/nowhere", str(HOME)]) == ["/nowhere", str(HOME)]
    True
    """
    home = str(HOME)
    for at, entry in enumerate(path):
        if entry == home:
            break
        names = PACKAGES | BESIDE
        if any((Path(entry) / name).exists() or (Path(entry) / f"{name}.py").exists() for name in names):
            return [*path[:at], home, *path[at:]]
    return list(path)


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of this installation in a process of its own.

    >>> command("headrace", "gate")[3:]
    ['headrace', 'gate']
    """
    return [sys.executable, "-P", str(Path(__file__).resolve()), module, *arguments]


def main() -> None:
    """Become the module that the command line names."""
    install()
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
