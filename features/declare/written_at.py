"""Where a declaration was written, so that what is wrong with it can be shown with file and line."""

import sys
from pathlib import Path
from typing import NamedTuple

_HERE = str(Path(__file__).parent)


class WrittenAt(NamedTuple):
    """A line of a file."""

    file: str
    line: int


def written_at() -> WrittenAt:
    """Return the line outside of this folder that is making a declaration.

    >>> written_at().line
    1
    """
    frame = sys._getframe(1)
    while frame.f_back and (
        frame.f_code.co_filename.startswith(_HERE) or frame.f_code.co_filename == "<string>"
    ):
        frame = frame.f_back
    return WrittenAt(frame.f_code.co_filename, frame.f_lineno)
