"""Canonical texts of expressions, read by a parser of the oracle's own into nested tuples.

A node is a tuple whose first item says what it is: `("column", name)`, `("value", kind, value)`, `("is null",
x)`, `("in", x, options)`, `("not", x)`, `("minus", x)`, a sign with its two sides, `and` or `or` with a list,
`("call", name, arguments)`. A number with a point or an exponent keeps its text: what it is next to decides
whether it is a decimal or a float.
"""

import ast
import re
from typing import Any

Node = tuple[Any, ...]

_PIECE = re.compile(r"""\s*(?:
    (?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?) | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<word>[A-Za-z_]\w*) | (?P<sign>==|!=|<=|>=|[-+*/<>(),])
)""", re.VERBOSE)  # fmt: skip
_BINDS = {"or": 1, "and": 2, "+": 5, "-": 5, "*": 6, "/": 6} | dict.fromkeys(
    ("==", "!=", "<", "<=", ">", ">=", "in", "not", "is"), 4
)
_NOT, _MINUS = 3, 7


def read(text: str) -> Node:
    """Return the nodes of a text.

    Raises:
        ValueError: the text is not canonical.

    >>> read("a / 2 > 0.5")
    ('>', ('/', ('column', 'a'), ('value', 'int', 2)), ('value', 'written', '0.5'))
    """
    pieces, at = [], 0
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            raise ValueError(f"no expression: {text!r} at {at}")
        pieces.append((str(found.lastgroup), found[str(found.lastgroup)]))
        at = found.end()
    reader = _Reader(pieces)
    node = reader.expression(0)
    reader.take("end")
    return node


class _Reader:
    def __init__(self, pieces: list[tuple[str, str]]) -> None:
        self._pieces, self._at = [*pieces, ("end", "end")], 0

    def next(self) -> str:
        """Return the piece that comes, left where it is; a text is none."""
        kind, piece = self._pieces[self._at]
        return "" if kind == "text" else piece

    def take(self, piece: str) -> None:
        """Pass over a piece that must come."""
        if self.next() != piece:
            raise ValueError(f"{self.next()!r} where {piece!r} must be")
        self._at += 1

    def expression(self, least: int) -> Node:
        """Read on as long as signs bind more than `least`."""
        node = self._first()
        while _BINDS.get(self.next(), 0) > least:
            node = self._more(node, self.next())
        return node

    def _more(self, left: Node, sign: str) -> Node:
        self.take(sign)
        if sign in ("and", "or"):
            right = self.expression(_BINDS[sign])
            return (sign, [*(left[1] if left[0] == sign else [left]), right])
        if sign == "not":
            self.take("in")
            return ("not", ("in", left, self._options()))
        if sign == "in":
            return ("in", left, self._options())
        if sign == "is":
            opposite = self.next() == "not"
            if opposite:
                self.take("not")
            self.take("null")
            return ("not", ("is null", left)) if opposite else ("is null", left)
        return (sign, left, self.expression(_BINDS[sign]))

    def _first(self) -> Node:
        kind, piece = self._pieces[self._at]
        self._at += 1
        if kind == "number":
            return ("value", "int", int(piece)) if piece.isdigit() else ("value", "written", piece)
        if kind == "text":
            return ("value", "text", ast.literal_eval(piece))
        if piece == "(":
            node = self.expression(0)
            self.take(")")
            return node
        if piece == "-":
            return _opposite(self.expression(_MINUS))
        if piece == "not":
            return ("not", self.expression(_NOT - 1))
        if kind != "word":
            raise ValueError(f"{piece!r} begins nothing")
        if piece in ("true", "false"):
            return ("value", "bool", piece == "true")
        return self._call(piece) if self.next() == "(" else ("column", piece)

    def _call(self, name: str) -> Node:
        self.take("(")
        arguments = self._list()
        return ("column", arguments[0][2]) if name == "col" else ("call", name, arguments)

    def _options(self) -> list[Node]:
        self.take("(")
        return self._list()

    def _list(self) -> list[Node]:
        found = []
        while self.next() != ")":
            found.append(self.expression(0))
            if self.next() != ")":
                self.take(",")
        self.take(")")
        return found


def _opposite(node: Node) -> Node:
    if node[:2] == ("value", "int"):
        return ("value", "int", -node[2])
    if node[:2] == ("value", "written"):
        return ("value", "written", f"-{node[2]}")
    return ("minus", node)
