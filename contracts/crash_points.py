"""Named points of the code at which a chaos run ends the process, and faults planted to prove an oracle.

Both are off unless a variable of the environment asks for them, and then cost one comparison.

HEADRACE_CRASH_AT=point:3        ends the process, as SIGKILL does, when it reaches the point the third time;
                                 point:3:STOP stops its clock there, as SIGSTOP does, until somebody wakes it
HEADRACE_CRASH_AT=@folder        the same for what a file named after the worker (HEADRACE_WORKER) says in
                                 that folder while it is there; the file is renamed to `<name>.hit` first
HEADRACE_PLANTED_FAULT=name      makes the service wrong on purpose, for tests of the oracle alone
"""

import os
import signal
from collections import Counter
from pathlib import Path

POINTS = (
    "gate.after_produce", "gate.before_commit",
    "stage.after_store", "stage.after_outputs", "stage.before_checkpoint", "stage.in_checkpoint",
    "stage.after_commit", "stage.take_over",
    "scorer.after_produce", "scorer.after_send_offsets", "scorer.after_commit",
    "archive.in_write", "archive.before_commit", "archive.after_commit",
)  # fmt: skip
REGISTRY_POINTS = (  # reached by commands, which have no worker to be armed: tests end those themselves
    "registry.in_add", "registry.before_audit", "registry.after_audit", "registry.in_replace",
    "registry.after_release",
)  # fmt: skip
MIRROR_POINTS = ("mirror.before_release",)  # reached where MLflow is the registry
COMMIT_EARLY = "commit_early"  # a stage checkpoints before its outputs leave
ACK_BEFORE_WRITE = "ack_before_write"  # the store's writer says that rows are there before it writes them

_reached: Counter[str] = Counter()


def reach(point: str) -> None:
    """Say that the process is at a point; it may end here."""
    if _WHEN and (number := _signal_due(point)):
        os.kill(os.getpid(), number)


def planted(fault: str) -> bool:
    """Return whether a fault is planted.

    >>> planted(COMMIT_EARLY)
    False
    """
    return fault == _PLANTED


def _signal_due(point: str) -> int:
    """Return the signal to end or stop with, 0 when nothing is meant for this passage."""
    if not _WHEN.startswith("@"):
        return _counts_down(_WHEN, point)
    path = Path(_WHEN[1:]) / os.environ.get("HEADRACE_WORKER", "")
    try:
        wanted = path.read_text()
    except OSError:  # not armed at the moment
        return 0
    number = _counts_down(wanted, point)
    if number:
        path.replace(path.with_name(path.name + ".hit"))
    return number


def _counts_down(wanted: str, point: str) -> int:
    name, count, how = [*wanted.split(":"), "", ""][:3]
    if name != point:
        return 0
    _reached[wanted] += 1
    if _reached[wanted] != int(count or 1):
        return 0
    return signal.SIGSTOP if how == "STOP" else signal.SIGKILL


_WHEN = os.environ.get("HEADRACE_CRASH_AT", "")
_PLANTED = os.environ.get("HEADRACE_PLANTED_FAULT", "")
