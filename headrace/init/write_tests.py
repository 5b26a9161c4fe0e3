"""`tests/first.yaml` of an inferred project: one record of the file, and what it counts for its keys."""

import json
from collections.abc import Iterator
from typing import Any

from headrace.init.guess import Guess
from headrace.init.infer import Inferred, entity_names
from headrace.init.write_features import windows_of

TEXT_MAX = 60
SOMEBODY = "somebody"  # in the place of what is personal: a test is no place for it


def first_test(found: Inferred) -> str:
    """Return a test of one record: it counts itself, once for each key; "" where no row has them all."""
    row = _whole_row(found)
    if row is None:
        return ""
    lines = [
        "# Records in, values out: run with `headrace test`, and write what you expect of others below it.",
        "tests:",
        "  a_record_counts_itself:",
        "    records:",
        f"      - {found.source}:",
    ]
    lines += [f"          {name}: {_written(value)}" for name, value in _values(found, row)]
    counts = ", ".join(f"{feature}: 1" for feature in _counts(found))
    return "\n".join([*lines, f"        expect: {{{counts}}}"]) + "\n"


def _whole_row(found: Inferred) -> int | None:
    """Return the first row that has its time, its keys and all that is required."""
    needed = [guess for guess in found.guesses if guess.required or guess.role == "key"]
    rows = range(found.rows)
    return next((row for row in rows if all(guess.values[row] is not None for guess in needed)), None)


def _values(found: Inferred, row: int) -> Iterator[tuple[str, Any]]:
    for guess in found.guesses:
        value = guess.values[row]
        if value is not None:
            is_person = guess.personal and guess.kind.type == "string"
            yield guess.name, SOMEBODY if is_person else _short(guess, value)


def _short(guess: Guess, value: Any) -> Any:
    is_free = isinstance(value, str) and guess.kind.type == "string" and not guess.kind.enum
    return value[:TEXT_MAX] if is_free else value


def _written(value: Any) -> str:
    """Return a value as YAML has it: as JSON does, texts in quotation marks."""
    return json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isprintable())


def _counts(found: Inferred) -> Iterator[str]:
    for name, entity in entity_names([key.name for key in found.keys]).items():
        key = next(guess for guess in found.keys if guess.name == name)
        yield f"{entity}_{found.source}_count_{windows_of(found, key)[0]}"
