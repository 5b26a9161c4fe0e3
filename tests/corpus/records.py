"""Read the corpus: `records.json` holds bytes as base64, long ones as parts with a repeat count."""

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

from contracts.raw import UNREADABLE, Headers

FILE = Path(__file__).parent / "records.json"
TIMESTAMP_MS = 1_700_000_000_000


class Case(NamedTuple):
    """One record and its expected code; an empty code means that it is accepted."""

    name: str
    topic: str
    code: str
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def cases() -> list[Case]:
    """Return all cases of the corpus."""
    return [_case(row) for row in json.loads(FILE.read_text())]


def packed(data: bytes | None) -> list[list[Any]] | None:
    """Return bytes as [base64, times] parts: a run of one repeated unit is one part.

    >>> packed(b"ab")
    [['YWI=', 1]]
    """
    return None if data is None else [[base64.b64encode(data).decode(), 1]]


def unpacked(parts: list[list[Any]] | None) -> bytes | None:
    """Return the bytes that parts stand for."""
    return None if parts is None else b"".join(base64.b64decode(text) * times for text, times in parts)


def _case(row: dict[str, Any]) -> Case:
    headers: Headers = None
    if row["headers"] == "unreadable":
        headers = UNREADABLE
    elif row["headers"] is not None:
        headers = [(name, unpacked(value)) for name, value in row["headers"]]
    return Case(
        row["name"],
        row["topic"],
        row["code"],
        row["timestamp_ms"],
        unpacked(row["key"]),
        unpacked(row["value"]),
        headers,
    )
