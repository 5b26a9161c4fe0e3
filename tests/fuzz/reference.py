"""Slow second readers of what the service decodes: written from the formats' pages, for comparison only."""

import math
import struct
from typing import Any

MORE, MALFORMED = object(), object()


class Error:
    """An error reply."""

    def __init__(self, text: bytes) -> None:
        self.text = text.decode(errors="replace")


def resp(data: bytes, at: int, depth: int = 0) -> tuple[Any, int]:
    """Return the reply at a place and where it ends; (MORE, 0) or (MALFORMED, 0)."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return MORE, 0
    kind, line = data[at : at + 1], data[at + 1 : end]
    if kind == b"+":
        return line, end + 2
    if kind == b"-":
        return Error(line), end + 2
    if kind not in (b":", b"$", b"*") or not line.removeprefix(b"-").isdigit():
        return MALFORMED, 0
    number = int(line)
    if kind == b":":
        return number, end + 2
    if number == -1:
        return None, end + 2
    if number < 0:
        return MALFORMED, 0
    if kind == b"$":
        behind = end + 2 + number
        if len(data) < behind + 2:
            return MORE, 0
        return (
            (data[end + 2 : behind], behind + 2) if data[behind : behind + 2] == b"\r\n" else (MALFORMED, 0)
        )
    items, at = [], end + 2
    for _ in range(min(number, 100_000)):
        item, at = resp(data, at, depth + 1)
        if item is MORE or item is MALFORMED:
            return item, 0
        items.append(item)
    return items, at


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a protobuf varint of up to ten bytes, as a signed 64-bit integer, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("cut")
        number |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            number &= (1 << 64) - 1
            return number - (1 << 64) if number >> 63 else number, at
    raise ValueError("long")


def value(data: bytes) -> float:
    """Return a number as Feast stores it; an empty value is null."""
    if not data:
        return math.nan
    if data[0] == 0x29 and len(data) == 9:
        return float(struct.unpack("<d", data[1:])[0])
    if data[0] == 0x35 and len(data) == 5:
        return float(struct.unpack("<f", data[1:])[0])
    if data[0] in (0x18, 0x20, 0x38, 0x40):
        number, end = varint(data, 1)
        if end == len(data):
            return float(number)
    raise ValueError("no number")


def timestamp_ms(data: bytes) -> int:
    """Return a protobuf Timestamp in ms."""
    parts, at = {0x08: 0, 0x10: 0}, 0
    while at < len(data):
        tag = data[at]
        number, at = varint(data, at + 1)
        if tag not in parts:
            raise ValueError("no timestamp")
        parts[tag] = number
    if not (0 <= parts[0x08] < 1 << 37 and 0 <= parts[0x10] < 10**9):
        raise ValueError("no time")
    return parts[0x08] * 1000 + parts[0x10] // 1_000_000


def blob(data: bytes) -> bytes:
    """Return a serialized Value of bytes."""
    if not data:
        return b""
    size, begin = varint(data, 1)
    if data[0] != 0x0A or begin + size != len(data) or size < 0:
        raise ValueError("no bytes")
    return data[begin:]
