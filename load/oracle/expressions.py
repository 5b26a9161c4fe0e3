"""What an expression comes to for one row: plain Python values, None for null, exact where it is exact.

Whole numbers are ints, decimals are fractions, times are ms. Every value carries its kind, also where it is
null, since the kind decides whether a neighbour is taken as a float. Floats are added, multiplied and
divided as IEEE does; what has no number is null.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from load.oracle.expression_text import Node, read

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_ACTS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}
_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class Known(NamedTuple):
    """A value and its kind: int, decimal, float, bool, text, time, or `written`, a number with a point."""

    kind: str
    value: Any


def evaluate(text: str, kinds: Mapping[str, str], row: Mapping[str, Any]) -> Known:
    """Return what a canonical text comes to.

    Args:
        kinds: of the columns. row: their values; a decimal as a Fraction.

    >>> evaluate("a / b > 0.1", {"a": "int", "b": "int"}, {"a": 1, "b": 4}).value
    True
    >>> evaluate("a / b", {"a": "int", "b": "int"}, {"a": 1, "b": 0})
    Known(kind='float', value=None)
    """
    return Reading(text, kinds).of(row)


class Reading:
    """A text that was read once and is evaluated row by row."""

    def __init__(self, text: str, kinds: Mapping[str, str]) -> None:
        self._node, self._kinds = read(text), kinds

    def of(self, row: Mapping[str, Any]) -> Known:
        """Return what it comes to for a row."""
        return _final(_evaluate(self._node, self._kinds, row))


def _evaluate(node: Node, kinds: Mapping[str, str], row: Mapping[str, Any]) -> Known:
    def inner(each: Node) -> Known:
        return _evaluate(each, kinds, row)

    match node:
        case ("column", name):
            value = row[name]
            return Known(kinds[name], None if value is None or value != value else value)
        case ("value", kind, value):
            return Known(kind, value)
        case ("not", operand):
            value = inner(operand).value
            return Known("bool", None if value is None else not value)
        case ("minus", operand):
            found = _final(inner(operand))
            return Known(found.kind, None if found.value is None else -found.value)
        case ("is null", operand):
            return Known("bool", inner(operand).value is None)
        case ("and", operands):
            return _and([inner(each).value for each in operands])
        case ("or", operands):
            found = _and([_opposite(inner(each).value) for each in operands])
            return Known("bool", _opposite(found.value))
        case ("in", operand, options):
            return _in(inner(operand), [inner(option) for option in options])
        case ("call", name, arguments):
            return _CALLS[name]([inner(each) for each in arguments])
        case ("/", left, right):
            return _divided(_float(inner(left)), _float(inner(right)))
        case (sign, left, right) if sign in _ACTS:
            return _arithmetic(sign, inner(left), inner(right))
        case (sign, left, right):
            return _compare(sign, inner(left), inner(right))
    raise ValueError(node)


def _opposite(value: bool | None) -> bool | None:
    return None if value is None else not value


def _and(values: list[bool | None]) -> Known:
    if False in values:
        return Known("bool", False)
    return Known("bool", None if None in values else True)


def _final(found: Known) -> Known:
    """A written number that stands alone is a float."""
    return Known("float", float(found.value)) if found.kind == "written" else found


def _float(of: Known) -> Known:
    return Known("float", None if of.value is None else float(of.value))


def _alike(parts: list[Known]) -> list[Known]:
    """Return numbers as one kind: floats beside a float, decimals beside a decimal."""
    kinds = {part.kind for part in parts}
    if kinds <= {"bool"} or kinds <= {"text"} or "time" in kinds:
        return parts
    if "float" in kinds or ("written" in kinds and "decimal" not in kinds):
        return [_float(part) for part in parts]
    if "decimal" in kinds:
        return [Known("decimal", None if p.value is None else Fraction(p.value)) for p in parts]
    return parts


def _arithmetic(sign: str, left: Known, right: Known) -> Known:
    a, b = _alike([left, right])
    kind = a.kind
    if "time" in (a.kind, b.kind):
        kind = "int" if a.kind == b.kind else "time"
    if a.value is None or b.value is None:
        return Known(kind, None)
    return _number(kind, _ACTS[sign](a.value, b.value))


def _divided(above: Known, below: Known) -> Known:
    if above.value is None or below.value is None or below.value == 0:
        return Known("float", None)
    return _number("float", above.value / below.value)


def _number(kind: str, value: Any) -> Known:
    return Known(kind, None if value != value else value)


def _compare(sign: str, left: Known, right: Known) -> Known:
    if left.value is None or right.value is None:
        return Known("bool", None)
    a, b = _sides(left, right)
    return Known("bool", _TESTS[sign](a, b))


def _sides(left: Known, right: Known) -> tuple[Any, Any]:
    """Return two values that compare: a float with floats, all else exactly."""
    kinds = {left.kind, right.kind}
    if kinds & {"bool", "text"}:
        return left.value, right.value
    if "float" in kinds:
        return float(left.value), float(right.value)
    return Fraction(left.value), Fraction(right.value)


def _in(operand: Known, options: list[Known]) -> Known:
    if operand.value is None:
        return Known("bool", None)
    operand = _final(operand)
    return Known("bool", any(a == b for a, b in (_sides(operand, option) for option in options)))


def _abs(parts: list[Known]) -> Known:
    found = _final(parts[0])
    return Known(found.kind, None if found.value is None else abs(found.value))


def _coalesce(parts: list[Known]) -> Known:
    alike = _alike(parts)
    return next((part for part in alike if part.value is not None), alike[0])


def _min(parts: list[Known]) -> Known:
    return _extreme(parts, "<")


def _max(parts: list[Known]) -> Known:
    return _extreme(parts, ">")


def _extreme(parts: list[Known], sign: str) -> Known:
    """Of equals the first; null if any is."""
    alike = _alike(parts)
    if any(part.value is None for part in alike):
        return Known(alike[0].kind, None)
    found = alike[0]
    for part in alike[1:]:
        if _TESTS[sign](part.value, found.value):
            found = part
    return found


def _log1p(parts: list[Known]) -> Known:
    value = _float(parts[0]).value
    return Known("float", math.log1p(value) if value is not None and value > -1 else None)


def _local_ms(parts: list[Known]) -> int | None:
    at_ms: int | None = parts[0].value
    if at_ms is None or len(parts) == 1:
        return at_ms
    sign, hours, minutes = parts[1].value[0], parts[1].value[1:3], parts[1].value[4:]
    shift = (int(hours) * 60 + int(minutes)) * 60_000
    return at_ms + shift if sign == "+" else at_ms - shift


def _hour(parts: list[Known]) -> Known:
    at_ms = _local_ms(parts)
    return Known("int", None if at_ms is None else at_ms % DAY_MS // HOUR_MS)


def _weekday(parts: list[Known]) -> Known:
    """Monday is 0; day 0 of the epoch was a Thursday."""
    at_ms = _local_ms(parts)
    return Known("int", None if at_ms is None else (at_ms // DAY_MS + 3) % 7)


_CALLS: Mapping[str, Callable[[list[Known]], Known]] = {
    "abs": _abs, "coalesce": _coalesce, "min": _min, "max": _max, "log1p": _log1p, "hour": _hour,
    "weekday": _weekday,
}  # fmt: skip
