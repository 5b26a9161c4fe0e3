"""Which folders of a checkout hold the product's code, and which files are in them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

NO_PRODUCT = {"tests", "tools", "docs", "docker", "examples", "build"}
LOAD = "load"
PROJECTS = ("feature_repo", "examples", "templates", "load", "docs", "tests", "tools")  # may name a use case


class Source(NamedTuple):
    """A Python file of a checkout: its path from the root, and its text."""

    path: str
    text: str

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the folders and the file's name."""
        return tuple(self.path.split("/"))

    @property
    def room(self) -> str:
        """Return the top folder."""
        return self.parts[0]


def rooms(root: Path) -> list[str]:
    """Return the top folders that hold Python of the product or of `load`, in order of their names."""
    return sorted(
        path.name
        for path in root.iterdir()
        if path.is_dir() and path.name not in NO_PRODUCT and not path.name.startswith(".")
        and any(path.rglob("*.py"))
    )  # fmt: skip


def sources(root: Path, chosen: list[str]) -> list[Source]:
    """Return every Python file of the chosen rooms."""
    return [Source(path.relative_to(root).as_posix(), path.read_text()) for path in _files(root, chosen)]


def _files(root: Path, chosen: list[str]) -> Iterator[Path]:
    for room in chosen:
        for path in sorted((root / room).rglob("*.py")):
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            if "__pycache__" not in path.parts and not hidden:
                yield path
