"""Trees by Python's operators on `col(...)`: what `features.py` writes."""

from collections.abc import Iterable

from contracts.errors import ConfigError
from features.expressions.text import text
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
    Value,
    negated,
)


class Expression:
    """A tree with operators: + - * /, == != < <= > >=, & | ~ for and, or, not, and `abs(...)`.

    >>> from features.expressions import col
    >>> (col("amount") > 100) & ~col("country").is_in(["FR", "BE"])
    amount > 100 and country not in ('BE', 'FR')
    """

    __slots__ = ("tree",)

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def __repr__(self) -> str:
        return text(self.tree)

    def __bool__(self) -> bool:
        raise ConfigError(
            "E_EXPRESSION_SYNTAX", "an expression has no truth value before there are rows", repr(self)[:200],
            "join conditions by & | ~, each in parentheses, and write .is_in([...]) for `in`",
        )  # fmt: skip

    def __add__(self, other: "Operand") -> "Expression":
        return Expression(Arithmetic("+", self.tree, tree_of(other)))

    def __radd__(self, other: "Operand") -> "Expression":
        return Expression(Arithmetic("+", tree_of(other), self.tree))

    def __sub__(self, other: "Operand") -> "Expression":
        return Expression(Arithmetic("-", self.tree, tree_of(other)))

    def __rsub__(self, other: "Operand") -> "Expression":
        return Expression(Arithmetic("-", tree_of(other), self.tree))

    def __mul__(self, other: "Operand") -> "Expression":
        return Expression(Arithmetic("*", self.tree, tree_of(other)))

    def __rmul__(self, other: "Operand") -> "Expression":
        return Expression(Arithmetic("*", tree_of(other), self.tree))

    def __truediv__(self, other: "Operand") -> "Expression":
        return Expression(Arithmetic("/", self.tree, tree_of(other)))

    def __rtruediv__(self, other: "Operand") -> "Expression":
        return Expression(Arithmetic("/", tree_of(other), self.tree))

    def __neg__(self) -> "Expression":
        return Expression(negated(self.tree))

    def __abs__(self) -> "Expression":
        return Expression(Call("abs", (self.tree,)))

    def __eq__(self, other: "Operand") -> "Expression":  # type: ignore[override]  # a condition, not an answer
        return Expression(Compare("==", self.tree, tree_of(other)))

    def __ne__(self, other: "Operand") -> "Expression":  # type: ignore[override]  # a condition, not an answer
        return Expression(Compare("!=", self.tree, tree_of(other)))

    def __lt__(self, other: "Operand") -> "Expression":
        return Expression(Compare("<", self.tree, tree_of(other)))

    def __le__(self, other: "Operand") -> "Expression":
        return Expression(Compare("<=", self.tree, tree_of(other)))

    def __gt__(self, other: "Operand") -> "Expression":
        return Expression(Compare(">", self.tree, tree_of(other)))

    def __ge__(self, other: "Operand") -> "Expression":
        return Expression(Compare(">=", self.tree, tree_of(other)))

    def __and__(self, other: "Operand") -> "Expression":
        return Expression(Logic("and", (self.tree, tree_of(other))))

    def __rand__(self, other: "Operand") -> "Expression":
        return Expression(Logic("and", (tree_of(other), self.tree)))

    def __or__(self, other: "Operand") -> "Expression":
        return Expression(Logic("or", (self.tree, tree_of(other))))

    def __ror__(self, other: "Operand") -> "Expression":
        return Expression(Logic("or", (tree_of(other), self.tree)))

    def __invert__(self) -> "Expression":
        return Expression(Unary("not", self.tree))

    def is_in(self, options: Iterable[Value]) -> "Expression":
        """Return whether it is one of some values.

        Raises:
            ConfigError: E_EXPRESSION_SYNTAX, no values.
        """
        found = tuple(map(Literal, options))
        if not found:
            raise ConfigError(
                "E_EXPRESSION_SYNTAX", "is_in without values", repr(self)[:200], "list at least one"
            )
        return Expression(In(self.tree, found))

    def is_null(self) -> "Expression":
        """Return whether it is null."""
        return Expression(IsNull(self.tree))

    def is_not_null(self) -> "Expression":
        """Return whether it is not null."""
        return Expression(Unary("not", IsNull(self.tree)))


Operand = Expression | Tree | Value


def tree_of(operand: Operand) -> Tree:
    """Return the tree of an expression, or of a value, which is a literal: a text is not parsed.

    >>> tree_of("FR")
    Literal(value='FR')
    """
    if isinstance(operand, Expression):
        return operand.tree
    return operand if isinstance(operand, Tree) else Literal(operand)


def col(name: str) -> Expression:
    """Return the column, or the feature, of that name."""
    return Expression(ColumnRef(name))


def ratio(above: Operand, below: Operand) -> Expression:
    """Return above / below: null where `below` is 0, or either is null."""
    return Expression(Arithmetic("/", tree_of(above), tree_of(below)))


def coalesce(first: Operand, *others: Operand) -> Expression:
    """Return the first that is not null; null where all are."""
    return _call("coalesce", first, *others)


def minimum(first: Operand, *others: Operand) -> Expression:
    """Return the least, `min(...)` in a text; null where one is null."""
    return _call("min", first, *others)


def maximum(first: Operand, *others: Operand) -> Expression:
    """Return the greatest, `max(...)` in a text; null where one is null."""
    return _call("max", first, *others)


def log1p(operand: Operand) -> Expression:
    """Return the natural logarithm of 1 + operand; null at -1 and below."""
    return _call("log1p", operand)


def hour(time: Operand, offset: str = "") -> Expression:
    """Return the hour of a time, 0 to 23, in UTC or at a fixed offset such as "+01:00"."""
    return _call("hour", time, *([offset] if offset else []))


def weekday(time: Operand, offset: str = "") -> Expression:
    """Return the day of a time, 0 (Monday) to 6, in UTC or at a fixed offset such as "+01:00"."""
    return _call("weekday", time, *([offset] if offset else []))


def _call(name: str, *operands: Operand) -> Expression:
    return Expression(Call(name, tuple(map(tree_of, operands))))
