"""Check one decoded object field by field, in the contract's order: the first fault is the verdict.

What is checked is also read: a field's value is given as its column holds it, None for null. Objects and
lists are there or not, and nothing else is asked of them.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

from contracts.contract_version import ContractField, ContractVersion, to_ms
from contracts.document import Refused, WrittenFloat
from contracts.written_values import decimal_of, time_of

_UINT64 = 1 << 64
_INT64 = 1 << 63
Value = str | int | float | None
Values = dict[str, Value]


def values_of(document: dict[str, Any], version: ContractVersion) -> Values:
    """Return the fields of an object as columns hold them; what the contract does not know is left out.

    Raises:
        Refused: E_CONTRACT_* or E_TIME_*, naming the field and its limit.
    """
    return {field.name: _checked(document, field) for field in version.fields}


def check_future(values: Values, version: ContractVersion, timestamp_ms: int, skew_ms: int) -> None:
    """Refuse a time that lies further beyond the record's own timestamp than clocks differ.

    Raises:
        Refused: E_TIME_FUTURE.
    """
    for field in times_of_event(version):
        value = values[field.name]
        if isinstance(value, int) and value > timestamp_ms + skew_ms:
            raise Refused("E_TIME_FUTURE", f"{field.name}: more than {skew_ms} ms after the record")


def check_order(values: Values, version: ContractVersion) -> None:
    """Refuse a time that lies before the one which it comes after.

    Raises:
        Refused: E_TIME_ORDER.
    """
    for field in version.fields:
        later, earlier = values[field.name], values.get(field.not_before)
        if isinstance(later, int) and isinstance(earlier, int) and later < earlier:
            raise Refused("E_TIME_ORDER", f"{field.name}: before {field.not_before}")


@cache
def times_of_event(version: ContractVersion) -> tuple[ContractField, ...]:
    """Return the fields whose times cannot be later than the record: when it happened, and became known."""
    return tuple(field for field in version.fields if field.name in (version.event_time, version.known_at))


def unknown_fields(document: dict[str, Any], version: ContractVersion) -> int:
    """Return how many keys of an object, and of objects on the way to fields, the contract does not know."""
    return _unknown(document, known_keys(version))


@cache
def known_keys(version: ContractVersion) -> dict[str, Any]:
    """Return the keys on the way to fields, each with those below it; a field has None."""
    known: dict[str, Any] = {}
    for field in version.fields:
        below = known
        for key in field.path[:-1]:
            if below.get(key) is None:
                below[key] = {}
            below = below[key]
        below.setdefault(field.path[-1], None)
    return known


def _unknown(document: dict[str, Any], known: dict[str, Any]) -> int:
    count = len(document)
    for key, below in known.items():
        if key in document:
            count -= 1
            if below is not None and isinstance(document[key], dict):
                count += _unknown(document[key], below)
    return count


def _checked(document: dict[str, Any], field: ContractField) -> Value:
    value: Any = document
    for depth, key in enumerate(field.path):
        if not isinstance(value, dict):
            raise Refused("E_CONTRACT_TYPE", f"{field.name}: {'.'.join(field.path[:depth])} is no object")
        if key not in value or value[key] is None:
            _check_absent(field, "null" if key in value else "missing")
            return None
        value = value[key]
    if field.shape != "one":
        return None
    match field.type:
        case "string":
            return _string(value, field)
        case "integer":
            return _integer(value, field)
        case "time":
            return _time(value, field)
        case "decimal":
            return _decimal(value, field)
        case "number":
            return _number(value, field)
        case "boolean":
            return _boolean(value, field)
    return None


def _check_absent(field: ContractField, how: str) -> None:
    if field.required:
        raise Refused(f"E_CONTRACT_{how.upper()}", f"{field.name}: {how}")


def _string(value: Any, field: ContractField) -> str:
    if not isinstance(value, str):
        raise Refused("E_CONTRACT_TYPE", f"{field.name}: not a string")
    if "\0" in value:
        raise Refused("E_CONTRACT_STRING", f"{field.name}: holds a NUL character")
    if field.enum:
        if value not in field.enum:
            raise Refused("E_CONTRACT_ENUM", f"{field.name}: not one of the contract's {len(field.enum)}")
        if field.accepted and value != field.accepted:
            raise Refused("E_CONTRACT_CURRENCY", f"{field.name}: amounts are taken in {field.accepted} alone")
        return value
    low, high = field.bounds
    if not low <= len(value.encode("utf-8")) <= high:
        raise Refused("E_CONTRACT_LENGTH", f"{field.name}: not {low} to {high} bytes long")
    if field.letters and not is_letters(value):
        raise Refused("E_CONTRACT_PATTERN", f"{field.name}: not {field.high} capital letters")
    return value


def _integer(value: Any, field: ContractField) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _UINT64:
        raise Refused("E_CONTRACT_TYPE", f"{field.name}: not a 64-bit integer")
    return _within(value, field, "E_CONTRACT_RANGE")


def _within(value: int, field: ContractField, code: str, hint: str = "") -> int:
    low, high = field.bounds
    if not low <= value <= high:
        raise Refused(code, f"{field.name}: not from {low} to {high}{hint}")
    return value


def _decimal(value: Any, field: ContractField) -> int:
    """Return a decimal in units of its last digit, read from its text."""
    if field.quoted != isinstance(value, str) or isinstance(value, bool | dict | list):
        raise Refused("E_CONTRACT_TYPE", f"{field.name}: not a {'text' if field.quoted else 'number'}")
    text = value if isinstance(value, str) else value.text if isinstance(value, WrittenFloat) else str(value)
    try:
        number = decimal_of(text, field.scale)
    except Refused as refused:
        raise Refused(refused.code, f"{field.name}: {refused.reason}") from None
    return _within(number, field, "E_CONTRACT_RANGE")


def _number(value: Any, field: ContractField) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("E_CONTRACT_TYPE", f"{field.name}: not a number")
    number = float(value)
    low, high = number_bounds(field)
    if not low <= number <= high:
        raise Refused("E_CONTRACT_RANGE", f"{field.name}: not from {field.low} to {field.high}")
    return number


def number_bounds(field: ContractField) -> tuple[float, float]:
    """Return the least and greatest float that is taken."""
    return (
        -math.inf if field.low is None else float(field.low),
        math.inf if field.high is None else float(field.high),
    )


def _boolean(value: Any, field: ContractField) -> int:
    if not isinstance(value, bool):
        raise Refused("E_CONTRACT_TYPE", f"{field.name}: neither true nor false")
    return int(value)


def _time(value: Any, field: ContractField) -> int:
    """Return a time in epoch milliseconds."""
    if field.time_format == "iso8601":
        return _within(_moment(value, field), field, "E_TIME_RANGE")
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("E_TIME_FORMAT", f"{field.name}: not an integer of {_unit_name(field)}")
    return to_ms(_within(value, field, "E_TIME_RANGE", _unit_hint(value, field)), field.time_format)


def _moment(value: Any, field: ContractField) -> int:
    if not isinstance(value, str):
        raise Refused("E_TIME_FORMAT", f"{field.name}: not a text")
    try:
        return time_of(value, field.zone)
    except Refused as refused:
        raise Refused(refused.code, f"{field.name}: {refused.reason}") from None


_UNITS = (("seconds", 10**6), ("milliseconds", 10**3), ("microseconds", 1))  # and the microseconds of one
_UNIT_NAMES = {"epoch_s": "seconds", "epoch_ms": "milliseconds", "epoch_us": "microseconds"}


def _unit_name(field: ContractField) -> str:
    return f"epoch {_UNIT_NAMES.get(field.time_format, 'milliseconds')}"


def _unit_hint(value: int, field: ContractField) -> str:
    """Say which other unit the number would fit: seconds for milliseconds is the usual slip."""
    low, high = field.bounds
    due = _UNIT_NAMES.get(field.time_format, "milliseconds")
    of_due = dict(_UNITS)[due]
    for unit, scaled in _in_other_units(value, due, of_due):
        if value > 0 and low <= scaled <= high:
            return f"; it would fit as {unit}, epoch {due} are due"
    return ""


def _in_other_units(value: int, due: str, of_due: int) -> Iterator[tuple[str, int]]:
    for unit, microseconds in _UNITS:
        if unit != due:
            yield unit, value * microseconds // of_due
    yield "nanoseconds", value // (of_due * 1000)


def is_letters(text: str) -> bool:
    """Return whether the text is made of A-Z only.

    >>> is_letters("FR"), is_letters("fr"), is_letters("É")
    (True, False, False)
    """
    return text.isascii() and text.isalpha() and text.isupper()
