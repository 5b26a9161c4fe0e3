"""What can be counted in the text of the files: lines, names, imports, formatter exceptions."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tools.shape.rooms import PROJECTS, Source

COMMANDS = "commands"  # a folder of the command line, whose modules import inside functions on purpose
WORDS = re.compile(r"(?<![a-z])(?:customer|terminal|card|payment|fraud)(?:s|ulent)?(?![a-z])")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
LITERAL = {tokenize.NAME, tokenize.STRING} | {
    kind
    for name in ("FSTRING_START", "FSTRING_MIDDLE")
    if (kind := getattr(tokenize, name, None)) is not None
}
SKIP = "# fmt: " + "skip"


def lines(files: Sequence[Source]) -> dict[str, int]:
    """Return the number of lines of each room."""
    count: Counter[str] = Counter()
    for file in files:
        count[file.room] += file.text.count("\n")
    return dict(sorted(count.items()))


def skips(files: Sequence[Source]) -> int:
    """Return how often the formatter is told to leave a statement as it is."""
    return sum(file.text.count(SKIP) for file in files)


def repeated_classes(files: Sequence[Source]) -> dict[str, int]:
    """Return the public class names that are defined more than once at module level, and how often.

    >>> repeated_classes([Source("a/b.py", "class A: ..."), Source("a/c.py", "class A: ...")])
    {'A': 2}
    """
    names = Counter(
        node.name
        for file in files
        for node in ast.parse(file.text).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    return {name: count for name, count in sorted(names.items()) if count > 1}


def hidden_imports(files: Sequence[Source], ours: Sequence[str]) -> list[str]:
    """Return `path: module` of each import of our own inside a function, but for those of the command line.

    >>> hidden_imports([Source("a/b.py", "def f():\\n    from a.c import d\\n    import re")], ["a"])
    ['a/b.py: a.c']
    """
    return [
        f"{file.path}: {module}"
        for file in files
        if COMMANDS not in file.parts[:-1]
        for module in sorted(_inside_functions(ast.parse(file.text)))
        if module.partition(".")[0] in ours
    ]


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the modules that the statements of a tree import, wherever they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def _inside_functions(tree: ast.Module) -> Iterator[str]:
    """Yield the imports of a module's outermost functions, which hold those of the inner ones."""
    stack: list[ast.AST] = [tree]
    while stack:
        for child in ast.iter_child_nodes(stack.pop()):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield from imported(child)
            else:
                stack.append(child)


class Named(NamedTuple):
    """Files that name the use case: in code (names and texts), and in comments or docstrings alone."""

    code: list[str]
    prose: list[str]


def naming_files(files: Sequence[Source]) -> Named:
    """Return the files that name customers, terminals, cards, payments or frauds, outside of projects.

    Whole words of an identifier or text count: `customer_id` and `CardRows` do, `discard` does not.

    >>> naming_files([Source("a/b.py", "x = 'a payment'"), Source("a/c.py", "# a payment\\ndiscard = 1")])
    Named(code=['a/b.py'], prose=['a/c.py'])
    """
    code, prose = [], []
    for file in files:
        if any(part in PROJECTS for part in file.parts[:-1]):
            continue
        in_code, in_prose = _names(file.text)
        if in_code:
            code.append(file.path)
        elif in_prose:
            prose.append(file.path)
    return Named(code, prose)


def _names(text: str) -> tuple[bool, bool]:
    docstrings = _docstring_places(text)
    in_code = in_prose = False
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in LITERAL and token.start not in docstrings:
            in_code = in_code or names_use_case(token.string)
        elif token.type == tokenize.COMMENT or token.type in LITERAL:
            in_prose = in_prose or names_use_case(token.string)
    return in_code, in_prose


def names_use_case(text: str) -> bool:
    """Return whether a text has one of the words of card payments.

    >>> names_use_case("discard_terminals"), names_use_case("wildcard")
    (True, False)
    """
    return WORDS.search(CAMEL.sub("_", text).lower()) is not None


def _docstring_places(text: str) -> set[tuple[int, int]]:
    """Return (line, column) of the first token of every docstring."""
    places = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                places.add((first.lineno, first.col_offset))
    return places
