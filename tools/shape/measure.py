"""All figures of one checkout."""

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tools.shape.processes import process_modules
from tools.shape.record import one_record
from tools.shape.rooms import LOAD, PROJECTS, Source, rooms, sources
from tools.shape.text import hidden_imports, lines, names_use_case, naming_files, repeated_classes, skips

DATA = {".yaml", ".toml", ".sql", ".lua", ".json"}  # what a wheel carries besides code


class Findings(NamedTuple):
    """What the text of a checkout shows, by name; `load` apart where `product` is said."""

    hidden_imports: list[str]
    repeated_classes: dict[str, int]
    naming_files: list[str]
    naming_prose: list[str]
    naming_data: list[str]

    def limits(self) -> dict[str, int]:
        """Return the counts that may only fall; a class name twice counts once, thrice twice."""
        return {
            "hidden_imports": len(self.hidden_imports),
            "repeated_classes": sum(self.repeated_classes.values()) - len(self.repeated_classes),
            "naming_files": len(self.naming_files),
            "naming_data": len(self.naming_data),
        }


def findings(root: Path) -> Findings:
    """Return what may only become less in a checkout: all without running any of it."""
    ours = rooms(root)
    files = sources(root, ours)
    named = naming_files(files)
    return Findings(
        hidden_imports(files, ours), repeated_classes(files), named.code, named.prose, data_files(root, ours)
    )


def data_files(root: Path, ours: list[str]) -> list[str]:
    """Return the files besides Python that name the use case, outside of projects."""
    return [
        path.relative_to(root).as_posix()
        for room in ours
        if room not in PROJECTS
        for path in sorted((root / room).rglob("*"))
        if path.suffix in DATA and path.is_file()
        and not any(part in PROJECTS or part.startswith(".") for part in path.relative_to(root).parts[:-1])
        and names_use_case(path.read_text())
    ]  # fmt: skip


def measure(root: Path) -> dict[str, Any]:
    """Return all figures of a checkout as one JSON document."""
    ours = rooms(root)
    every = sources(root, ours)
    product = [file for file in every if file.room != LOAD]
    found, passed = findings(root), one_record(root, ours)
    return {
        "commit": commit(root),
        "lines": lines(product),
        "lines_product": sum(lines(product).values()),
        "lines_load": sum(lines([file for file in every if file.room == LOAD]).values()),
        "lines_tests": sum(lines(sources(root, ["tests"])).values()),
        "files_product": len(product),
        "process_modules": {name: len(names) for name, names in process_modules(root, ours).items()},
        "record_modules": len(passed.modules),
        "record_functions": len(passed.functions),
        "record_representations": len(passed.carriers),
        "repeated_classes": len(found.repeated_classes),
        "repeated_classes_product": len(repeated_classes(product)),
        "hidden_imports": len(found.hidden_imports),
        "naming_files": len(found.naming_files),
        "naming_files_prose_only": len(found.naming_prose),
        "naming_data": len(found.naming_data),
        "fmt_skip": skips(every),
        "fmt_skip_tests": skips(_tests(root)),
    }


def _tests(root: Path) -> list[Source]:
    return sources(root, ["tests"])


def commit(root: Path) -> str:
    """Return the commit of a checkout, with `+` where files of it were changed since."""
    git = ["git", "-C", str(root)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
    )
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
