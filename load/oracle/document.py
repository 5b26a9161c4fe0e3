"""One JSON value read strictly, spelled out: what it holds, or the code with which it is refused."""

import json
import math
from collections.abc import Mapping
from typing import Any

from load.oracle.terms import LIMITS


def read(value: bytes | None, limits: Mapping[str, int] = LIMITS) -> Any:
    """Return the object a value holds, or a code; objects inside it are `Pairs`."""
    if value is None:
        return "E_DECODE_NULL"
    if all(byte in b" \t\r\n" for byte in value):
        return "E_DECODE_EMPTY"
    if code := "" if limits == LIMITS and is_plain(value) else shape(value, limits):
        return code
    if value[0] in b"\0{" and value[:2] in (b"{\0", b"\0{"):
        return "E_DECODE_UTF8"
    if value[0] == 0:
        return "E_DECODE_JSON"
    return parsed(value)


def parsed(value: bytes) -> Any:
    """Return the object of a value of good shape, or a code."""
    try:
        document = json.loads(
            value.decode("utf-8"),
            object_pairs_hook=Pairs,
            parse_constant=float,
            parse_int=number,
            parse_float=NumberText,
        )
    except UnicodeDecodeError:
        return "E_DECODE_UTF8"
    except json.JSONDecodeError:
        return "E_DECODE_JSON"
    nodes = list(walk(document))
    if any(isinstance(node, float) and not math.isfinite(node) for node in nodes):
        return "E_DECODE_NONFINITE"
    if any(isinstance(node, Pairs) and len({name for name, _ in node}) < len(node) for node in nodes):
        return "E_DECODE_DUPKEY"
    if any(isinstance(node, str) and any("\ud800" <= c <= "\udfff" for c in node) for node in nodes):
        return "E_DECODE_UTF8"
    return dict(document) if isinstance(document, Pairs) else "E_DECODE_NOT_OBJECT"


class NumberText(float):
    """A number with a point or an exponent, and how it stood there."""

    text: str

    def __new__(cls, text: str) -> "NumberText":
        """Make one of its text."""
        made = super().__new__(cls, text)
        made.text = text
        return made


class Pairs(list[tuple[str, Any]]):
    """An object as its pairs, in order, none lost."""


def number(digits: str) -> int | float:
    """Return an integer, or the float it is when no integer type holds it."""
    return float(digits) if len(digits) > 308 else int(digits)


def walk(node: Any) -> Any:
    """Yield a document's values and keys at any depth."""
    yield node
    if isinstance(node, Pairs):
        for name, inner in node:
            yield name
            yield from walk(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from walk(inner)


def is_plain(value: bytes) -> bool:
    """Return whether a value is too short to break a limit of its shape, whatever it says.

    >>> is_plain(b'{"a":1}'), is_plain(b"[" * 65)
    (True, False)
    """
    opened = value.count(b"{") + value.count(b"[")
    return len(value) <= 4096 and opened <= 64 and value.count(b":") <= 256 and value.count(b",") < 256


def shape(value: bytes, limits: Mapping[str, int] = LIMITS) -> str:
    """Return the code of bytes that are too deep, wide or long, read as a stream of marks."""
    depth = deepest = colons = commas = 0
    strings: list[int] = []
    inside = escaped = False
    for byte in value:
        if inside:
            strings[-1] += 1
            if escaped:
                escaped = False
            elif byte == ord("\\"):
                escaped = True
            elif byte == ord('"'):
                strings[-1] -= 1
                inside = False
        elif byte == ord('"'):
            inside = True
            strings.append(0)
        else:
            depth += (byte in b"{[") - (byte in b"}]")
            deepest = max(deepest, depth)
            colons += byte == ord(":")
            commas += byte == ord(",")
    if deepest > limits["depthMax"]:
        return "E_DECODE_DEPTH"
    if max(colons, commas + 1) > limits["fieldsMax"]:
        return "E_SIZE_FIELDS"
    if max(strings, default=0) > limits["fieldBytesMax"]:
        return "E_SIZE_FIELD"
    return "E_SIZE_MESSAGE" if len(value) > limits["valueBytesMax"] else ""
