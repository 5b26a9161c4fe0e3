"""Contracts as YAML, each guess beside its field: how sure it is, and what to change where it is wrong."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from headrace.given.given import name_of
from headrace.init.guess import ColumnKind, Guess
from headrace.init.infer import Inferred

SINCE_2000_MS, UNTIL_2100_MS = 946_684_800_000, 4_102_444_800_000
RECORD_BYTES, RECORD_FIELDS, FIELD_BYTES = 65_536, 256, 4_096


def events_contract(found: Inferred) -> str:
    """Return the contract of the records."""
    properties = [f"  - {{property: eventTime, value: {found.time.name}}}", *_limits(found)]
    lines = list(
        _head(found.source, f"Records as {found.file.name} has them, each of which asks for features.")
    )
    lines += ["customProperties:", *properties, *_schema(found.source, "One record.")]
    for guess in found.guesses:
        lines += _field(guess)
    return "\n".join([f"# Guessed by `headrace init` from {found.rows:,} rows of {found.file.name}: topic"
                      f" `{found.source}`.", *lines]) + "\n"  # fmt: skip


def labels_contract(found: Inferred, name: str) -> str:
    """Return the contract of the labels: a record's id, what it was, and since when that is known."""
    label, id = found.label, found.id
    assert label is not None
    assert id is not None
    lines = [
        f"# Guessed by `headrace init`: what records of `{found.source}` turned out to be, topic `{name}`.",
        *_head(name, "What became known of a record."),
        "customProperties:",
        "  - {property: knownAt, value: known_at}",
        *_schema(name, "What one record was."),
        f"      - name: {id.name}",
        f"        logicalType: {id.kind.type}",
        "        required: true",
        "        primaryKey: true",
        *_options(id.kind.options),
        f"      # guess {label.sure:.1f}: {_one_line(label.why)}",
        "      - name: label",
        "        logicalType: string",
        "        required: true",
        f"        enum: [{', '.join(f'{{value: {_quoted(value)}}}' for value in label.values)}]",
        f"      # guess {0.8 if label.time else 0.2}: {_one_line(label.change)}; change it in generate.py",
        "      - name: known_at",
        "        logicalType: integer",
        "        physicalType: epoch_ms",
        "        required: true",
    ]
    return "\n".join(lines) + "\n"


def _head(name: str, purpose: str) -> Iterator[str]:
    yield "apiVersion: v3.1.0"
    yield "kind: DataContract"
    yield f"id: {name}"
    yield f"name: {name}"
    yield 'version: "1.0.0"'
    yield "status: draft"
    yield "description:"
    yield f"  purpose: {_quoted(purpose)}"


def _schema(name: str, what: str) -> Iterator[str]:
    yield "schema:"
    yield f"  - name: {''.join(word.capitalize() for word in name.split('_'))}"
    yield f"    physicalName: {name}"
    yield "    physicalType: topic"
    yield "    logicalType: object"
    yield f"    description: {what}"
    yield "    properties:"


def _limits(found: Inferred) -> Iterator[str]:
    """Yield the sizes that records need above the usual ones."""
    if 2 * found.row_bytes > RECORD_BYTES:
        yield f"  - {{property: valueBytesMax, value: {2 * found.row_bytes}}}"
    if found.row_fields > RECORD_FIELDS // 2:
        yield f"  - {{property: fieldsMax, value: {2 * found.row_fields}}}"
    longest = max((guess.kind.options.get("maxLength", 0) for guess in found.guesses), default=0)
    if longest > FIELD_BYTES:
        yield f"  - {{property: fieldBytesMax, value: {longest}}}"


def _field(guess: Guess) -> Iterator[str]:
    kind = guess.kind
    yield f"      # {_one_line(guess.mark)}"
    if kind.convert:
        yield f"      # not as in the file: generate.py converts it ({kind.convert}), and a producer must too"
    yield f"      - name: {guess.name}"
    if name_of(guess.place) != guess.name:
        yield f"        physicalName: {_quoted(name_of(guess.place))}"
    yield from _type(kind)
    yield f"        required: {'true' if guess.required else 'false'}"
    if guess.role == "id":
        yield "        primaryKey: true"
    if guess.personal:
        yield "        classification: personal"
    if kind.enum:
        yield f"        enum: [{', '.join(f'{{value: {_quoted(value)}}}' for value in kind.enum)}]"
    yield from _options(kind.options | (_time_options(guess) if kind.type == "time" else {}))


def _type(kind: ColumnKind) -> Iterator[str]:
    if kind.type == "decimal":
        yield "        logicalType: number"
        yield f"        physicalType: decimal({kind.digits}, {kind.scale})"
    elif kind.type == "time" and kind.time_format != "iso8601":
        yield "        logicalType: integer"
        yield f"        physicalType: {kind.time_format}"
    else:
        yield f"        logicalType: {'timestamp' if kind.type == 'time' else kind.type}"


def _time_options(guess: Guess) -> dict[str, Any]:
    """Return a text's range, where the values lie in the usual one, and its zone where it has none."""
    kind, options = guess.kind, dict[str, Any]()
    if kind.time_format != "iso8601":
        return {}
    moments = guess.moments_ms
    if guess.role == "time" and moments and min(moments) >= SINCE_2000_MS and max(moments) < UNTIL_2100_MS:
        options = {"minimum": "2000-01-01T00:00:00Z", "maximum": "2100-01-01T00:00:00Z"}
    elif guess.role != "time":
        options = {"minimum": "1800-01-01T00:00:00Z", "maximum": "2200-01-01T00:00:00Z"}
    return options | ({"defaultTimezone": "UTC"} if kind.zone == "+00:00" else {})


def _options(options: dict[str, Any]) -> Iterator[str]:
    if options:
        said = ", ".join(f"{name}: {_option(value)}" for name, value in options.items())
        yield f"        logicalTypeOptions: {{{said}}}"


def _option(value: Any) -> str:
    if isinstance(value, str) and (value.startswith(("1", "2")) or "+" in value):
        datetime.fromisoformat(value)
        return f'"{value}"'
    return str(value)


def _quoted(text: str) -> str:
    """Return a text as YAML between quotation marks."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _one_line(text: str) -> str:
    """Return a text as a comment can have it: one line, in which every character is printable."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
