"""Where a run's HTTP door is, and the token that opens it: two files in the run's home."""

import os
import secrets
from pathlib import Path

import msgspec

from runtime.atomic_file import PRIVATE, create_file, replace_file
from runtime.run import Run

TOKEN_BYTES = 32


class DoorNote(msgspec.Struct, frozen=True):
    """A door that was opened: its process and address."""

    pid: int
    host: str
    port: int


def token_file(run: Run) -> Path:
    """Return the file that holds the token, for callers on this machine."""
    return run.home / "serve" / "token"


def token_of(run: Run) -> str:
    """Return the run's own token, made the first time; only the file's owner may read it."""
    path = token_file(run)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        create_file(path, secrets.token_urlsafe(TOKEN_BYTES).encode() + b"\n", mode=PRIVATE)
    return path.read_text().strip()


def note_door(run: Run, host: str, port: int) -> None:
    """Write down where the door is."""
    path = _note(run)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    replace_file(path, msgspec.json.encode(DoorNote(os.getpid(), host, port)))


def door_of(run: Run) -> DoorNote | None:
    """Return where the run's door was last opened, None when it never was."""
    path = _note(run)
    return msgspec.json.decode(path.read_bytes(), type=DoorNote) if path.exists() else None


def _note(run: Run) -> Path:
    return run.home / "serve" / "door.json"
