"""Read one JSON value strictly: what a fast decoder lets pass is refused here, with a code.

The order of the checks is part of the verdict, so that a record with two faults always gets one code:
absence, shape (depth, fields, field size, size), text encoding, syntax, non-finite numbers, repeated keys,
lone surrogates, and last that it is an object at all.
"""

import json
import math
import re
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from contracts.contract_version import Limits

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BLANK = b" \t\r\n"
_DIGITS_SAFE = 300  # an integer of fewer digits is a finite double


class WrittenFloat(float):
    """A number with a point or an exponent, and its text: a decimal is read from that."""

    __slots__ = ("text",)
    text: str


class Refused(Exception):  # a verdict, not an error of ours
    """A record breaks its contract: a code, and a reason that names fields and limits, never values."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def read_document(value: bytes | None, limits: Limits) -> dict[str, Any]:
    """Return the object that a record's value holds.

    Raises:
        Refused: E_DECODE_* or E_SIZE_*.
    """
    if value is None:
        raise Refused("E_DECODE_NULL", "the record has no value")
    if not value.strip(_BLANK):
        raise Refused("E_DECODE_EMPTY", "the value holds nothing but white space")
    _check_shape(value, limits)
    document = _parse(_text(value))
    if not isinstance(document, dict):
        raise Refused("E_DECODE_NOT_OBJECT", "the value is JSON but not an object")
    return document


def _check_shape(value: bytes, limits: Limits) -> None:
    """Refuse what is too deep, wide or long before anything recursive or copying meets it."""
    depth, fields, longest = _shape(np.frombuffer(value, np.uint8))
    if depth > limits.depth_max:
        raise Refused("E_DECODE_DEPTH", f"nested more than {limits.depth_max} deep")
    if fields > limits.fields_max:
        raise Refused("E_SIZE_FIELDS", f"more than {limits.fields_max} fields")
    if longest > limits.field_bytes_max:
        raise Refused("E_SIZE_FIELD", f"a field longer than {limits.field_bytes_max} bytes")
    if len(value) > limits.value_bytes_max:
        raise Refused("E_SIZE_MESSAGE", f"longer than {limits.value_bytes_max} bytes")


def _text(value: bytes) -> str:
    if value[:2] in (b"{\0", b"\0{"):
        raise Refused("E_DECODE_UTF8", "the value is UTF-16, not UTF-8")
    if value[0] == 0:
        raise Refused("E_DECODE_JSON", "magic byte 0: a schema registry's framing, not JSON")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("E_DECODE_UTF8", f"not UTF-8 at byte {error.start}") from None


def _parse(text: str) -> Any:
    found: dict[str, str] = {}
    try:
        document = json.loads(
            text,
            parse_constant=lambda name: found.setdefault("E_DECODE_NONFINITE", "a NaN or an infinity"),
            parse_float=lambda digits: _float(digits, found),
            parse_int=lambda digits: _int(digits, found),
            object_pairs_hook=lambda pairs: _object(pairs, found),
        )
    except json.JSONDecodeError as error:
        raise Refused("E_DECODE_JSON", f"not JSON at character {error.pos}") from None
    for code in ("E_DECODE_NONFINITE", "E_DECODE_DUPKEY"):
        if code in found:
            raise Refused(code, found[code])
    if "\\" in text and _SURROGATE.search(text.encode()) and _has_lone_surrogate(document):
        raise Refused("E_DECODE_UTF8", "half of a surrogate pair")
    return document


def _float(digits: str, found: dict[str, str]) -> float:
    number = WrittenFloat(digits)
    number.text = digits
    if not math.isfinite(number):
        found["E_DECODE_NONFINITE"] = "a number beyond a double's range"
    return number


def _int(digits: str, found: dict[str, str]) -> int:
    if len(digits) > _DIGITS_SAFE and not math.isfinite(float(digits)):
        found["E_DECODE_NONFINITE"] = "a number beyond a double's range"
        return 0
    return int(digits)


def _object(pairs: list[tuple[str, Any]], found: dict[str, str]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        found["E_DECODE_DUPKEY"] = "a key stands twice in one object"
    return document


def _has_lone_surrogate(document: Any) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


@njit(cache=True, nogil=True)
def _shape(data: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return (deepest nesting, keys or items side by side, longest string) by one pass over the bytes."""
    depth, deepest, colons, commas, longest = 0, 0, 0, 0, 0
    start = -1  # of the string we are in
    at = 0
    while at < len(data):
        byte = data[at]
        if start >= 0:
            if byte == 0x5C:  # a backslash takes the next byte with it
                at += 1
            elif byte == 0x22:
                longest = max(longest, at - start)
                start = -1
        elif byte == 0x22:
            start = at + 1
        elif byte in (0x7B, 0x5B):
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (0x7D, 0x5D):
            depth -= 1
        elif byte == 0x3A:
            colons += 1
        elif byte == 0x2C:
            commas += 1
        at += 1
    if start >= 0:
        longest = max(longest, len(data) - start)
    return deepest, max(colons, commas + 1), longest
