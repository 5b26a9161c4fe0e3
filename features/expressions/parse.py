"""Text into trees, by Python's own parser restricted to what an expression may hold.

The grammar is Python's for operators, comparison, `and`, `or`, `not` and `in`, with SQL's `is null` and
`is not null`, and `true`, `false`. Everything else that Python can say is refused with its place.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from contracts.errors import ConfigError
from features.expressions.tree import (
    FUNCTIONS,
    INT64_MIN,
    Arithmetic,
    Call,
    ColumnRef,
    Compare,
    In,
    IsNull,
    Literal,
    Logic,
    TextSpan,
    Tree,
    Unary,
    negated,
)

TEXT_CHARS_MAX = 4_000
DEPTH_MAX = 48  # nodes above one another: a policy file is input, and Python's stack is bounded

_ARITHMETIC: Mapping[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARED: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_CONSTANTS: Mapping[str, bool] = {"true": True, "false": False}
_ONE_TEXT = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_HINTS = (
    (re.compile(r"(?<![=<>!])=(?!=)"), "write == for equal"),
    (re.compile(r"<>"), "write != for not equal"),
    (re.compile(r"&&|\|\|"), "write `and` and `or`"),
    (re.compile(r"[×÷−≤≥≠]"), "write * / - <= >= !="),
    (re.compile(r"(?i)\bis\s+not\s+null\b|\bnot\s+null\b"), "write `x is not null`"),
)


def parse(written: str) -> Tree:
    """Return the tree of a text.

    Raises:
        ConfigError: E_EXPRESSION_SYNTAX, with the place in the text.

    >>> parse("amount > 100 and country in ('FR', 'BE')").inputs()
    ('amount', 'country')
    >>> from contracts.errors import ConfigError
    >>> try:
    ...     parse("amount > mix(1, 2)")
    ... except ConfigError as error:
    ...     (error.code, error.where, error.next_step)
    ('E_EXPRESSION_SYNTAX', 'character 10 of "amount > mix(1, 2)"', 'the nearest is min')
    """
    if len(written) > TEXT_CHARS_MAX:
        raise refusal("E_EXPRESSION_SYNTAX", f"it has more than {TEXT_CHARS_MAX:,} characters", written, None)
    line = re.sub(r"[\r\n]", " ", written)
    begin = len(line) - len(line.lstrip())
    return _Reader(written, begin).read(_parsed(line.strip(), written, begin))


def refusal(code: str, what: str, written: str, place: TextSpan | None, advice: str = "") -> ConfigError:
    """Return why a text is refused, naming the place in it."""
    shown = " ".join(written.split())
    if place is not None and len(written) > 80:
        shown = f"…{written[place.begin : place.begin + 60]}…"
    where = f'"{shown[:200]}"' if place is None else f'character {place.begin + 1} of "{shown}"'
    return ConfigError(code, what, where, advice or "correct it; docs/expressions.md has the language")


def nearest(name: str, known: Iterator[str] | tuple[str, ...]) -> str:
    """Return advice that names the known name nearest to one, or lists them.

    >>> nearest("amuont", ("amount", "country"))
    'the nearest is amount'
    """
    names = sorted(known)
    found = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"the nearest is {found[0]}" if found else f"there are {', '.join(names[:12])}"


def _parsed(line: str, written: str, begin: int) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return ast.parse(line, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError, Warning) as error:
        at = getattr(error, "offset", None) or 1
        what = getattr(error, "msg", None) or "it is nested too deeply, or holds what no text may"
        hints = [hint for pattern, hint in _HINTS if pattern.search(line)]
        place = TextSpan(begin + at - 1, begin + at)
        raise refusal(
            "E_EXPRESSION_SYNTAX", f"it cannot be read: {what}", written, place, "; ".join(hints[:1])
        ) from error


class _Reader:
    """Turns Python's nodes into ours; `begin` is where the parsed line begins in the text."""

    def __init__(self, written: str, begin: int) -> None:
        self._written, self._begin = written, begin
        self._bytes = written[begin:].encode(errors="replace")
        self._texts: list[TextSpan] = []

    def read(self, node: ast.expr) -> Tree:
        """Return the tree; a `#` outside of texts would have hidden what follows it."""
        tree = self._node(node, 1)
        for found in re.finditer("#", self._written):
            if not any(begin <= found.start() < end for begin, end in self._texts):
                raise refusal("E_EXPRESSION_SYNTAX", "a comment", self._written, TextSpan(*found.span()))
        return tree

    def _node(self, node: ast.expr, depth: int) -> Tree:
        place = self._place(node)
        if depth > DEPTH_MAX:
            raise self._refusal(
                f"it is nested more than {DEPTH_MAX} deep", node, "name a part as a derived feature"
            )
        match node:
            case ast.Name(id=name):
                return self._name(name, node)
            case ast.Constant():
                return self._constant(node)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))) if number == -INT64_MIN:
                return Literal(INT64_MIN, place=place)  # its positive is beyond 64 bits
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return negated(self._node(operand, depth + 1), place)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Unary("not", self._node(operand, depth + 1), place=place)
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _ARITHMETIC:
                sides = self._node(left, depth + 1), self._node(right, depth + 1)
                return Arithmetic(_ARITHMETIC[type(op)], *sides, place=place)
            case ast.BoolOp(op=op, values=values):
                operands = tuple(self._node(each, depth + 1) for each in values)
                return Logic("and" if isinstance(op, ast.And) else "or", operands, place=place)
            case ast.Compare():
                return self._compare(node, depth)
            case ast.Call():
                return self._call(node, depth)
        raise self._refusal(f"{type(node).__name__} has no meaning here", node)

    def _name(self, name: str, node: ast.expr) -> Tree:
        if name in _CONSTANTS:
            return Literal(_CONSTANTS[name], place=self._place(node))
        if name == "null":
            raise self._refusal("null stands only behind `is`", node, "write `x is null` or `x is not null`")
        if not name.isascii() or not self._source(node).isascii():
            raise self._refusal(f"the name {name!r} is not plain", node, f"write col({name!r})")
        return ColumnRef(name, place=self._place(node))

    def _constant(self, node: ast.Constant) -> Tree:
        value, place = node.value, self._place(node)
        if value is None:
            raise self._refusal("null stands only behind `is`", node, "write `x is null` or `x is not null`")
        if isinstance(value, str):
            if not _ONE_TEXT.fullmatch(self._source(node)):
                raise self._refusal("a text is one pair of quotes", node, "look for a missing comma")
            self._texts.append(place)
        try:
            return Literal(value, place=place)  # type: ignore[arg-type]  # it refuses what it cannot hold
        except ConfigError as error:
            raise refusal(error.code, error.what, self._written, place, error.next_step) from error

    def _compare(self, node: ast.Compare, depth: int) -> Tree:
        sides = [node.left, *node.comparators]
        found = [
            self._comparison(op, sides[at], sides[at + 1], depth + (len(node.ops) > 1))
            for at, op in enumerate(node.ops)
        ]  # fmt: skip
        return found[0] if len(found) == 1 else Logic("and", tuple(found), place=self._place(node))

    def _comparison(self, op: ast.cmpop, left: ast.expr, right: ast.expr, depth: int) -> Tree:
        operand = self._node(left, depth + 1)
        place = TextSpan(self._place(left).begin, self._place(right).end)
        match op:
            case ast.Is() | ast.IsNot():
                if not self._is_null(right):
                    raise self._refusal("`is` asks for null only", right, "write == to compare")
                found: Tree = IsNull(operand, place=place)
                return Unary("not", found, place=place) if isinstance(op, ast.IsNot) else found
            case ast.In() | ast.NotIn():
                found = In(operand, self._options(right, depth), place=place)
                return Unary("not", found, place=place) if isinstance(op, ast.NotIn) else found
        return Compare(_COMPARED[type(op)], operand, self._node(right, depth + 1), place=place)

    def _is_null(self, node: ast.expr) -> bool:
        return (isinstance(node, ast.Name) and node.id == "null") or (
            isinstance(node, ast.Constant) and node.value is None
        )

    def _options(self, node: ast.expr, depth: int) -> tuple[Literal, ...]:
        if not isinstance(node, ast.Tuple | ast.List | ast.Set) or not node.elts:
            raise self._refusal("`in` needs a list of values", node, "write `x in ('a', 'b')`")
        found = [self._node(each, depth + 1) for each in node.elts]
        options = tuple(each for each in found if isinstance(each, Literal))
        if len(options) < len(found):
            raise self._refusal("`in` takes values, no names", node, "join comparisons by `or`")
        return options

    def _call(self, node: ast.Call, depth: int) -> Tree:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if node.keywords or any(isinstance(each, ast.Starred) for each in node.args):
            raise self._refusal("arguments are given by place", node)
        if name == "col":
            return self._column(node)
        fewest, most = (2, 2) if name == "ratio" else FUNCTIONS.get(name, (0, 0))
        if not most:
            known = (*FUNCTIONS, "ratio", "col")
            raise self._refusal(f"there is no function {name or 'of this kind'}", node, nearest(name, known))
        if not fewest <= len(node.args) <= most:
            wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            raise self._refusal(f"{name} takes {wanted} arguments, not {len(node.args)}", node)
        arguments = tuple(self._node(each, depth + 1) for each in node.args)
        place = self._place(node)
        return (
            Arithmetic("/", *arguments, place=place)
            if name == "ratio"
            else Call(name, arguments, place=place)
        )

    def _column(self, node: ast.Call) -> Tree:
        name = node.args[0] if len(node.args) == 1 else None
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str) or not name.value:
            raise self._refusal("col takes the name of a column in quotes", node, 'write col("name")')
        self._constant(name)
        return ColumnRef(name.value, place=self._place(node))

    def _source(self, node: ast.expr) -> str:
        begin, end = self._place(node)
        return self._written[begin:end]

    def _place(self, node: ast.expr) -> TextSpan:
        """Return the characters of a node; Python counts bytes."""
        begin, end = node.col_offset, node.end_col_offset or node.col_offset
        before = len(self._bytes[:begin].decode(errors="replace"))
        return TextSpan(self._begin + before, self._begin + before + len(self._bytes[begin:end].decode()))

    def _refusal(self, what: str, node: ast.expr, advice: str = "") -> ConfigError:
        return refusal("E_EXPRESSION_SYNTAX", what, self._written, self._place(node), advice)
