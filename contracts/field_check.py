"""Check one decoded object field by field, in the contract's order: the first fault is the verdict."""

from typing import Any

from msgspec import UNSET, Struct

from contracts.document import Refused
from contracts.terms import Field, Terms

_UINT64 = 1 << 64
_INT64 = 1 << 63


def event_of(document: dict[str, Any], terms: Terms) -> Struct:
    """Return the object as the contract's Struct; fields the contract does not know are left out.

    Raises:
        Refused: E_CONTRACT_* or E_TIME_*, naming the field and its limit.
    """
    return terms.struct(**{field.name: _checked(document, field) for field in terms.fields})


def check_future(event: Struct, terms: Terms, timestamp_ms: int, skew_ms: int) -> None:
    """Refuse a time that lies further beyond the record's own timestamp than clocks differ.

    Raises:
        Refused: E_TIME_FUTURE.
    """
    for field in terms.fields:
        if field.kind == "time" and getattr(event, field.name) > timestamp_ms + skew_ms:
            raise Refused("E_TIME_FUTURE", f"{field.name}: more than {skew_ms} ms after the record")


def _checked(document: dict[str, Any], field: Field) -> Any:
    if field.name not in document:
        if field.required:
            raise Refused("E_CONTRACT_MISSING", f"{field.name}: missing")
        return UNSET
    value = document[field.name]
    if value is None:
        if field.required:
            raise Refused("E_CONTRACT_NULL", f"{field.name}: null")
        return None
    if field.kind == "string":
        _check_string(value, field)
    elif field.kind == "time":
        _check_time(value, field)
    elif field.kind == "integer":
        _check_integer(value, field)
    else:
        raise Refused("E_CONTRACT_TYPE", f"{field.name}: {field.kind} is not taken on an input topic")
    return value


def _check_string(value: Any, field: Field) -> None:
    if not isinstance(value, str):
        raise Refused("E_CONTRACT_TYPE", f"{field.name}: not a string")
    if "\0" in value:
        raise Refused("E_CONTRACT_STRING", f"{field.name}: holds a NUL character")
    if field.enum:
        if value not in field.enum:
            raise Refused("E_CONTRACT_ENUM", f"{field.name}: not one of the contract's {len(field.enum)}")
        return
    size = len(value.encode("utf-8"))
    if not _within(size, field):
        raise Refused("E_CONTRACT_LENGTH", f"{field.name}: not {field.low} to {field.high} bytes long")
    if field.letters and not is_letters(value):
        raise Refused("E_CONTRACT_PATTERN", f"{field.name}: not {field.high} capital letters")


def _check_integer(value: Any, field: Field) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _UINT64:
        raise Refused("E_CONTRACT_TYPE", f"{field.name}: not a 64-bit integer")
    if not _within(value, field):
        raise Refused("E_CONTRACT_RANGE", f"{field.name}: not from {field.low} to {field.high}")


def _check_time(value: Any, field: Field) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("E_TIME_FORMAT", f"{field.name}: not an integer of epoch milliseconds")
    if not _within(value, field):
        hint = _unit_hint(value, field)
        raise Refused("E_TIME_RANGE", f"{field.name}: not from {field.low} to {field.high}{hint}")


def _unit_hint(value: int, field: Field) -> str:
    """Say which other unit the number would fit: seconds for milliseconds is the usual slip."""
    for unit, scaled in (
        ("seconds", value * 1000),
        ("microseconds", value // 1000),
        ("nanoseconds", value // 10**6),
    ):
        if value > 0 and _within(scaled, field):
            return f"; it would fit as {unit}, epoch milliseconds are due"
    return ""


def _within(number: int, field: Field) -> bool:
    return (field.low is None or number >= field.low) and (field.high is None or number <= field.high)


def is_letters(text: str) -> bool:
    """Return whether the text is made of A-Z only.

    >>> is_letters("FR"), is_letters("fr"), is_letters("É")
    (True, False, False)
    """
    return text.isascii() and text.isalpha() and text.isupper()
