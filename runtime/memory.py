"""How much memory this process may use, and how much of it is free: its control group's, or the machine's.

A container is ended by the kernel at its control group's limit, whatever the machine has left. Both versions
of control groups are read, the group of the process and every one above it; a file that is not there limits
nothing.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_ROOT = Path("/")


class _Names(NamedTuple):
    """Files of a control group, and the line of memory.stat that counts files which may be dropped."""

    limit: str
    usage: str
    droppable: str


_VERSION_2 = _Names("memory.max", "memory.current", "inactive_file ")
_VERSION_1 = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")


class _Group(NamedTuple):
    """A control group: bytes it may use, and bytes of them that cannot be had back by dropping files."""

    limit: int
    used: int


def memory_limit(root: Path = _ROOT) -> int:
    """Return the bytes that this process may use at most.

    >>> memory_limit() > 0
    True
    """
    return min([_machine(), *(group.limit for group in _groups(root))])


def memory_free(root: Path = _ROOT) -> int:
    """Return the bytes that this process may still take.

    >>> 0 <= memory_free() <= memory_limit()
    True
    """
    return max(0, min([_available(root), *(group.limit - group.used for group in _groups(root))]))


def _machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _available(root: Path) -> int:
    """Return what the kernel says is available; all of the machine's where it says nothing."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return _machine()
    kib = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return _machine() if kib is None else int(kib) << 10


def _groups(root: Path) -> Iterator[_Group]:
    """Yield the limiting groups of this process, its own and those above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, kinds, path = line.split(":", 2)
        if number == "0":
            yield from _chain(root / "sys/fs/cgroup", path, _VERSION_2)
        elif "memory" in kinds.split(","):
            yield from _chain(root / "sys/fs/cgroup/memory", path, _VERSION_1)


def _chain(top: Path, path: str, names: _Names) -> Iterator[_Group]:
    own = top / path.lstrip("/")
    for folder in (own, *own.parents):
        if folder.is_relative_to(top):
            yield from _group(folder, names)


def _group(folder: Path, names: _Names) -> Iterator[_Group]:
    """Yield the group of a folder, unless it limits nothing."""
    try:
        most = (folder / names.limit).read_text().strip()
        if most != "max":
            stat = (folder / "memory.stat").read_text().splitlines()
            files = next((int(line.split()[1]) for line in stat if line.startswith(names.droppable)), 0)
            yield _Group(int(most), max(0, int((folder / names.usage).read_text()) - files))
    except OSError:  # not of this process's namespace, or the root, which has no limit
        return
