"""Equality of floats by their bits; any NaN is null and equals any other."""

import math
import struct
from collections.abc import Sequence


def same(left: Sequence[float | None], right: Sequence[float | None]) -> bool:
    """Return whether both hold the same bits, place by place; None is null.

    >>> same([0.0], [-0.0]), same([None], [math.nan]), same([1.0], [1.0, 2.0])
    (False, True, False)
    """
    return packed(left) == packed(right)


def packed(values: Sequence[float | None]) -> bytes:
    """Return the bits of the values, every null alike."""
    clean = [math.nan if value is None or value != value else value for value in values]
    return struct.pack(f"<{len(clean)}d", *clean)


def where(left: Sequence[float | None], right: Sequence[float | None], names: Sequence[str]) -> str:
    """Return which named values differ, for people."""
    pairs = zip(names, left, right, strict=False)
    return ", ".join(f"{name} is {a}, not {b}" for name, a, b in pairs if not same([a], [b]))
