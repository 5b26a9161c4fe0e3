"""A tree as text: the canonical one, which reads back as the same tree, one for pages, and the hash of it."""

import hashlib
import keyword
import re
from collections.abc import Mapping

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
)

LANGUAGE = 1  # grows when what a text means changes: hashes of all trees change with it
RESERVED = frozenset({"true", "false", "null", *keyword.kwlist})
"""Names that mean something: a column of such a name is written col("…")."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEVELS: Mapping[str, int] = {"or": 0, "and": 1, "not": 2, "+": 4, "-": 4, "*": 5, "/": 5}
_COMPARED, _NEGATED, _ATOM = 3, 6, 7
_SIGNS: Mapping[str, str] = {"*": "×", "/": "÷", "-": "−", "<=": "≤", ">=": "≥", "!=": "≠", "==": "="}


def text(tree: Tree) -> str:
    """Return the canonical text: `parse(text(tree)) == tree`.

    >>> from features.expressions import col
    >>> far = (col("paid") - col("mean")) / col("std") > 3
    >>> text((far & col("country").is_in(["FR", "BE"])).tree)
    "(paid - mean) / std > 3 and country in ('BE', 'FR')"
    """
    return _text(tree, 0, {})


def describe(tree: Tree) -> str:
    """Return the text for pages that people read; it does not read back.

    >>> from features.expressions import parse
    >>> describe(parse("(a - b) / c >= 2"))
    '(a − b) ÷ c ≥ 2'
    """
    return _text(tree, 0, _SIGNS)


def content_hash(tree: Tree) -> str:
    """Return 16 hex digits that are the same for equal trees, on any machine and in any process.

    >>> from features.expressions import parse
    >>> content_hash(parse("x  not in (2, 1)")) == content_hash(parse("not x in (1, 2, 2)"))
    True
    """
    return hashlib.sha256(f"{LANGUAGE}:{text(tree)}".encode()).hexdigest()[:16]


def _text(tree: Tree, least: int, signs: Mapping[str, str]) -> str:
    """Return the text, in parentheses where it binds less than the place that it goes to."""
    level, written = _written(tree, signs)
    return f"({written})" if level < least else written


def _written(tree: Tree, signs: Mapping[str, str]) -> tuple[int, str]:
    """Return how tightly a node binds, and its text."""
    match tree:
        case ColumnRef(name=name):
            plain = _PLAIN.fullmatch(name) and name not in RESERVED
            return _ATOM, name if plain else f"col({name!r})"
        case Literal():
            return _literal(tree)
        case Unary(sign="-", operand=operand):
            return _NEGATED, signs.get("-", "-") + _text(operand, _NEGATED, signs)
        case Unary(operand=In() | IsNull() as tested):
            return _tested(tested, " not", signs)
        case Unary(operand=operand):
            return _LEVELS["not"], f"not {_text(operand, _LEVELS['not'], signs)}"
        case Arithmetic(sign=sign, left=left, right=right):
            level = _LEVELS[sign]
            joined = f" {signs.get(sign, sign)} "
            return level, _text(left, level, signs) + joined + _text(right, level + 1, signs)
        case Compare(sign=sign, left=left, right=right):
            joined = f" {signs.get(sign, sign)} "
            return _COMPARED, _text(left, _COMPARED + 1, signs) + joined + _text(right, _COMPARED + 1, signs)
        case Logic(sign=sign, operands=operands):
            level = _LEVELS[sign]
            return level, f" {sign} ".join(_text(each, level + 1, signs) for each in operands)
        case In() | IsNull():
            return _tested(tree, "", signs)
        case Call(name=name, arguments=arguments):
            return _ATOM, f"{name}({', '.join(_text(each, 0, signs) for each in arguments)})"
    raise TypeError(f"no node of an expression: {tree!r}")


def _literal(tree: Literal) -> tuple[int, str]:
    if tree.kind == "bool":
        return _ATOM, tree.written.lower()
    return (_NEGATED if tree.written.startswith("-") else _ATOM), tree.written


def _tested(tree: In | IsNull, negation: str, signs: Mapping[str, str]) -> tuple[int, str]:
    operand = _text(tree.operand, _COMPARED + 1, signs)
    if isinstance(tree, IsNull):
        return _COMPARED, f"{operand} is{negation} null"
    options = ", ".join(_literal(option)[1] for option in tree.options)
    return _COMPARED, f"{operand}{negation} in ({options}{',' if len(tree.options) == 1 else ''})"
