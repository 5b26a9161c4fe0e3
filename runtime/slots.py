"""Numbers for the workers of a kind, taken by each when it starts and given back when its process ends.

A number is a file under the run's home, locked by the process that has it. Its
lock is given back however the process ends, so who restarts gets the lowest number that is free.
"""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from contracts.errors import ClusterError
from runtime.file_lock import try_lock

NUMBERS = range(1000)


S = TypeVar("S", bound=Any)  # a room's settings that have a `member`


@dataclass(frozen=True, slots=True)
class Slot:
    """A number and the lock that keeps it; `descriptor` is -1 where somebody else holds the lock."""

    number: int
    descriptor: int


def take(folder: Path, kind: str, wanted: int | None = None) -> Slot:
    """Take the number that is wanted, or the lowest that no live process has; kept until the process ends.

    A wanted number is taken even when a live process has it: that one may be stopped or cut off, and Kafka
    fences it.

    Raises:
        ClusterError: E_SLOTS, all are taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if wanted is not None:
        return Slot(wanted, try_lock(folder / f"{kind}-{wanted}"))
    for number in NUMBERS:
        if (descriptor := try_lock(folder / f"{kind}-{number}")) >= 0:
            return Slot(number, descriptor)
    raise ClusterError(
        "E_SLOTS", f"{len(NUMBERS)} workers of the kind {kind} run already", str(folder), "stop some of them"
    )


def with_member(settings: S, folder: Path, kind: str) -> S:
    """Return the settings of a new worker with its name in its group, unless the operator has given one.

    The name is its host's and the lowest number free there: its successor on this host takes the number over,
    and with it the partitions; other hosts have numbers of their own.

    Raises:
        ClusterError: E_SLOTS, all numbers are taken.
    """
    if settings.member:
        return settings
    name = f"{kind}-{socket.gethostname()}-{take(folder, kind).number}"
    return msgspec.structs.replace(settings, member=name)
