"""Each kind of node over a batch: from the results below it to its own, by NumPy.

A result is values and where they are null: None where nothing is, or where the values are float64, in which
NaN is null. A truth value is False where it is null.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.expressions.node_types import offset_ms
from features.expressions.numbers import Typed, exact_literal
from features.expressions.tree import (
    INT64_MAX,
    INT64_MIN,
    Arithmetic,
    Call,
    Compare,
    In,
    IsNull,
    Literal,
    Logic,
    Unary,
)
from features.expressions.types import Type

Slot = tuple[Any, Any]  # values and where they are null
Step = Callable[[Sequence[Slot]], Slot]
Floats = NDArray[np.float64]
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_FIRST_WEEKDAY = 3  # 1 January 1970 was a Thursday; Monday is 0
_LOOPED_OPTIONS = 8  # so many values of `in` are compared one by one

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_MIRRORED: Mapping[str, str] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_KIND_TYPES: Mapping[str, Any] = {
    "int": np.int64, "decimal": np.int64, "time": np.int64, "float": np.float64, "bool": np.bool_,
}  # fmt: skip


def step_of(of: Typed, slots: tuple[int, ...], masked: bool) -> Step:
    """Return what computes a node from the results of those numbers.

    Args:
        masked: its nulls are asked for; of a comparison that is not, only what is true is.
    """
    if of.is_converted:
        return _converted(of.parts[0].type, of.type, slots[0])
    if isinstance(of.node, Compare):
        return _comparison(of, slots, masked)
    return _STEPS[type(of.node)](of, slots)


def _null(of: Slot) -> Any:
    """Return where a value is null; None where nothing is."""
    values, null = of
    return np.isnan(values) if null is None and getattr(values, "dtype", None) == np.float64 else null


def _either(parts: Sequence[Any]) -> Any:
    masks = [part for part in parts if part is not None]
    return reduce(operator.or_, masks) if masks else None


def _literal(of: Typed, _: tuple[int, ...]) -> Step:
    node = of.node
    assert isinstance(node, Literal)
    value: Any
    if of.type.kind == "text":
        value = np.array(str(node.value).encode(), np.bytes_)
    else:
        value = _KIND_TYPES[of.type.kind](of.type.low if of.type.kind == "decimal" else node.value)
    found = (value, None)
    return lambda _: found


def _converted(of: Type, to: Type, at: int) -> Step:
    if to.kind != "float":
        factor = np.int64(10 ** (to.scale - of.scale))
        return lambda slots: (slots[at][0] * factor, slots[at][1])
    unit = np.float64(10**of.scale)

    def convert(slots: Sequence[Slot]) -> Slot:
        values, null = slots[at]
        floats = np.asarray(values, np.float64) / unit if of.scale else np.asarray(values, np.float64)
        return floats if null is None else np.where(null, np.nan, floats), None

    return convert


def _unary(of: Typed, slots: tuple[int, ...]) -> Step:
    (at,) = slots
    assert isinstance(of.node, Unary)
    if of.node.sign == "-":
        return lambda known: (-known[at][0], known[at][1])

    def opposite(known: Sequence[Slot]) -> Slot:
        values, null = known[at]
        return (~values if null is None else ~(values | null), null)

    return opposite


def _arithmetic(of: Typed, slots: tuple[int, ...]) -> Step:
    assert isinstance(of.node, Arithmetic)
    left, right = slots
    if of.node.sign == "/":
        return lambda known: (_ratio(known[left][0], known[right][0]), None)
    act = _OPERATORS[of.node.sign]
    if of.type.kind == "float":
        return lambda known: (act(known[left][0], known[right][0]), None)

    def compute(known: Sequence[Slot]) -> Slot:
        a, b = known[left], known[right]
        return (act(a[0], b[0]), _either((a[1], b[1])))

    return compute


def _ratio(above: Floats, below: Floats) -> Any:
    safe = np.where(below == 0.0, np.nan, below)
    return np.divide(above, safe, safe) if above.shape == safe.shape else above / safe


def _comparison(of: Typed, slots: tuple[int, ...], masked: bool) -> Step:
    node = of.node
    assert isinstance(node, Compare)
    for mine, other, sign in ((0, 1, node.sign), (1, 0, _MIRRORED[node.sign])):
        limit = of.parts[other].node
        if of.parts[mine].type.exact and isinstance(limit, Literal) and not of.parts[other].parts:
            return _against(sign, _in_units(limit, of.parts[mine].type.scale), slots[mine])
    act, (left, right) = _OPERATORS[node.sign], slots
    if not masked and of.parts[0].type.kind == "float" and node.sign != "!=":
        return lambda known: (act(known[left][0], known[right][0]), None)  # NaN compares false
    nullable = [at for at, part in zip(slots, of.parts, strict=True) if part.type.nullable]

    def compare(known: Sequence[Slot]) -> Slot:
        found = act(known[left][0], known[right][0])
        null = _either([_null(known[at]) for at in nullable])
        return (found if null is None else found & ~null, null)

    return compare


def _in_units(limit: Literal, scale: int) -> Fraction:
    """Return a written number in units of 10 ** -scale, exactly."""
    whole, digits = exact_literal(limit)
    return Fraction(whole * 10**scale, 10**digits)


def _against(sign: str, limit: Fraction, at: int) -> Step:
    """Compare exact numbers with a number that may lie between two of them, or beyond them all."""
    if sign in ("==", "!="):
        bound, inside = int(limit), limit.denominator == 1 and INT64_MIN <= limit <= INT64_MAX
        always = sign == "!="
    else:
        bound = math.ceil(limit) if sign in ("<", ">=") else math.floor(limit)
        inside = INT64_MIN <= bound <= INT64_MAX
        always = (bound > 0) == (sign in ("<", "<="))
    act, whole = _OPERATORS[sign], np.int64(bound if inside else 0)

    def compare(known: Sequence[Slot]) -> Slot:
        values, null = known[at]
        true = act(values, whole) if inside else np.full(np.shape(values), always)
        return (true if null is None else true & ~null), null

    return compare


def _logic(of: Typed, slots: tuple[int, ...]) -> Step:
    assert isinstance(of.node, Logic)
    act = _both if of.node.sign == "and" else _any
    return lambda known: reduce(act, [known[at] for at in slots])


def _both(a: Slot, b: Slot) -> Slot:
    """False and anything is False, else null and anything is null."""
    if a[1] is None and b[1] is None:
        return a[0] & b[0], None
    null = _either((a[1], b[1]))
    for part in (a, b):
        null = null & (part[0] if part[1] is None else part[0] | part[1])
    return (a[0] & b[0], null)


def _any(a: Slot, b: Slot) -> Slot:
    """True or anything is True, else null or anything is null."""
    true, null = a[0] | b[0], _either((a[1], b[1]))
    return (true, null if null is None else null & ~true)


def _in(of: Typed, slots: tuple[int, ...]) -> Step:
    node, operand, at = of.node, of.parts[0].type, slots[0]
    assert isinstance(node, In)
    options = _options(node.options, operand)

    def compare(known: Sequence[Slot]) -> Slot:
        values, null = known[at][0], _null(known[at]) if operand.nullable else None
        if len(options) > _LOOPED_OPTIONS:
            found = np.isin(values, options)
        else:
            found = reduce(
                operator.or_, (values == option for option in options), np.zeros(np.shape(values), bool)
            )
        return (found if null is None else found & ~null, null)

    return compare


def _options(options: Sequence[Literal], operand: Type) -> NDArray[Any]:
    """Return the values that the operand can have at all."""
    if operand.kind == "text":
        return np.array([str(option.value).encode() for option in options], np.bytes_)
    if operand.exact:
        units = [_in_units(option, operand.scale) for option in options]
        fit = [int(each) for each in units if each.denominator == 1 and INT64_MIN <= each <= INT64_MAX]
        return np.array(fit, np.int64)
    return np.array([option.value for option in options], _KIND_TYPES[operand.kind])


def _is_null(of: Typed, slots: tuple[int, ...]) -> Step:
    (at,), assumed = slots, of.parts[0].type

    def test(known: Sequence[Slot]) -> Slot:
        null = _null(known[at]) if assumed.nullable else None
        return (np.zeros(np.shape(known[at][0]), bool) if null is None else null, None)

    return test


def _call(of: Typed, slots: tuple[int, ...]) -> Step:
    assert isinstance(of.node, Call)
    return _CALLS[of.node.name](of, slots)


def _abs(_: Typed, slots: tuple[int, ...]) -> Step:
    (at,) = slots
    return lambda known: (np.abs(known[at][0]), known[at][1])


def _log1p(_: Typed, slots: tuple[int, ...]) -> Step:
    (at,) = slots
    return lambda known: (_logarithms(known[at][0]), None)


def _logarithms(values: Any) -> Any:
    flat = np.atleast_1d(values)
    found = np.array([math.log1p(x) if x > -1.0 else math.nan for x in flat.tolist()], np.float64)
    return found.reshape(np.shape(values))


def _extreme(of: Typed, slots: tuple[int, ...]) -> Step:
    """The least or greatest; of equals (0.0 and -0.0) the one that is written first; null if any is."""
    assert isinstance(of.node, Call)
    before = operator.le if of.node.name == "min" else operator.ge
    is_float = of.type.kind == "float"

    def pick(a: Slot, b: Slot) -> Slot:
        values = np.where(before(a[0], b[0]), a[0], b[0])
        if not is_float:
            return (values, _either((a[1], b[1])))
        return (np.where(np.isnan(a[0]), a[0], values), None)  # a null on the right is taken anyway

    return lambda known: reduce(pick, [known[at] for at in slots])


def _coalesce(_: Typed, slots: tuple[int, ...]) -> Step:
    def fill(a: Slot, b: Slot) -> Slot:
        missing = _null(a)
        if missing is None:
            return a
        values: Any = np.where(missing, b[0], a[0])
        if values.dtype == np.float64:
            return values, None
        return (values, None if b[1] is None else missing & b[1])

    return lambda known: reduce(fill, [known[at] for at in slots])


def _of_clock(of: Typed, slots: tuple[int, ...]) -> Step:
    assert isinstance(of.node, Call)
    at, is_hour = slots[0], of.node.name == "hour"
    offset = of.parts[1].node if len(of.parts) == 2 else None
    shift_ms = offset_ms(str(offset.value)) if isinstance(offset, Literal) else 0

    def compute(known: Sequence[Slot]) -> Slot:
        local_ms = known[at][0] + np.int64(shift_ms) if shift_ms else known[at][0]
        if is_hour:
            return (local_ms % DAY_MS // HOUR_MS, known[at][1])
        return ((local_ms // DAY_MS + _FIRST_WEEKDAY) % 7, known[at][1])

    return compute


_CALLS: Mapping[str, Callable[[Typed, tuple[int, ...]], Step]] = {
    "abs": _abs, "log1p": _log1p, "min": _extreme, "max": _extreme, "coalesce": _coalesce, "hour": _of_clock,
    "weekday": _of_clock,
}  # fmt: skip
_STEPS: Mapping[type, Callable[[Typed, tuple[int, ...]], Step]] = {
    Literal: _literal, Unary: _unary, Arithmetic: _arithmetic, Logic: _logic,
    In: _in, IsNull: _is_null, Call: _call,
}  # fmt: skip
