"""One rule for the unexpected: an exception that nobody handles where it is raised ends the incarnation.

An event loop, a thread and a future each swallow exceptions in a way of their own: the loop logs that of a
callback and goes on, a thread dies alone, a future keeps it until somebody asks. A worker that goes on after
any of them may have lost what it was about to do. So a worker's main thread runs inside `incarnation`, which
installs the hooks of threads; `guard_loop` is for every event loop and `guard_future` for every task and
executor future that nobody awaits. Each ends in `end`, and the supervisor starts a successor, which goes on
from the last checkpoint.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import msgspec
import structlog

from contracts.errors import HeadraceError, Stop

END_NOTE = "HEADRACE_END_NOTE"  # the file in which the supervisor looks for why its worker ended
INTERNAL = 70

log = structlog.get_logger("headrace.ending")


class EndNote(msgspec.Struct, frozen=True, kw_only=True):
    """Why a worker ended, for whoever started it."""

    code: str
    what: str
    where: str
    next_step: str
    exit_code: int


def as_error(error: BaseException, where: str) -> HeadraceError:
    """Return an error of ours as it is, and any other exception as E_INTERNAL with exit code 70.

    >>> as_error(MemoryError(), "thread online-store").exit_code
    70
    """
    if isinstance(error, HeadraceError):
        return error
    return Stop(INTERNAL, "E_INTERNAL", repr(error), where)


def end(error: HeadraceError, cause: BaseException | None = None) -> NoReturn:
    """End the process at once, from any thread, with the error's exit code; nothing more leaves it."""
    try:
        trace = cause if cause is not None and not isinstance(cause, HeadraceError) else None
        log.error("stopped", code=error.code, reason=str(error), next_step=error.next_step, exc_info=trace)
        note_end(error)
        sys.stderr.flush()
    finally:  # without memory or disk for a word, it still ends
        os._exit(error.exit_code)


def note_end(error: HeadraceError) -> None:
    """Write why this process ends to the file that its supervisor named, if it has one."""
    path = os.environ.get(END_NOTE)
    if path:
        note = EndNote(
            code=error.code, what=error.what, where=error.where, next_step=error.next_step,
            exit_code=error.exit_code,
        )  # fmt: skip
        Path(path).write_bytes(msgspec.json.encode(note))


def read_end(path: Path) -> EndNote | None:
    """Return why the last process that was given `path` ended; None where it had no time to say."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=EndNote)
    except (OSError, msgspec.DecodeError):
        return None


class Fatal:
    """A block that a library calls, which would take its exceptions for something it may live with.

    It keeps nothing, so one serves any number of calls. What ends a task or the process on purpose
    (cancellation, SystemExit) passes.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """End the process if an exception is about to leave the block."""
        if isinstance(error, Exception):
            end(as_error(error, self._where), error)


@contextmanager
def incarnation(where: str = "main thread") -> Iterator[None]:
    """Run a worker in its main thread: whatever exception leaves the block, or any thread, ends the process.

    Enter it before a client, a thread or a loop is made; what a command does earlier is for its caller. An
    error of ours ends with its own exit code, any other with 70: a library between the block and the
    interpreter (click, an event loop) might take it for something else.
    """
    install()
    with Fatal(where):
        yield


def install() -> None:
    """Make every unhandled exception of any thread, the main one included, end the process with 70."""

    def in_main(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            os._exit(130)
        end(as_error(error, "main thread"), error)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "?"
        error = args.exc_value or args.exc_type()
        end(as_error(error, f"thread {name}"), error)

    def unraisable(args: Any) -> None:  # sys.UnraisableHookArgs: a callback of C, a finaliser
        error = args.exc_value or args.exc_type()
        end(as_error(error, f"callback {args.object!r}"), error)

    sys.excepthook = in_main
    threading.excepthook = in_thread
    sys.unraisablehook = unraisable


def guard_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Make what the loop would only log (callbacks, forgotten tasks, transports) end the process."""

    def failed(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        what = str(context.get("message", "unknown"))
        if error is None:
            end(Stop(INTERNAL, "E_INTERNAL", what, "event loop"))
        end(as_error(error, f"event loop: {what}"), error)

    loop.set_exception_handler(failed)


def guard_future(future: "asyncio.Future[Any] | Future[Any]", where: str) -> None:
    """End the process if the future ends in an exception; one that is cancelled was told to."""

    def done(ended: "asyncio.Future[Any] | Future[Any]") -> None:
        if not ended.cancelled() and (error := ended.exception()) is not None:
            end(as_error(error, where), error)

    future.add_done_callback(done)
