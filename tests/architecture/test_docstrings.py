"""Every file says why it is there."""

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = (
    "runtime", "contracts", "features", "streams", "inference", "feature_repo", "headrace", "load", "tools",
    "tests",
)  # fmt: skip
FILES = [
    str(path.relative_to(CHECKOUT))
    for room in ROOMS
    for path in sorted((CHECKOUT / room).rglob("*.py"))
    if path.read_text().strip()
]


@pytest.mark.parametrize("file", FILES)
def test_a_module_says_why_it_is_there(file: str) -> None:
    docstring = ast.get_docstring(ast.parse((CHECKOUT / file).read_text()))
    assert docstring, "no module docstring"
    assert docstring.splitlines()[0].strip()[-1] in ".!?:,", "its first line is no sentence"


@pytest.mark.parametrize("room", ROOMS[:-1])
def test_a_public_function_or_class_says_what_it_does(room: str) -> None:
    silent = [
        f"{path.relative_to(CHECKOUT)}: {node.name}"
        for path in sorted((CHECKOUT / room).rglob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
    ]
    assert silent == []
