"""Every code that an operator can meet has a page, and no page is about a code that is gone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from headrace import runbook
from headrace.reference import NOTE, RUNBOOK

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("runtime", "contracts", "features", "streams", "inference", "feature_repo", "headrace", "load")
CODE = re.compile(r"[EN]_[A-Z0-9_]*[A-Z0-9]")
NO_CODES = {"E_DECODE_WEATHER", "E_EXAMPLE", "E_DECODE", "E_SIZE"}  # of examples, and beginnings of names
EXIT_CODES = {*range(7), *range(70, 77)}


def codes_in(source: str) -> Iterator[str]:
    """Yield each text of the source that is a code and nothing else."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
            yield node.value


def codes_of_the_product() -> set[str]:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return {code for path in files for code in codes_in(path.read_text())} - NO_CODES


def test_every_code_has_an_entry_and_every_entry_a_code():
    explained = {code for code in runbook.entries() if not code.startswith(runbook.EXITS)}
    assert sorted(codes_of_the_product() - explained) == [], "add them to headrace/codes/*.toml"
    assert sorted(explained - codes_of_the_product()) == [], "nothing raises these any more"


def test_a_code_without_an_entry_would_be_found():
    assert set(codes_in('raise Stop(70, "E_NEW_ONE", f"E_NOT {here}")')) == {"E_NEW_ONE"}


def test_every_exit_code_has_an_entry():
    explained = {int(c.removeprefix(runbook.EXITS)) for c in runbook.entries() if c.startswith(runbook.EXITS)}
    assert explained >= EXIT_CODES


def test_the_page_is_what_the_entries_make():
    assert RUNBOOK.read_text() == NOTE + "\n".join(runbook.page()), "run `make docs`"


def test_an_unknown_code_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="E_STORE_DOWN"):
        runbook.entry("E_STORE_DWON")
