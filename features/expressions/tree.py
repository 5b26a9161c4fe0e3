"""Expressions as trees: seven kinds of node, immutable and hashable, whoever wrote them.

Two trees are equal when they are written alike, wherever they were read: the place in a text, kept for
messages, is no part of a tree. What can be written in two ways is one tree (`not x in (1, 2)` and
`x not in (1, 2)`, `ratio(a, b)` and `a / b`, `a and (b and c)` and `a and b and c`), so equal texts, equal
hashes and equal trees are the same thing.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal as OneOf
from typing import NamedTuple

from contracts.errors import ConfigError

Value = bool | int | float | str
LiteralKind = OneOf["bool", "int", "float", "text"]
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
ARITHMETIC = ("+", "-", "*", "/")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
FUNCTIONS: Mapping[str, tuple[int, int]] = {
    "coalesce": (2, 16), "abs": (1, 1), "min": (2, 16), "max": (2, 16), "log1p": (1, 1), "hour": (1, 2),
    "weekday": (1, 2),
}  # fmt: skip
"""How few and how many arguments each function takes."""

_KINDS: Mapping[type, LiteralKind] = {bool: "bool", int: "int", float: "float", str: "text"}


class TextSpan(NamedTuple):
    """The characters [begin, end) of the text that a node was read from."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One node with everything below it; `place` is where it was read, None where it was made in Python."""

    place: TextSpan | None = field(default=None, compare=False, repr=False)

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the columns that it reads, sorted.

        >>> from features.expressions import parse
        >>> parse("b > 1 and a / b < 2").inputs()
        ('a', 'b')
        """
        return tuple(sorted({node.name for node in walk(self) if isinstance(node, ColumnRef)}))


@dataclass(frozen=True, slots=True)
class ColumnRef(Tree):
    """A named column, or a named feature."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal(Tree):
    """A number, a text or a truth value; `kind` and `written` tell 1 from 1.0 and 0.0 from -0.0.

    Raises:
        ConfigError: E_EXPRESSION_SYNTAX, a number beyond int64 or not finite, a text with a null character
            or that is no Unicode, or another kind of value.

    >>> Literal(1) == Literal(1.0), Literal(0.0) == Literal(-0.0), Literal(1) == Literal(True)
    (False, False, False)
    """

    value: Value = field(compare=False)
    kind: LiteralKind = field(init=False, repr=False, default="int")
    written: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        wrong = _wrong_with(self.value)
        if wrong:
            raise ConfigError(
                "E_EXPRESSION_SYNTAX", wrong, repr(self.value)[:80],
                "write a whole number within 64 bits, a finite number, true, false or a text",
            )  # fmt: skip
        object.__setattr__(self, "kind", _KINDS[type(self.value)])
        object.__setattr__(self, "written", repr(self.value))


@dataclass(frozen=True, slots=True)
class Unary(Tree):
    """`-operand` or `not operand`."""

    sign: OneOf["-", "not"]
    operand: Tree


@dataclass(frozen=True, slots=True)
class Arithmetic(Tree):
    """`left sign right`; the sign is one of `ARITHMETIC`."""

    sign: str
    left: Tree
    right: Tree


@dataclass(frozen=True, slots=True)
class Compare(Tree):
    """`left sign right`; the sign is one of `COMPARISONS`."""

    sign: str
    left: Tree
    right: Tree


@dataclass(frozen=True, slots=True)
class Logic(Tree):
    """Two or more operands joined by one `and` or `or`; those of the same sign are one node."""

    sign: OneOf["and", "or"]
    operands: tuple[Tree, ...]

    def __post_init__(self) -> None:
        flat: list[Tree] = []
        for operand in self.operands:
            flat += (
                operand.operands if isinstance(operand, Logic) and operand.sign == self.sign else [operand]
            )
        object.__setattr__(self, "operands", tuple(flat))


@dataclass(frozen=True, slots=True)
class In(Tree):
    """Whether the operand is one of the literals, which are kept in order and once each."""

    operand: Tree
    options: tuple[Literal, ...]

    def __post_init__(self) -> None:
        once = {option: option for option in self.options}
        object.__setattr__(self, "options", tuple(sorted(once, key=_rank)))


@dataclass(frozen=True, slots=True)
class IsNull(Tree):
    """Whether the operand is null; never null itself."""

    operand: Tree


@dataclass(frozen=True, slots=True)
class Call(Tree):
    """A function of `FUNCTIONS` and its arguments."""

    name: str
    arguments: tuple[Tree, ...]


def negated(operand: Tree, place: TextSpan | None = None) -> Tree:
    """Return `-operand`; a number is turned round itself, so that -1 is one literal.

    >>> negated(Literal(1)).value
    -1
    """
    if isinstance(operand, Literal) and operand.kind in ("int", "float"):
        return Literal(-operand.value, place=place)  # type: ignore[operator]  # its kind says it is a number
    return Unary("-", operand, place=place)


def children(tree: Tree) -> tuple[Tree, ...]:
    """Return the nodes right below one, from left to right."""
    found: list[Tree] = []
    for each in fields(tree):
        value = getattr(tree, each.name)
        if isinstance(value, Tree):
            found.append(value)
        elif isinstance(value, tuple) and each.name in ("operands", "options", "arguments"):
            found += value
    return tuple(found)


def walk(tree: Tree) -> Iterator[Tree]:
    """Return a tree's nodes, each before those below it."""
    yield tree
    for child in children(tree):
        yield from walk(child)


def substitute(tree: Tree, by: Mapping[str, Tree]) -> Tree:
    """Return the tree with columns of those names replaced.

    >>> from features.expressions import parse, text
    >>> text(substitute(parse("amount > limit"), {"limit": Literal(5)}))
    'amount > 5'
    """
    if isinstance(tree, ColumnRef):
        return by.get(tree.name, tree)
    if not children(tree) or isinstance(tree, Literal):
        return tree
    below = [substitute(child, by) for child in children(tree)]
    match tree:
        case Unary(sign="-"):
            return negated(below[0], tree.place)
        case Unary() | IsNull() | In():
            return replace(tree, operand=below[0])
        case Arithmetic() | Compare():
            return replace(tree, left=below[0], right=below[1])
        case Logic():
            return replace(tree, operands=tuple(below))
        case Call():
            return replace(tree, arguments=tuple(below))
    raise TypeError(f"no node of an expression: {tree!r}")


def limits(tree: Tree) -> tuple[tuple[str, float], ...]:
    """Return the numbers with which single columns are compared: where an answer may turn, each once.

    >>> from features.expressions import parse
    >>> limits(parse("a > 5 and 0.5 <= share and b + 1 > 2 and c in (1, 2)"))
    (('a', 5.0), ('c', 1.0), ('c', 2.0), ('share', 0.5))
    """
    found: set[tuple[str, float]] = set()
    for node in walk(tree):
        sides: tuple[Tree, ...] = (node.left, node.right) if isinstance(node, Compare) else ()
        if isinstance(node, In):
            sides = (node.operand, *node.options)
        names = [side.name for side in sides if isinstance(side, ColumnRef)]
        written = [each for each in sides if isinstance(each, Literal) and each.kind in ("int", "float")]
        found |= {(name, float(each.value)) for name in names for each in written}
    return tuple(sorted(found))


def _wrong_with(value: object) -> str:
    if type(value) not in _KINDS:
        return f"a value of type {type(value).__name__}"
    if type(value) is int and not INT64_MIN <= value <= INT64_MAX:
        return "a whole number beyond 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        return "a text with a null character or half a character"
    return ""


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _rank(option: Literal) -> tuple[int, float | int, str]:
    if isinstance(option.value, str):
        return 2, 0, option.value
    return int(option.kind != "bool"), option.value, option.written
