"""The gate's verdict on any record, by its contract: the code it is refused with, or what its columns hold.

Checks come in this order: the contract in force, the key where the contract names one, the document, each
field in the contract's order, times against the record's own and against each other, and last the key against
its field. Columns hold a text as bytes, a time in epoch ms, a decimal in its smallest unit,
a truth value as 0 or 1; null is the empty text, the smallest 64-bit number, or NaN.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from load.oracle.document import NumberText, Pairs, read
from load.oracle.terms import NULL, Field, Terms

DIGITS_MAX = 19
NULLS = {"text": b"", "int": NULL, "float": float("nan")}
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}:?(?:[0-9]{2})?)?"
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class BadRecord(Exception):  # a verdict, no error
    """A record breaks its contract."""


def in_force(versions: Sequence[Terms], timestamp_ms: int) -> Terms | None:
    """Return the newest version that holds at a record's timestamp."""
    held = [terms for terms in versions if terms.from_ms <= timestamp_ms]
    return max(held, key=lambda terms: terms.from_ms, default=None)


def checked(
    versions: Sequence[Terms], timestamp_ms: int, key: bytes | None, value: bytes | None
) -> tuple[str, dict[str, Any]]:
    """Return the code of a record without headers, empty when it is accepted, and what its columns hold."""
    terms = in_force(versions, timestamp_ms)
    try:
        if terms is None:
            raise BadRecord("E_TIME_RECORD")
        return "", _columns(terms, _accepted(terms, timestamp_ms, key, value))
    except BadRecord as refused:
        return str(refused), {}


def _accepted(terms: Terms, timestamp_ms: int, key: bytes | None, value: bytes | None) -> dict[str, Any]:
    if terms.key_field and (not key or len(key) > terms.limits["keyBytesMax"]):
        raise BadRecord("E_KEY_NULL" if key is None else "E_KEY_EMPTY" if not key else "E_KEY_SIZE")
    document = read(value, terms.limits)
    if isinstance(document, str):
        raise BadRecord(document)
    found = {field.name: _value(document, field) for field in terms.fields}
    for field in terms.fields:
        at_ms, is_told = found[field.name], field.name in (terms.event_time, terms.known_at)
        if is_told and at_ms is not None and at_ms > timestamp_ms + terms.limits["skewMs"]:
            raise BadRecord("E_TIME_FUTURE")
    for field in terms.fields:
        later, earlier = found[field.name], found.get(field.not_before)
        if later is not None and earlier is not None and later < earlier:
            raise BadRecord("E_TIME_ORDER")
    named = found.get(terms.key_field)
    if named is not None and str(named).encode() != key:
        raise BadRecord("E_KEY_MISMATCH")
    return found


def _columns(terms: Terms, values: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for field in terms.fields:
        if field.column:
            value = values[field.name]
            found[field.name] = NULLS[field.column] if value is None else value
            if field.column == "text" and value is not None:
                found[field.name] = value.encode()
    return found


def _value(document: Mapping[str, Any], field: Field) -> Any:
    """Return what a record says of a field; None for null."""
    value: Any = document
    for key in field.path:
        value = dict(value) if isinstance(value, Pairs) else value
        if not isinstance(value, dict):
            raise BadRecord("E_CONTRACT_TYPE")
        if value.get(key) is None:
            if field.required:
                raise BadRecord("E_CONTRACT_NULL" if key in value else "E_CONTRACT_MISSING")
            return None
        value = value[key]
    return _READ[field.kind](value, field)


def _text(value: Any, field: Field) -> str:
    if not isinstance(value, str):
        raise BadRecord("E_CONTRACT_TYPE")
    if chr(0) in value:
        raise BadRecord("E_CONTRACT_STRING")
    if field.enum:
        if value not in field.enum:
            raise BadRecord("E_CONTRACT_ENUM")
        if field.accepted not in ("", value):
            raise BadRecord("E_CONTRACT_CURRENCY")
        return value
    low, high = field.bounds
    if not low <= len(value.encode()) <= high:
        raise BadRecord("E_CONTRACT_LENGTH")
    if field.letters and not all("A" <= letter <= "Z" for letter in value):
        raise BadRecord("E_CONTRACT_PATTERN")
    return value


def _whole(value: Any, field: Field) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**64:
        raise BadRecord("E_CONTRACT_TYPE")
    return int(_within(value, field, "E_CONTRACT_RANGE"))


def _within(value: Any, field: Field, code: str) -> Any:
    low, high = field.bounds
    if not low <= value <= high:
        raise BadRecord(code)
    return value


def _truth(value: Any, _field: Field) -> int:
    if type(value) is not bool:
        raise BadRecord("E_CONTRACT_TYPE")
    return int(value)


def _float(value: Any, field: Field) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRecord("E_CONTRACT_TYPE")
    return float(_within(float(value), field, "E_CONTRACT_RANGE"))


def _decimal(value: Any, field: Field) -> int:
    """Return a decimal in its smallest units, from its text."""
    if isinstance(value, bool | Pairs | list) or isinstance(value, str) != field.quoted:
        raise BadRecord("E_CONTRACT_TYPE")
    text = value.text if isinstance(value, NumberText) else str(value)
    if not _NUMBER.fullmatch(text):
        raise BadRecord("E_CONTRACT_TYPE")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise BadRecord("E_CONTRACT_SCALE") from None
    if not number:
        return 0
    if not number.is_finite():
        raise BadRecord("E_CONTRACT_SCALE")
    sign, digits, exponent = number.as_tuple()
    whole = "".join(map(str, digits))
    kept = whole.rstrip("0")
    zeros = int(exponent) + len(whole) - len(kept) + field.scale
    if zeros < 0:
        raise BadRecord("E_CONTRACT_SCALE")
    if len(kept.lstrip("0")) + zeros > DIGITS_MAX:
        raise BadRecord("E_CONTRACT_RANGE")
    scaled = int(kept) * 10**zeros
    return int(_within(-scaled if sign else scaled, field, "E_CONTRACT_RANGE"))


def _time(value: Any, field: Field) -> int:
    if field.written == "iso8601":
        return int(_within(_iso_ms(value, field.zone), field, "E_TIME_RANGE"))
    if type(value) is not int:
        raise BadRecord("E_TIME_FORMAT")
    _within(value, field, "E_TIME_RANGE")
    return (
        value * 1000
        if field.written == "epoch_s"
        else value // 1000
        if field.written == "epoch_us"
        else value
    )


def _iso_ms(value: Any, zone: str) -> int:
    found = _ISO.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise BadRecord("E_TIME_FORMAT")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, offset = found[7] or "", found[8] or zone
    try:
        days = date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        raise BadRecord("E_TIME_FORMAT") from None
    if hour > 23 or minute > 59 or second > 59 or not offset:
        raise BadRecord("E_TIME_FORMAT")
    ahead_min = 0
    if offset not in "Zz":
        hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
        if hours > 23 or minutes > 59:
            raise BadRecord("E_TIME_FORMAT")
        ahead_min = (hours * 60 + minutes) * (-1 if offset[0] == "-" else 1)
    whole_s = days * 86_400 + hour * 3600 + (minute - ahead_min) * 60 + second
    return whole_s * 1000 + int((fraction + "000")[:3])


def _there(_value: Any, _field: Field) -> None:
    """Take an object, a list or a map: nothing is asked of it but to be there."""


_READ: Mapping[str, Callable[[Any, Field], Any]] = {
    "text": _text, "int": _whole, "bool": _truth, "float": _float, "decimal": _decimal, "time": _time,
    "object": _there,
}  # fmt: skip
