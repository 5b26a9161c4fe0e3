"""Named points of the code at which a test ends the process or raises, and faults planted to prove an oracle.

All are off unless a variable of the environment asks for them, and then cost one comparison. They work in a
checkout alone, where the tests are: an installed package and an image have no such switch.

HEADRACE_CRASH_AT=point:3        ends the process, as SIGKILL does, when it reaches the point the third time;
                                 point:3:STOP stops its clock there, as SIGSTOP does, until somebody wakes it;
                                 point:3:RAISE=MemoryError raises that exception there, of Python's own or, as
                                 confluent_kafka.KafkaException, of a module
HEADRACE_CRASH_AT=@folder        the same for what a file named after the worker (HEADRACE_WORKER) says in
                                 that folder while it is there; the file is renamed to `<name>.hit` first
HEADRACE_PLANTED_FAULT=name      makes the service wrong on purpose, for tests of the oracle alone
"""

import builtins
import importlib
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
IMPORT_POINTS = ("import.before_lake", "import.before_note", "import.before_offsets")  # of a command too
# where Python, a library or a loop calls us: what is raised there must end the process (tests/seams)
SEAM_POINTS = (
    "gate.turn", "gate.on_assign", "gate.on_revoke", "gate.on_commit", "gate.on_delivery",
    "stage.on_assign", "stage.on_revoke", "stage.restore", "stage.take_over_done", "stage.receive",
    "stage.gathered", "stage.in_batch", "stage.timer", "stage.release", "stage.on_delivery",
    "stage.outputs_thread", "stage.store_thread", "stage.finish",
    "archive.turn", "archive.on_assign", "archive.on_revoke",
    "scorer.turn", "scorer.on_assign", "scorer.on_revoke", "serve.answer",
    "guard.begin", "guard.look",
)  # fmt: skip
LEARNER_POINTS = ("learner.after_produce", "learner.after_commit", "learner.turn")
SERVE_POINTS = ("serve.handler", "serve.thread")  # the HTTP API: in its event loop, and in its one thread
MIRROR_POINTS = ("mirror.before_release",)  # reached where MLflow is the registry
COMMIT_EARLY = "commit_early"  # a stage checkpoints before its outputs leave
ACK_BEFORE_WRITE = "ack_before_write"  # the store's writer says that rows are there before it writes them
SWALLOW = "swallow"  # an exception that is raised at a point is swallowed there: the worker goes on

HOOKS = ("HEADRACE_CRASH_AT", "HEADRACE_PLANTED_FAULT")
RAISE = "RAISE="

_reached: Counter[str] = Counter()


def reach(point: str) -> None:
    """Say that the process is at a point; it may end here, or an exception be raised."""
    if _WHEN:
        _obey(point)


def planted(fault: str) -> bool:
    """Return whether a fault is planted.

    >>> planted(COMMIT_EARLY)
    False
    """
    return fault == _PLANTED


def armed() -> dict[str, str]:
    """Return the test hooks that the environment asks for, by variable, whether or not they work here."""
    return {name: value for name in HOOKS if (value := os.environ.get(name, ""))}


def in_checkout() -> bool:
    """Return whether this code runs beside its tests, where alone the hooks work."""
    return (_ROOT / "pyproject.toml").is_file() and (_ROOT / "tests" / "seams").is_dir()


def _obey(point: str) -> None:
    how = _order(point)
    if how.startswith(RAISE):
        if planted(SWALLOW):
            return
        raise exception_named(how.removeprefix(RAISE), point)
    if how:
        os.kill(os.getpid(), signal.SIGSTOP if how == "STOP" else signal.SIGKILL)


def exception_named(name: str, point: str) -> BaseException:
    """Return the exception that a name stands for.

    >>> exception_named("MemoryError", "stage.gathered")
    MemoryError('injected at stage.gathered')
    """
    module, _, kind = name.rpartition(".")
    home = importlib.import_module(module) if module else builtins
    made = getattr(home, kind)
    if kind == "KafkaException":  # its readers ask what it holds for a code
        error: BaseException = made(home.KafkaError(home.KafkaError._FAIL, f"injected at {point}"))
    else:
        error = made(f"injected at {point}")
    return error


def _order(point: str) -> str:
    """Return what to do at this passage: "KILL", "STOP" or "RAISE=name"; "" when nothing is meant for it."""
    if not _WHEN.startswith("@"):
        return _counts_down(_WHEN, point)
    path = Path(_WHEN[1:]) / os.environ.get("HEADRACE_WORKER", "")
    try:
        wanted = path.read_text()
    except OSError:  # not armed at the moment
        return ""
    how = _counts_down(wanted, point)
    if how:
        path.replace(path.with_name(path.name + ".hit"))
    return how


def _counts_down(wanted: str, point: str) -> str:
    name, count, how = [*wanted.split(":"), "", ""][:3]
    if name != point:
        return ""
    _reached[wanted] += 1
    if _reached[wanted] != int(count or 1):
        return ""
    return how or "KILL"


_ROOT = Path(__file__).resolve().parents[1]
_WHEN = os.environ.get("HEADRACE_CRASH_AT", "") if in_checkout() else ""
_PLANTED = os.environ.get("HEADRACE_PLANTED_FAULT", "") if in_checkout() else ""
