"""Files that are whole or not there: written under a hidden name, synced, renamed, and the folder synced.

A rename without the first sync may name a file that is empty after a power cut; one without the second may
be gone. Every file that the service keeps is written here, so that neither is forgotten anywhere:

    .<name>.<pid>-<n>.part   hidden, while it is written; a process that was killed may leave it
    <name>                   the file, from the rename on

Readers that list a folder pass over hidden names.
"""

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from contracts.crash_points import reach

PUBLIC = 0o666  # less what the process's umask takes away
PRIVATE = 0o600
PART = ".part"

_numbers = itertools.count()


def hidden(path: Path) -> Path:
    """Return a name beside `path` that nobody else writes to and no reader lists.

    >>> hidden(Path("lake/1.parquet")).name.startswith(".1.parquet.")
    True
    """
    return path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}{PART}")


def is_abandoned(part: Path) -> bool:
    """Return whether the process that made a hidden name is gone (on this machine).

    >>> is_abandoned(hidden(Path("1.parquet")))
    False
    """
    pid = part.name.removesuffix(PART).rpartition(".")[2].partition("-")[0]
    return not Path(f"/proc/{pid}").exists()


@contextmanager
def writing(part: Path, mode: int = PUBLIC) -> Iterator[IO[bytes]]:
    """Write a hidden file: it is on disk at the end of the block, and gone if the block raises."""
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as sink:
            yield sink
            sync(sink)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def move_into_place(part: Path, path: Path) -> None:
    """Give a file, folder or link that is whole on disk its name, in one step that outlives a power cut."""
    part.replace(path)
    sync_folder(path.parent)


@contextmanager
def replacing(path: Path, mode: int = PUBLIC) -> Iterator[IO[bytes]]:
    """Write the file that is to take a name; if the block raises, whatever had the name keeps it.

    The folder is made where there is none.

    Raises:
        OSError: the disk does not take it; whatever had the name keeps it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = hidden(path)
    with writing(part, mode) as sink:
        yield sink
    move_into_place(part, path)


def replace_file(path: Path, data: bytes, *, point: str = "", mode: int = PUBLIC) -> None:
    """Put bytes under a name in one step.

    Args:
        point: where a test may end the process, between the writing and the renaming.

    Raises:
        OSError: as `replacing`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = hidden(path)
    with writing(part, mode) as sink:
        sink.write(data)
    if point:
        reach(point)
    move_into_place(part, path)


def replace_folder(made: Path, target: Path) -> None:
    """Put a folder of whole files in the place of another; a crash between may leave neither."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = hidden(target)
    if target.exists():
        target.rename(old)
    move_into_place(made, target)
    shutil.rmtree(old, ignore_errors=True)


def create_file(path: Path, data: bytes, *, mode: int = PUBLIC) -> bool:
    """Put bytes under a name that nobody has yet; False where somebody was quicker, whose file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = hidden(path)
    with writing(part, mode) as sink:
        sink.write(data)
    try:
        with suppress(FileExistsError):
            os.link(part, path)
            return True
    finally:
        part.unlink()
        sync_folder(path.parent)
    return False


def append_line(path: Path, line: bytes) -> None:
    r"""Append a line and its end; it is on disk when this returns.

    What a crash left of a line before it is ended first, so that it damages no other.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "log")
    >>> _ = path.write_bytes(b"one\ntw")
    >>> append_line(path, b"three")
    >>> path.read_bytes()
    b'one\ntw\nthree\n'
    """
    is_new = not path.exists()
    with path.open("ab+") as sink:
        size = sink.seek(0, os.SEEK_END)
        sink.seek(max(0, size - 1))
        cut_short = size > 0 and sink.read(1) != b"\n"
        sink.write((b"\n" if cut_short else b"") + line + b"\n")
        sync(sink)
    if is_new:
        sync_folder(path.parent)


def sync(file: IO[bytes]) -> None:
    """Have everything that was written to an open file on disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have a folder's own entries on disk: which names it has, and of what."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
