"""The gate's verdict, spelled out record by record: slow, plainly right, no code shared with the gate."""

import json
import math
from typing import Any

ID = ("string", 1, 64)
TIME = ("time", 946_684_800_000, 4_102_444_800_000)
CHANNELS = {"pos", "ecommerce", "atm", "contactless", "moto", "transfer"}
REQUIRED: dict[str, list[tuple[str, Any]]] = {
    "transactions": [
        ("transaction_id", ID), ("event_time", TIME), ("customer_id", ID), ("terminal_id", ID),
        ("amount_minor", ("integer", 0, 2**40)), ("currency", ("enum", "currency")),
        ("channel", ("enum", CHANNELS)),
        ("country", ("country",)), ("device_id", ("string", 1, 128)), ("email", ("string", 3, 254)),
        ("ip", ("string", 2, 45)),
    ],
    "labels": [
        ("transaction_id", ID), ("customer_id", ID), ("terminal_id", ID),
        ("label", ("enum", {"fraud", "legitimate"})),
        ("event_time", TIME), ("label_time", TIME), ("source", ("enum", {"chargeback", "analyst", "rule"})),
    ],
}  # fmt: skip
OPTIONAL = {"channel", "country", "device_id", "email", "ip"}
KEY = {"transactions": "customer_id", "labels": "transaction_id"}


def code_of(
    topic: str, timestamp_ms: int, key: bytes | None, value: bytes | None, currencies: dict[str, bool]
) -> str:
    """Return the code of a record without headers; empty when it is accepted.

    Args:
        currencies: the known ones, and whether each is accepted.
    """
    if timestamp_ms < 946_684_800_000:
        return "E_TIME_RECORD"
    if key is None or not key or len(key) > 256:
        return "E_KEY_NULL" if key is None else "E_KEY_EMPTY" if not key else "E_KEY_SIZE"
    document = read(value)
    if isinstance(document, str):
        return document
    for field, rule in REQUIRED[topic]:
        if code := fault(field, rule, document, currencies):
            return code
    for field, rule in REQUIRED[topic]:
        if rule is TIME and document[field] > timestamp_ms + 300_000:
            return "E_TIME_FUTURE"
    if topic == "labels" and document["label_time"] < document["event_time"]:
        return "E_TIME_ORDER"
    return "" if document[KEY[topic]].encode() == key else "E_KEY_MISMATCH"


def read(value: bytes | None) -> Any:
    """Return the object a value holds, or a code."""
    if value is None:
        return "E_DECODE_NULL"
    if all(byte in b" \t\r\n" for byte in value):
        return "E_DECODE_EMPTY"
    if code := "" if is_plain(value) else shape(value):
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
            value.decode("utf-8"), object_pairs_hook=Pairs, parse_constant=float, parse_int=number
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


def shape(value: bytes) -> str:
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
    if deepest > 64:
        return "E_DECODE_DEPTH"
    if max(colons, commas + 1) > 256:
        return "E_SIZE_FIELDS"
    if max(strings, default=0) > 4096:
        return "E_SIZE_FIELD"
    return "E_SIZE_MESSAGE" if len(value) > 65_536 else ""


def fault(field: str, rule: tuple[Any, ...], document: dict[str, Any], currencies: dict[str, bool]) -> str:
    """Return the code of one field, empty when it is as it must be."""
    if field not in document:
        return "" if field in OPTIONAL else "E_CONTRACT_MISSING"
    value = document[field]
    if value is None:
        return "" if field in OPTIONAL else "E_CONTRACT_NULL"
    if rule[0] == "time":
        if type(value) is not int:
            return "E_TIME_FORMAT"
        return "" if rule[1] <= value <= rule[2] else "E_TIME_RANGE"
    if rule[0] == "integer":
        if type(value) is not int or value >= 2**64 or value < -(2**63):
            return "E_CONTRACT_TYPE"
        return "" if rule[1] <= value <= rule[2] else "E_CONTRACT_RANGE"
    return text_fault(value, rule, currencies)


def text_fault(value: Any, rule: tuple[Any, ...], currencies: dict[str, bool]) -> str:
    """Return the code of one string."""
    if type(value) is not str:
        return "E_CONTRACT_TYPE"
    if chr(0) in value:
        return "E_CONTRACT_STRING"
    if rule[1:] == ("currency",):
        accepted = currencies.get(value)
        return "E_CONTRACT_ENUM" if accepted is None else "" if accepted else "E_CONTRACT_CURRENCY"
    if rule[0] == "enum":
        return "" if value in rule[1] else "E_CONTRACT_ENUM"
    low, high = (2, 2) if rule[0] == "country" else rule[1:]
    if not low <= len(value.encode()) <= high:
        return "E_CONTRACT_LENGTH"
    if rule[0] == "country" and not all("A" <= letter <= "Z" for letter in value):
        return "E_CONTRACT_PATTERN"
    return ""
