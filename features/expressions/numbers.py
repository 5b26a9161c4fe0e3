"""Numbers that meet: as which kind they are taken, and what they may come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from features.expressions.text import text
from features.expressions.tree import (
    INT64_MAX,
    INT64_MIN,
    ColumnRef,
    Literal,
    Tree,
    walk,
)
from features.expressions.types import (
    FLOAT_EXACT,
    SCALE_MAX,
    Type,
    number,
)


@dataclass(frozen=True, slots=True)
class Typed:
    """A node, its type, and the nodes right below it with theirs."""

    node: Tree
    type: Type
    parts: tuple["Typed", ...] = ()

    @property
    def is_converted(self) -> bool:
        """Whether it is its only part, taken as another kind of number."""
        return len(self.parts) == 1 and self.parts[0].node is self.node


class TypeFault(Exception):
    """A node has no type; `infer` turns it into a ConfigError with its place."""

    def __init__(self, code: str, what: str, node: Tree, advice: str = "") -> None:
        super().__init__(what)
        self.code, self.what, self.node, self.advice = code, what, node, advice


def exact_literal(node: Literal) -> tuple[int, int]:
    """Return a written number as a whole number and its digits behind the point: 0.25 is (25, 2)."""
    sign, digits, exponent = Decimal(node.written).as_tuple()
    assert isinstance(exponent, int), "a literal is finite"
    whole = int("".join(map(str, digits))) * (-1 if sign else 1)
    return (whole * 10**exponent, 0) if exponent > 0 else (whole, -exponent)


def alike(node: Tree, parts: Sequence[Typed]) -> tuple[Typed, ...]:
    """Return the parts as one kind of number: float64, or exact of one scale."""
    parts = written_out(node, parts)
    if any(part.type.kind == "float" for part in parts):
        return tuple(as_float(part, node) for part in parts)
    scale = max(part.type.scale for part in parts)
    return tuple(_as_scale(part, node, scale) for part in parts)


def written_out(node: Tree, parts: Sequence[Typed]) -> tuple[Typed, ...]:
    """Return the parts; beside a decimal, and no column of floats, a written number is a decimal."""
    kinds = {part.type.kind for part in parts if not isinstance(part.node, Literal)}
    if "decimal" not in kinds or "float" in kinds:
        return tuple(parts)
    return tuple(_as_decimal(part) for part in parts)


def _as_decimal(part: Typed) -> Typed:
    if not isinstance(part.node, Literal) or part.node.kind != "float":
        return part
    whole, scale = exact_literal(part.node)
    if scale > SCALE_MAX or not INT64_MIN <= whole <= INT64_MAX:
        raise TypeFault(
            "E_EXPRESSION_RANGE",
            f"{part.node.written} has more digits than a decimal",
            part.node,
            "write fewer digits",
        )
    return Typed(part.node, Type(kind="decimal", scale=scale, low=whole, high=whole))


def _as_scale(part: Typed, node: Tree, scale: int) -> Typed:
    """Return a part whose type says that it is to be taken in units of 10 ** -scale."""
    if part.type.scale == scale:
        return part
    by = 10 ** (scale - part.type.scale)
    kind = Type(kind="decimal", scale=scale, nullable=part.type.nullable)
    return Typed(part.node, bounded(node, kind, part.type.low * by, part.type.high * by), (part,))


def as_float(part: Typed, node: Tree) -> Typed:
    """Return a part whose type says that it is to be taken as float64."""
    if part.type.kind == "float":
        return part
    if max(-part.type.low, part.type.high) > FLOAT_EXACT:
        raise TypeFault(
            "E_EXPRESSION_RANGE", f"{text(part.node)} may be beyond 2**53, which a float64 would round",
            part.node,
            "declare its range, or compare it with whole numbers",
        )  # fmt: skip
    return Typed(part.node, number(nullable=part.type.nullable), (part,))


def bounded(node: Tree, kind: Type, low: int, high: int) -> Type:
    """Return a type with those bounds; a float has none."""
    if kind.kind == "float":
        return kind
    if not INT64_MIN <= low <= high <= INT64_MAX:
        unknown = [each.name for each in walk(node) if isinstance(each, ColumnRef)]
        raise TypeFault(
            "E_EXPRESSION_RANGE",
            f"{text(node)} may come to {low if low < INT64_MIN else high}, beyond 64 bits", node,
            f"declare a smaller range for {' or '.join(dict.fromkeys(unknown)) or 'it'}",
        )  # fmt: skip
    return Type(kind=kind.kind, nullable=kind.nullable, scale=kind.scale, low=low, high=high)


def reach(sign: str, left: Type, right: Type) -> tuple[int, int]:
    """Return the least and the greatest that two exact numbers may come to."""
    if sign == "+":
        return left.low + right.low, left.high + right.high
    if sign == "-":
        return left.low - right.high, left.high - right.low
    products = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
    return min(products), max(products)
