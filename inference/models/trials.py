"""Which models passed their trial here before: a restarted scorer does not wait for the same trial again.

A note is named by the digest of text, golden rows and LightGBM's version, so any other text, and the same
text under another library, is tried.
"""

import hashlib
from pathlib import Path

import structlog

from inference.models.bare_lightgbm import lightgbm

FOLDER = ".tried"

log = structlog.get_logger(__name__)


def note_of(models: Path, text: bytes, golden: bytes) -> Path:
    """Return where the note of a passed trial lies."""
    parts = (lightgbm.__version__.encode(), hashlib.sha256(text).digest(), hashlib.sha256(golden).digest())
    return models / FOLDER / hashlib.sha256(b"\0".join(parts)).hexdigest()


def remember(note: Path) -> None:
    """Note that a trial was passed; where the registry may only be read, every start tries anew."""
    try:
        note.parent.mkdir(exist_ok=True)
        note.touch()
    except OSError as error:
        log.info("trial_not_noted", why=error.strerror)
