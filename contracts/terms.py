"""What a contract asks of a record, as data: the shape that `contracts/events.py` is generated in."""

from typing import Literal

import msgspec

Kind = Literal["string", "integer", "time", "number", "other"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field: its type, bounds and tags.

    Args:
        kind: `time` is an integer of epoch milliseconds with its own error codes.
        low: smallest number, or fewest UTF-8 bytes of a string.
        high: largest number, or most UTF-8 bytes of a string.
        enum: the allowed strings; empty when any will do.
        letters: the string is made of A-Z only.
        personal: names or follows a person; stays behind at the gate.
    """

    name: str
    kind: Kind
    required: bool
    low: int | float | None = None
    high: int | float | None = None
    enum: tuple[str, ...] = ()
    letters: bool = False
    personal: bool = False


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes that every record of a topic keeps to, whatever its fields."""

    value_bytes_max: int
    fields_max: int
    field_bytes_max: int
    depth_max: int
    key_bytes_max: int
    headers_bytes_max: int
    headers_max: int
    skew_ms: int


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one contract: in force for records stamped at or after `effective_from_ms`."""

    topic: str
    contract: str
    version: str
    effective_from_ms: int
    key_field: str
    struct: type[msgspec.Struct]
    fields: tuple[Field, ...]
    limits: Limits | None = None

    @property
    def label(self) -> str:
        """Return `topic/version`, as predictions and dead letters name it."""
        return f"{self.topic}/{self.version}"


def in_force(versions: tuple[Terms, ...], timestamp_ms: int) -> Terms | None:
    """Return the newest version whose start is at or before a record's timestamp.

    Args:
        versions: one topic's contracts, oldest first.
        timestamp_ms: the record's own Kafka timestamp, never the time of judging.
    """
    for terms in reversed(versions):
        if terms.effective_from_ms <= timestamp_ms:
            return terms
    return None
