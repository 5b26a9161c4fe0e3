"""Projects that a new one may begin as: files that are there already, taken as they are.

In a checkout the examples are links to their own folders, in an installation the files themselves.
"""

import shutil
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "templates"
SMALLEST = "minimal"
OF_THE_PACKAGE = ("__init__.py", "conftest.py", "generator", "__pycache__")  # Python finds these there


def template_names() -> list[str]:
    """Return the names of all templates, the smallest first.

    >>> template_names()[0], "logins" in template_names()
    ('minimal', True)
    """
    return sorted(
        (path.name for path in FOLDER.iterdir() if path.is_dir()), key=lambda name: name != SMALLEST
    )


def template_files(name: str) -> list[Path]:
    """Return the files of a template, as paths below its folder.

    >>> [str(path) for path in template_files("minimal")][:3]
    ['.feastignore', 'README.md', 'contracts/orders.yaml']
    """
    source = (FOLDER / name).resolve()
    found = (path.relative_to(source) for path in source.rglob("*") if path.is_file())
    return sorted(path for path in found if not set(path.parts) & set(OF_THE_PACKAGE))


def begin_as(name: str, folder: Path, project: str) -> list[Path]:
    """Copy a template into an empty folder, and return what was written, as paths below it.

    The smallest template takes the new project's name; an example keeps its own.
    """
    written = template_files(name)
    for path in written:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(FOLDER / name / path, folder / path)
    if name == SMALLEST:
        for file, before, after in _named(SMALLEST, project):
            (folder / file).write_text((folder / file).read_text().replace(before, after))
    return written


def _named(old: str, new: str) -> list[tuple[str, str, str]]:
    """Return where a project's name stands: the file, the text with the old name and with the new one."""
    return [
        ("features.py", f'Project("{old}"', f'Project("{new}"'),
        ("feature_store.yaml", f"\nproject: {old}\n", f"\nproject: {new}\n"),
    ]
