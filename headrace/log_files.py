"""Logs of bounded size: a log that has grown too long is put aside under a number, the oldest is dropped.

The writer holds the file open for appending and knows nothing of it, so its content is copied and the file
cut to nothing (logrotate's `copytruncate`). What is written between the last copy and the cut is lost: a
line of a log, seldom, and never anything else.
"""

import io
import os
import shutil
from pathlib import Path
from typing import TextIO

MAX_BYTES = 16 << 20
KEEP = 3
PRIVATE = 0o600


def rotate(log: Path, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> bool:
    """Put the log aside as `<name>.1` where it is longer than `max_bytes`; return whether it was.

    At most `keep` older ones stay, `.1` being the newest; all of them are readable by their owner alone.
    """
    if not log.exists() or log.stat().st_size <= max_bytes:
        return False
    for number in range(keep, 1, -1):
        newer = _numbered(log, number - 1)
        if newer.exists():
            newer.replace(_numbered(log, number))
    fresh = log.with_name(f"{log.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    with log.open("rb") as source, os.fdopen(descriptor, "wb", buffering=0) as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
        shutil.copyfileobj(source, copy)  # what came meanwhile
        os.truncate(log, 0)
    fresh.replace(_numbered(log, 1))
    return True


class LogStream:
    """A stream that a process logs to: a disk that is full costs lines of the log, and never the process.

    Lines that could not be written are counted, and the first that can be again is preceded by their number.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line, self._lost = "", 0

    def write(self, text: str) -> int:
        """Take a piece of a line; the line is written when it is whole."""
        self._line += text
        if text.endswith("\n"):
            line, self._line = self._line, ""
            self._write(line)
        return len(text)

    def _write(self, line: str) -> None:
        lost = f'{{"level": "warning", "event": "log_lines_lost", "count": {self._lost}}}\n'
        try:
            self._put(lost + line if self._lost else line)
        except OSError:
            self._lost += 1
        else:
            self._lost = 0

    def _put(self, text: str) -> None:
        """Write past the stream's own buffer, which would keep, and fail again with, what failed once."""
        try:
            descriptor = self._stream.fileno()
        except io.UnsupportedOperation:  # a stream in memory
            self._stream.write(text)
            return
        data = text.encode(errors="backslashreplace")
        while data:
            data = data[os.write(descriptor, data) :]

    def flush(self) -> None:
        """Do nothing more: no line waits."""


def make_private(folder: Path) -> None:
    """Make a folder of logs, or one that is there, readable by its owner alone."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
