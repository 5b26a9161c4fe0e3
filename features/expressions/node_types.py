"""The type of each kind of node, from the types of those below it, or why there is none.

Whole numbers, decimals and floats may meet: beside a float all are float64, beside a decimal a whole number
and a number that was written out are decimals. What turns exact numbers into float64 needs bounds within
2 ** 53, so that nothing is rounded unseen; what stays exact needs bounds under which 64 bits hold it.
"""

import re
from collections.abc import Callable, Mapping

from features.expressions.numbers import Typed, TypeFault, alike, as_float, bounded, reach, written_out
from features.expressions.parse import nearest
from features.expressions.tree import (
    Arithmetic,
    Call,
    ColumnRef,
    Compare,
    In,
    IsNull,
    Literal,
    Logic,
    Tree,
    Unary,
    children,
)
from features.expressions.types import (
    SCALE_MAX,
    Schema,
    Type,
    boolean,
    integer,
    number,
    text_type,
)

_OFFSET = re.compile(r"([+-])(\d\d):([0-5]\d)")
_OFFSET_HOURS_MAX = 14


def type_node(node: Tree, schema: Schema) -> Typed:
    """Return a node with its type and those below it with theirs.

    Raises:
        TypeFault: there is none.
    """
    if isinstance(node, ColumnRef):
        if node.name not in schema:
            raise TypeFault(
                "E_EXPRESSION_NAME",
                f"there is no column {node.name}",
                node,
                nearest(node.name, tuple(schema)),
            )
        return Typed(node, schema[node.name])
    if isinstance(node, Literal):
        return Typed(node, _LITERALS[node.kind](node))
    return _RULES[type(node)](node, tuple(type_node(child, schema) for child in children(node)))


def offset_ms(written: str) -> int:
    """Return a fixed offset from UTC in ms.

    >>> offset_ms("+05:30"), offset_ms("-01:00")
    (19800000, -3600000)
    """
    found = _OFFSET.fullmatch(written)
    if found is None or int(found[2]) * 60 + int(found[3]) > _OFFSET_HOURS_MAX * 60:
        raise ValueError(written)
    return (-1 if found[1] == "-" else 1) * (int(found[2]) * 60 + int(found[3])) * 60_000


_LITERALS: Mapping[str, Callable[[Literal], Type]] = {
    "int": lambda node: integer(int(node.value), int(node.value)),
    "float": lambda _: number(nullable=False),
    "bool": lambda _: boolean(),
    "text": lambda _: text_type(),
}


def _unary(node: Unary, parts: tuple[Typed, ...]) -> Typed:
    (part,) = parts
    if node.sign == "not":
        _need(part, "bool")
        return Typed(node, part.type, parts)
    _need_number(part)
    return Typed(node, bounded(node, part.type, -part.type.high, -part.type.low), parts)


def _arithmetic(node: Arithmetic, parts: tuple[Typed, ...]) -> Typed:
    if "time" in (parts[0].type.kind, parts[1].type.kind):
        return _of_times(node, parts)
    for part in parts:
        _need_number(part)
    if node.sign == "/":
        return Typed(node, number(), tuple(as_float(part, node) for part in parts))
    left, right = parts = alike(node, parts) if node.sign != "*" else written_out(node, parts)
    nullable = left.type.nullable or right.type.nullable
    if left.type.kind == "float" or right.type.kind == "float":
        return Typed(node, number(), tuple(as_float(part, node) for part in parts))
    scale = left.type.scale + right.type.scale if node.sign == "*" else left.type.scale
    if scale > SCALE_MAX:
        raise TypeFault(
            "E_EXPRESSION_RANGE",
            f"a product of {scale} digits behind the point",
            node,
            f"keep to {SCALE_MAX}",
        )
    kind = Type(kind="decimal" if scale else "int", scale=scale, nullable=nullable)
    return Typed(node, bounded(node, kind, *reach(node.sign, left.type, right.type)), parts)


def _of_times(node: Arithmetic, parts: tuple[Typed, ...]) -> Typed:
    left, right = (part.type for part in parts)
    kinds = (left.kind, node.sign, right.kind)
    nullable = left.nullable or right.nullable
    if kinds not in (("time", "-", "time"), ("time", "-", "int"), ("time", "+", "int"), ("int", "+", "time")):
        raise TypeFault(
            "E_EXPRESSION_TYPE",
            f"{left.words} {node.sign} {right.words}",
            node,
            "take two times from one another, or add ms",
        )
    kind = Type(kind="int" if right.kind == left.kind else "time", nullable=nullable)
    return Typed(node, bounded(node, kind, *reach(node.sign, left, right)), parts)


def _comparison(node: Compare, parts: tuple[Typed, ...]) -> Typed:
    left, right = (part.type for part in parts)
    result = boolean(nullable=left.nullable or right.nullable)
    if left.numeric and right.numeric:
        limits = any(isinstance(part.node, Literal) for part in parts) and (left.exact or right.exact)
        against_float = "float" in {p.type.kind for p in parts if not isinstance(p.node, Literal)}
        return Typed(node, result, parts if limits and not against_float else alike(node, parts))
    times = {left.kind, right.kind} == {"time"} or any(
        a.kind == "time" and b.kind == "int" and isinstance(of.node, Literal)
        for a, b, of in ((left, right, parts[1]), (right, left, parts[0]))
    )
    if not times and (left.kind != right.kind or left.numeric):
        raise TypeFault(
            "E_EXPRESSION_TYPE", f"{left.words} {node.sign} {right.words}", node, "compare values of one kind"
        )
    if not times and node.sign not in ("==", "!="):
        raise TypeFault(
            "E_EXPRESSION_TYPE",
            f"{left.words} {node.sign} {right.words}",
            node,
            f"{left.words} has no order: use == or !=",
        )
    for category, other in ((left, parts[1]), (right, parts[0])):
        _need_member(category, other)
    return Typed(node, result, parts)


def _logic(node: Logic, parts: tuple[Typed, ...]) -> Typed:
    for part in parts:
        _need(part, "bool")
    return Typed(node, boolean(nullable=any(part.type.nullable for part in parts)), parts)


def _in(node: In, parts: tuple[Typed, ...]) -> Typed:
    operand, options = parts[0].type, parts[1:]
    for option in options:
        numbers = operand.numeric and option.type.numeric
        times = operand.kind == "time" and option.type.kind == "int"
        if not (numbers or times or operand.kind == option.type.kind):
            raise TypeFault(
                "E_EXPRESSION_TYPE", f"{operand.words} in a list with {option.type.words}", option.node
            )
        _need_member(operand, option)
        if operand.kind == "float":
            as_float(option, node)
    return Typed(node, boolean(nullable=operand.nullable), parts)


def _is_null(node: IsNull, parts: tuple[Typed, ...]) -> Typed:
    return Typed(node, boolean(), parts)


def _call(node: Call, parts: tuple[Typed, ...]) -> Typed:
    return _CALLS[node.name](node, parts)


def _abs(node: Call, parts: tuple[Typed, ...]) -> Typed:
    (part,) = parts
    _need_number(part)
    ends = sorted((abs(part.type.low), abs(part.type.high)))
    low = 0 if part.type.low <= 0 <= part.type.high else ends[0]
    return Typed(node, bounded(node, part.type, low, ends[1]), parts)


def _log1p(node: Call, parts: tuple[Typed, ...]) -> Typed:
    _need_number(parts[0])
    return Typed(node, number(), (as_float(parts[0], node),))


def _extreme(node: Call, parts: tuple[Typed, ...]) -> Typed:
    if {part.type.kind for part in parts} != {"time"}:
        for part in parts:
            _need_number(part)
        parts = alike(node, parts)
    pick = min if node.name == "min" else max
    bounds = pick(part.type.low for part in parts), pick(part.type.high for part in parts)
    first = parts[0].type.or_null(any(part.type.nullable for part in parts))
    return Typed(node, bounded(node, first, *bounds), parts)


def _coalesce(node: Call, parts: tuple[Typed, ...]) -> Typed:
    if all(part.type.numeric for part in parts):
        parts = alike(node, parts)
    kinds = {part.type.kind for part in parts}
    if len(kinds) > 1:
        words = ", ".join(part.type.words for part in parts)
        raise TypeFault("E_EXPRESSION_TYPE", f"coalesce of {words}", node, "give it values of one kind")
    types = [part.type for part in parts]
    known = all(one.members or isinstance(part.node, Literal) for one, part in zip(types, parts, strict=True))
    members = {m for one in types for m in one.members} if known and types[0].kind == "text" else set()
    literals = {str(p.node.value) for p in parts if isinstance(p.node, Literal)} if members else set()
    found = Type(
        kind=types[0].kind, nullable=all(one.nullable for one in types), scale=types[0].scale,
        low=min(one.low for one in types), high=max(one.high for one in types),
        members=tuple(sorted(members | literals)),
    )  # fmt: skip
    return Typed(node, found, parts)


def _of_clock(node: Call, parts: tuple[Typed, ...]) -> Typed:
    _need(parts[0], "time")
    if len(parts) == 2:
        offset = parts[1].node
        try:
            shift_ms = offset_ms(str(offset.value)) if isinstance(offset, Literal) else offset_ms("")
        except ValueError:
            raise TypeFault(
                "E_EXPRESSION_TYPE",
                'an offset is written "+01:00", at most 14 hours',
                offset,
                "leave it out for UTC",
            ) from None
        bounded(node, parts[0].type, parts[0].type.low + shift_ms, parts[0].type.high + shift_ms)
    return Typed(node, integer(0, 23 if node.name == "hour" else 6, nullable=parts[0].type.nullable), parts)


_CALLS: Mapping[str, Callable[[Call, tuple[Typed, ...]], Typed]] = {
    "abs": _abs, "log1p": _log1p, "min": _extreme, "max": _extreme, "coalesce": _coalesce, "hour": _of_clock,
    "weekday": _of_clock,
}  # fmt: skip
_RULES: Mapping[type, Callable[..., Typed]] = {
    Unary: _unary, Arithmetic: _arithmetic, Compare: _comparison, Logic: _logic, In: _in,
    IsNull: _is_null, Call: _call,
}  # fmt: skip


def _need(part: Typed, kind: str) -> None:
    if part.type.kind != kind:
        wanted = {"bool": "a truth value", "time": "a time"}[kind]
        advice = "compare it with something" if kind == "bool" else "name a column of times"
        raise TypeFault("E_EXPRESSION_TYPE", f"{part.type.words} where {wanted} is needed", part.node, advice)


def _need_number(part: Typed) -> None:
    if not part.type.numeric:
        raise TypeFault("E_EXPRESSION_TYPE", f"{part.type.words} where a number is needed", part.node)


def _need_member(category: Type, other: Typed) -> None:
    if category.members and isinstance(other.node, Literal) and other.node.value not in category.members:
        advice = nearest(str(other.node.value), category.members)
        raise TypeFault(
            "E_EXPRESSION_TYPE", f"{other.node.value!r} is no value of this category", other.node, advice
        )
