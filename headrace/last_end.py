"""Why a worker ended, in words for whoever runs it: its own note where it left one, else the log's end."""

import signal
from pathlib import Path

import msgspec

from headrace.last_words import last_words
from runtime.ending import read_end

RESTART_CODES = range(70, 80)
LOG_LINES = 3


class LastEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The last end of a worker. `code` is the error's ("" where it left none), `exit_code` the process's."""

    exit_code: int
    code: str = ""
    what: str = ""
    where: str = ""
    next_step: str = ""

    @property
    def is_fault(self) -> bool:
        """Return whether a restart may cure it: a signal or a code from 70 to 79, and no answer."""
        return self.exit_code < 0 or self.exit_code in RESTART_CODES

    @property
    def lines(self) -> list[str]:
        """Return what to tell: how it ended and why, and the next step on a line of its own.

        >>> LastEnd(exit_code=5, code="E_STATE", what="other definitions", next_step="rebuild").lines
        ['ended with exit code 5, E_STATE: other definitions', 'next: rebuild']
        >>> LastEnd(exit_code=-9).lines
        ['was ended by SIGKILL']
        """
        how = f"ended with exit code {self.exit_code}"
        if self.exit_code < 0:
            how = f"was ended by {signal.Signals(-self.exit_code).name}"
        why = f"{self.code}: {self.what}" if self.code else self.what
        place = f" ({self.where})" if self.where else ""
        told = [f"{how}, {why}{place}" if why else how]
        return told + ([f"next: {self.next_step}"] if self.next_step else [])


def last_end(note: Path, log: Path, exit_code: int) -> LastEnd:
    """Return why the process ended whose note and log these are."""
    noted = read_end(note)
    if noted is not None:
        return LastEnd(
            exit_code=exit_code,
            code=noted.code,
            what=noted.what,
            where=noted.where,
            next_step=noted.next_step,
        )
    said = "its last words:\n" + last_words(log, LOG_LINES) if exit_code >= 0 else ""
    advice = f"read {log}" if exit_code >= 0 else ""
    return LastEnd(exit_code=exit_code, what=said, next_step=advice)
