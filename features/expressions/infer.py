"""The type of an expression against a schema of columns, or why there is none, with the place in its text."""

from contracts.errors import ConfigError
from features.expressions.node_types import type_node
from features.expressions.numbers import Typed, TypeFault
from features.expressions.parse import DEPTH_MAX, parse, refusal
from features.expressions.text import text
from features.expressions.tree import (
    Arithmetic,
    Call,
    TextSpan,
    Tree,
    children,
)
from features.expressions.types import (
    Schema,
    Type,
)


def infer(tree: Tree, schema: Schema, written: str = "") -> Type:
    """Return a tree's type.

    Args:
        written: the text that the tree was read from, for messages; without it its canonical text stands in.

    Raises:
        ConfigError: E_EXPRESSION_NAME, a column that the schema does not have; E_EXPRESSION_TYPE, kinds that
            do not go together; E_EXPRESSION_RANGE, numbers that may not fit; E_EXPRESSION_SYNTAX, too deep.

    >>> from features.expressions import integer, parse
    >>> infer(parse("amount * 2"), {"amount": integer(0, 100)}).high
    200
    >>> from contracts.errors import ConfigError
    >>> try:
    ...     infer(parse("2 * amuont"), {"amount": integer(0, 100)})
    ... except ConfigError as error:
    ...     (error.code, error.where, error.next_step)
    ('E_EXPRESSION_NAME', 'character 5 of "2 * amuont"', 'the nearest is amount')
    """
    return typed(tree, schema, written).type


def typed(tree: Tree, schema: Schema, written: str = "") -> Typed:
    """Return a tree with the type of every node; arguments and errors are those of `infer`."""
    try:
        _refuse_depth(tree)
        return type_node(tree, schema)
    except TypeFault as wrong:
        shown, place = (written, wrong.node.place) if written else _placed(tree, schema)
        raise refusal(wrong.code, wrong.what, shown, place, wrong.advice) from None


def check_filter(tree: Tree, schema: Schema, written: str = "") -> None:
    """Refuse what may not stand in `where`: all that is not a condition, or not exact.

    Raises:
        ConfigError: E_EXPRESSION_FILTER, division, log1p, or arithmetic of floats; and as `infer`.

    >>> from features.expressions import integer, parse
    >>> check_filter(parse("result != 3"), {"result": integer(0, 9)})
    """
    whole = typed(tree, schema, written)
    wrong = "a filter needs a condition" if whole.type.kind != "bool" else ""
    node = tree
    if not wrong:
        node, wrong = next(filter(None, map(_inexact, _all(whole))), (tree, ""))
    if wrong:
        shown, place = (written, node.place) if written else (text(tree), None)
        raise refusal(
            "E_EXPRESSION_FILTER", wrong, shown, place, "compare columns; keep formulas for derived features"
        )


def _placed(tree: Tree, schema: Schema) -> tuple[str, TextSpan | None]:
    """Return the canonical text of a tree that has no type, and the place in it that is wrong."""
    canonical = text(tree)
    try:
        type_node(parse(canonical), schema)
    except TypeFault as wrong:
        return canonical, wrong.node.place
    except ConfigError:  # deeper, or longer, than a text may be
        return canonical, None
    return canonical, None


def _refuse_depth(tree: Tree, depth: int = 1) -> None:
    if depth > DEPTH_MAX:
        raise TypeFault(
            "E_EXPRESSION_SYNTAX",
            f"it is nested more than {DEPTH_MAX} deep",
            tree,
            "name a part as a derived feature",
        )
    for child in children(tree):
        _refuse_depth(child, depth + 1)


def _all(whole: Typed) -> list[Typed]:
    return [whole, *(inner for part in whole.parts for inner in _all(part))]


def _inexact(of: Typed) -> tuple[Tree, str] | None:
    if of.is_converted:
        mixed = of.type.kind == "float" and of.parts[0].type.kind == "decimal"
        return (of.node, "a decimal and a float do not compare exactly") if mixed else None
    match of.node:
        case Arithmetic(sign="/"):
            return of.node, "a filter does not divide"
        case Arithmetic() if of.type.kind == "float":
            return of.node, "a filter does no arithmetic with floats"
        case Call(name="log1p"):
            return of.node, "a filter takes no logarithm"
    return None
