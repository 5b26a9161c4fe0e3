"""One version of one contract as data: what its file says of a topic's records, read at run time."""

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

FieldType = Literal["string", "integer", "decimal", "number", "boolean", "time", "other"]
TimeFormat = Literal["", "epoch_s", "epoch_ms", "epoch_us", "iso8601"]
Shape = Literal["one", "list", "map"]
ColumnType = Literal["", "text", "int64", "float64"]

TEXT_BYTES_MAX = 256  # of a text that has a column; of one whose contract names no maximum
INT64_MAX = 2**63 - 1  # its negative is the smallest number: the one below it is null
TIME_MS_MAX = 1000 * (2**32 - 1)  # what windows can hold: 1970 to 2106
_TIME_MAX = {
    "epoch_s": TIME_MS_MAX // 1000, "epoch_us": TIME_MS_MAX * 1000,
    "epoch_ms": TIME_MS_MAX, "iso8601": TIME_MS_MAX, "": TIME_MS_MAX,
}  # fmt: skip
_COLUMNS: Mapping[FieldType, ColumnType] = {
    "string": "text", "integer": "int64", "decimal": "int64", "boolean": "int64", "time": "int64",
    "number": "float64", "other": "",
}  # fmt: skip


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes that every record of a topic keeps to, whatever its fields."""

    value_bytes_max: int = 65_536
    fields_max: int = 256
    field_bytes_max: int = 4_096
    depth_max: int = 64
    key_bytes_max: int = 256
    headers_bytes_max: int = 16_384
    headers_max: int = 256
    skew_ms: int = 300_000


class ContractField(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """One field of a record.

    Args:
        name: as features call it.
        path: the keys that lead to it in the JSON; (name,) where the record is flat.
        type: `decimal` is an integer of `scale` digits behind the point; `other` is an object, array or map.
        low: smallest number, or fewest UTF-8 bytes of a string. A decimal's is scaled, a time's is in the
            unit of its format and epoch milliseconds for `iso8601`.
        high: largest number, or most UTF-8 bytes of a string.
        quoted: a decimal stands in the JSON as a string.
        enum: the values of a category; empty when any text will do.
        accepted: the one value of `enum` that is taken; empty when all are.
        time_format: how a time is written; empty for what is none.
        zone: offset from UTC of times that are written without one, as `+02:00`; else empty.
        not_before: the time field that this one may not lie before.
        letters: the string is made of A-Z only.
        personal: names or follows a person.
        currency: the field that says in which currency this measure is.
        shape: whether there is one value, a list of them or a map of text to them.
        item_required: whether an item of a list or map may not be null.
        inner: the fields of an object, or of each object of a list or map; `object_name` is its name.
        line: where it stands in the file.
    """

    name: str
    path: tuple[str, ...]
    type: FieldType
    required: bool
    low: int | float | None = None
    high: int | float | None = None
    scale: int = 0
    quoted: bool = False
    enum: tuple[str, ...] = ()
    accepted: str = ""
    time_format: TimeFormat = ""
    zone: str = ""
    not_before: str = ""
    letters: bool = False
    personal: bool = False
    currency: str = ""
    shape: Shape = "one"
    item_required: bool = True
    item_type: FieldType = "other"
    inner: tuple["ContractField", ...] = ()
    object_name: str = ""
    line: int = 0

    @property
    def is_measure(self) -> bool:
        """Whether it can be added up exactly: an integer, a decimal or a boolean."""
        return self.shape == "one" and self.type in ("integer", "decimal", "boolean")

    @property
    def is_object(self) -> bool:
        """Whether it is an object, list or map: there or not, and nothing else is asked of it."""
        return self.shape != "one" or self.type == "other"

    @property
    def is_category(self) -> bool:
        """Whether a model can be given it as one of few values."""
        return bool(self.enum)

    @property
    def magnitude(self) -> int | None:
        """The greatest absolute value of a measure, as it is stored; None where no range says so."""
        if self.type == "boolean":
            return 1
        if self.low is None or self.high is None:
            return None
        return max(abs(int(self.low)), abs(int(self.high)))

    @property
    def signed(self) -> bool:
        """Whether a measure can be under zero."""
        return self.type != "boolean" and (self.low is None or self.low < 0)

    @property
    def column(self) -> ColumnType:
        """What a column of it holds behind the gate; empty for what has none: objects, lists, long texts."""
        if self.shape != "one":
            return ""
        long = self.type == "string" and not self.enum and (self.high or 0) > TEXT_BYTES_MAX
        return "" if long else _COLUMNS[self.type]

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and greatest whole number that is taken, as it is written; of a text its UTF-8 bytes."""
        least, most = _usual_bounds(self)
        low = least if self.low is None else max(math.ceil(self.low), -INT64_MAX)
        return low, most if self.high is None else min(math.floor(self.high), INT64_MAX)

    @property
    def column_bounds(self) -> tuple[int, int]:
        """The least and greatest value of an int64 column: times in epoch ms, decimals scaled."""
        low, high = self.bounds
        if self.type != "time":
            return low, high
        return to_ms(low, self.time_format), to_ms(high, self.time_format)

    @property
    def is_never_null(self) -> bool:
        """Whether a record always has a value of it; the empty text is null."""
        filled = "" not in self.enum if self.enum else self.bounds[0] >= 1
        return self.required and (self.type != "string" or filled)


def _usual_bounds(field: ContractField) -> tuple[int, int]:
    """Return the bounds of a field whose contract names none."""
    match field.type:
        case "string":
            return 0, TEXT_BYTES_MAX
        case "time":
            return 0, _TIME_MAX[field.time_format]
        case "boolean":
            return 0, 1
    return -INT64_MAX, INT64_MAX


def to_ms(number: int, time_format: TimeFormat) -> int:
    """Return epoch milliseconds of a time in its format's unit.

    >>> to_ms(5, "epoch_s"), to_ms(5_999, "epoch_us"), to_ms(5, "epoch_ms")
    (5000, 5, 5)
    """
    if time_format == "epoch_s":
        return number * 1000
    return number // 1000 if time_format == "epoch_us" else number


class ContractVersion(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What records stamped at or after `effective_from_ms` keep to.

    Args:
        topic: the topic they are read from, whoever made it.
        contract: the contract's id; `schema` the name of a record.
        key_field: the field whose UTF-8 bytes are the record's key; empty where the key is not looked at.
        id_fields: the fields that together name a record; empty where its place in the log does.
        event_time: the field of the time at which it happened; empty for none.
        known_at: the field of the time at which it became known; of labels.
        deduplicate_ms: for how long an id that comes again is dropped; 0 for the engine's own horizon.
    """

    topic: str
    contract: str
    version: str
    schema: str
    effective_from_ms: int
    fields: tuple[ContractField, ...]
    key_field: str = ""
    id_fields: tuple[str, ...] = ()
    event_time: str = ""
    known_at: str = ""
    deduplicate_ms: int = 0
    limits: Limits = Limits()
    description: str = ""
    file: str = ""

    @property
    def by_name(self) -> Mapping[str, ContractField]:
        """The fields by name, in the contract's order."""
        return {field.name: field for field in self.fields}

    @property
    def label(self) -> str:
        """Return `topic/version`, as predictions and dead letters name it."""
        return f"{self.topic}/{self.version}"


def in_force(versions: tuple[ContractVersion, ...], timestamp_ms: int) -> ContractVersion | None:
    """Return the newest version whose start is at or before a record's timestamp.

    Args:
        versions: one topic's contracts, oldest first.
        timestamp_ms: the record's own Kafka timestamp, never the time of judging.
    """
    for version in reversed(versions):
        if version.effective_from_ms <= timestamp_ms:
            return version
    return None
