"""The end of a log as a person reads it, for the error message that says why a process ended."""

from pathlib import Path
from typing import Any

import msgspec

LINES = 12
WIDTH = 300
TAIL_BYTES = 65_536
LOUD = ("warning", "error", "critical")


def last_words(log: Path, count: int = LINES) -> str:
    """Return the last lines of a log; of JSON lines the event, what failed, and only the loud ones."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    words = [said for line in lines if (said := readable(line))]
    return "\n".join(f"  {word[:WIDTH]}" for word in words[-count:])


def readable(line: str) -> str:
    """Return one line for a person; empty for a JSON line that tells of no trouble.

    >>> readable('{"level": "error", "event": "stopped", "exception": "Traceback\\\\n  x\\\\nKeyError: 7"}')
    'error: stopped: KeyError: 7'
    >>> readable('{"level": "error", "event": "stopped", "reason": "E_INPUT_HOLE: records are missing"}')
    'error: stopped: E_INPUT_HOLE: records are missing'
    >>> readable('{"level": "info", "event": "settings"}'), readable("Segmentation fault")
    ('', 'Segmentation fault')
    """
    try:
        event: Any = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line
    if not isinstance(event, dict) or "event" not in event:
        return line
    if event.get("level") not in LOUD:
        return ""
    raised = str(event.get("exception", "")).strip().rpartition("\n")[2]
    said = (event.get("reason"), event.get("error"), raised, event.get("next_step"))
    return ": ".join(str(part) for part in (event["level"], event["event"], *said) if part)
