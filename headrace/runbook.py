"""What each code means to an operator: what happened, what is safe, what to do. One source for all of it.

The entries are the tables of `headrace/codes/*.toml`; `headrace code CODE` prints one, and
`python -m headrace.reference` makes docs/runbook.md of all. A test compares them with the codes in the code.
"""

import difflib
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from contracts.errors import ConfigError

FOLDER = Path(__file__).parent / "codes"
EXITS = "exit_"  # how the tables of exit codes begin


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One code: what happened, what is safe meanwhile, and the step that goes on."""

    happened: str
    safe: str
    do: str


@cache
def entries() -> dict[str, Entry]:
    """Return every entry by its code, exit codes as `exit_70`, in the order of their names.

    Raises:
        ConfigError: E_RUNBOOK, a file is no TOML, an entry lacks a part, or two files explain one code.
    """
    found: dict[str, Entry] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        for code, table in _tables(path).items():
            if code in found:
                raise _refused(path, f"{code} is explained twice")
            try:
                found[code] = msgspec.convert(table, Entry)
            except msgspec.ValidationError as error:
                raise _refused(path, f"{code}: {error}") from error
    return dict(sorted(found.items()))


def entry(code: str) -> Entry:
    """Return the entry of a code; `70` and `exit_70` are the same.

    Raises:
        ConfigError: E_CODE_UNKNOWN, no such code; the nearest one is named.

    >>> "checkpoint" in entry("70").safe
    True
    """
    sought = EXITS + code if code.isdigit() else code.upper() if not code.startswith(EXITS) else code
    known = entries()
    if sought not in known:
        nearest = difflib.get_close_matches(sought, known, n=1)
        advice = f"did you mean {nearest[0]}?" if nearest else "docs/runbook.md lists all"
        raise ConfigError("E_CODE_UNKNOWN", "no such code", code, advice)
    return known[sought]


def page() -> Iterator[str]:
    """Yield the lines of docs/runbook.md."""
    yield "# Runbook: every code, what is safe, and what to do\n"
    yield "A message of headrace begins with its code; `headrace code CODE` prints the same as this page."
    yield "Codes of refused records stand in the dead letters (`headrace dlq list`), all others in a"
    yield "command's message, in a worker's log and in what `headrace up` shows. A worker that ends leaves"
    yield "nothing half done: its successor goes on from the last checkpoint.\n"
    exits = {code: each for code, each in entries().items() if code.startswith(EXITS)}
    codes = {code: each for code, each in entries().items() if code not in exits}
    yield "## Exit codes\n\n| exit code | what happened | what is safe | what to do |\n|---|---|---|---|"
    for code, each in sorted(exits.items(), key=lambda item: int(item[0].removeprefix(EXITS))):
        yield f"| {code.removeprefix(EXITS)} | {each.happened} | {each.safe} | {each.do} |"
    yield "\n## Codes\n"
    for code, each in codes.items():
        yield f"### {code}\n{each.happened}\n\n- **Safe:** {each.safe}\n- **Do:** {each.do}\n"


def _tables(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise _refused(path, str(error)) from error


def _refused(path: Path, what: str) -> ConfigError:
    return ConfigError("E_RUNBOOK", what, str(path), "correct the file, or install headrace again")
