"""The definitions that a worker starts with, left in the lake for whoever reads its rows later."""

from pathlib import Path

import msgspec

from contracts.meaning import Meaning, note_path
from runtime.atomic_file import replace_file


def note(lake: Path, meaning: Meaning) -> None:
    """Leave a set of definitions in the lake; one that is there already stays."""
    path = note_path(lake, meaning.entity, meaning.hash)
    if not path.exists():
        replace_file(path, msgspec.json.format(msgspec.json.encode(meaning)))
