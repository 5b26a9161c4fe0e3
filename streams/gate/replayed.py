"""The ledger of dead letters that were replayed: a letter is published again once, unless somebody insists.

A repeat of a record is dropped only while its id is remembered, a day mostly, so a second replay later would
count it twice. The ledger is a file of the run, one JSON line an entry: before a letter is published it is
noted as `begun`, and as `done` once Kafka has it. A letter that was begun and is not done may be in Kafka or
not, so it counts as replayed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

import msgspec

from contracts.errors import StateError
from runtime.atomic_file import sync
from runtime.file_lock import locked

FILE = "replayed-letters.jsonl"


class Entry(msgspec.Struct, frozen=True):
    """One line: what happened to the letter of an origin, and when (epoch ms)."""

    origin: str
    what: Literal["begun", "done"]
    at_ms: int


class ReplayLedger:
    """The ledger while it is held: nobody else replays meanwhile."""

    def __init__(self, file: IO[bytes], known: dict[str, Entry]) -> None:
        self._file, self._known = file, known

    def replayed(self, origin: str) -> str:
        """Return when and how far the letter of an origin was replayed, for people; "" when it never was."""
        entry = self._known.get(origin)
        if entry is None:
            return ""
        at = datetime.fromtimestamp(entry.at_ms / 1000, UTC).isoformat(timespec="seconds")
        return f"replayed at {at}" if entry.what == "done" else f"a replay begun at {at} was never confirmed"

    def note(self, origins: Sequence[str], what: Literal["begun", "done"], at_ms: int) -> None:
        """Write entries; they are on disk when this returns."""
        entries = [Entry(origin, what, at_ms) for origin in origins]
        self._file.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
        sync(self._file)
        self._known |= {entry.origin: entry for entry in entries}


@contextmanager
def opened(folder: Path) -> Iterator[ReplayLedger]:
    """Hold the ledger of a run's folder; a new one where there is none.

    Raises:
        StateError: E_DLQ_LEDGER, a line of it cannot be read.
    """
    path = folder / FILE
    with locked(path) as file:
        yield ReplayLedger(file, _known(file, path))


def _known(file: IO[bytes], path: Path) -> dict[str, Entry]:
    """Return the newest entry of each origin; a last line that a crash cut short is taken away."""
    file.seek(0)
    data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        file.truncate(len(whole))
    try:
        entries = [msgspec.json.decode(line, type=Entry) for line in whole.splitlines()]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(
            "E_DLQ_LEDGER", str(error), str(path), "put the line right by hand: it says what was replayed"
        ) from error
    return {entry.origin: entry for entry in entries}
