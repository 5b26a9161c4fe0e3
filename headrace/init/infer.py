"""From a file to what a project says of it: columns, types, parts, labels; nothing is written here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from contracts.chain import Chain
from contracts.errors import ConfigError
from contracts.row_columns import made_columns
from headrace.given.convert import converter
from headrace.given.given import name_of
from headrace.given.rows import Row, read_rows
from headrace.given.shape import Shape
from headrace.init.column import GivenColumn, columns_of
from headrace.init.guess import ColumnKind, Guess
from headrace.init.kinds import kind_of
from headrace.init.labels import LabelGuess, label_in_file, label_in_rows, take_label
from headrace.init.persons import person_in
from headrace.init.roles import assign_roles, id_of_guesses, time_of_guesses, typical_gap_ms
from headrace.init.times import is_clock, time_kind
from headrace.init.words import field_name, words_of

NUMBERED = "row_id"
ROWS_MIN = 2
OWN = ("predictions", "reviews", "verdicts", "quality", "drift", "clock")  # what topics of a run are called


@dataclass(kw_only=True)
class Inferred:
    """What was guessed of a file.

    Args:
        source: what its records are called, after the file.
        joined: columns that two of the file make; `numbered` the id that the row's number makes, where labels
            need one.
        left_out: columns that no contract says, and why, in words.
        broken: numbers of lines that are no rows.
    """

    file: Path
    shape: Shape
    source: str
    rows: int
    guesses: list[Guess]
    joined: dict[str, tuple[str, ...]]
    numbered: str
    left_out: list[str]
    broken: list[int]
    label: LabelGuess | None
    row_bytes: int
    row_fields: int

    @property
    def time(self) -> Guess:
        """When a record happened."""
        return time_of_guesses(self.guesses)

    @property
    def id(self) -> Guess | None:
        """What names a record."""
        return id_of_guesses(self.guesses)

    def of(self, *roles: str) -> list[Guess]:
        """Return the fields of some parts, in the file's order."""
        return [guess for guess in self.guesses if guess.role in roles]

    @property
    def keys(self) -> list[Guess]:
        """The keys, the surest first: the chain."""
        return sorted(self.of("key"), key=lambda guess: (-guess.sure, -guess.distinct))

    @cached_property
    def gap_ms(self) -> dict[str, float]:
        """How long a key of each kind waits for its next record, the median, ms."""
        return {key.name: typical_gap_ms(self.guesses, key) for key in self.keys}


def infer(file: Path, *, labels: Path | None = None, label: str = "", keys: Sequence[str] = ()) -> Inferred:
    """Read a file and guess what a project of it says.

    Args:
        labels: a file of labels, which name records by id.
        label: the column that is the label, of that file or else of this one.
        keys: columns that are keys.

    Raises:
        ConfigError: E_INPUT_FILE, E_INPUT_DAMAGED, E_INIT_EMPTY, E_INIT_BINARY, E_INIT_LINES, E_INIT_HEADER;
            E_INIT_ROWS, one row tells nothing apart; E_INIT_TIME, E_INIT_KEY, E_INIT_LABEL.
    """
    read = read_rows(file)
    if len(read.rows) < ROWS_MIN:
        raise ConfigError(
            "E_INIT_ROWS", "there is one row: nothing can be told of what its values are", str(file),
            "give some hundred records, as they come",
        )  # fmt: skip
    columns, left_out = columns_of(read.rows)
    size = max(len(orjson.dumps(row)) for row in read.rows)
    keys_of_row = max(_count(row) for row in read.rows)
    of_label: GivenColumn | None = None
    if label and labels is None:
        columns, of_label = take_label(columns, label, str(file))
    joined = _join_clock(columns)
    guesses = _guesses(columns, left_out)
    source = _source_name(file)
    assign_roles(guesses, source, str(file), keys)
    numbered, found = "", None
    if (of_label or labels) and id_of_guesses(guesses) is None:
        if labels is not None:
            raise ConfigError(
                "E_INIT_LABEL", "no column names a record, so no label can be joined to one", str(file),
                "add a column with an id to both files, or give one file with the label in a column",
            )  # fmt: skip
        numbered = NUMBERED
        guesses.append(_row_number(len(read.rows)))
    _rename_made(guesses)
    moments = time_of_guesses(guesses).moments_ms
    span_ms = max(moments) - min(moments)
    id = id_of_guesses(guesses)
    if of_label is not None:
        found = label_in_rows(of_label, span_ms, str(file))
    elif labels is not None and id is not None:
        found = label_in_file(labels, id, label, span_ms)
    return Inferred(
        file=file.resolve(), shape=read.shape, source=source, rows=len(read.rows), guesses=guesses,
        joined=joined, numbered=numbered, left_out=left_out, broken=read.broken, label=found, row_bytes=size,
        row_fields=keys_of_row,
    )  # fmt: skip


def _count(row: Row) -> int:
    return sum(1 + (_count(value) if isinstance(value, dict) else 0) for value in row.values())


def _source_name(file: Path) -> str:
    stem = file.name.removesuffix(".gz").split(".")[0]
    name = field_name((stem,), (), 0) if words_of(stem) else "events"
    return f"{name}_events" if name in OWN else name


def _join_clock(columns: list[GivenColumn]) -> dict[str, tuple[str, ...]]:
    """Join a day and a time of day of two columns, where no column has both; return what was joined."""
    kinds = {column.place: time_kind(column) for column in columns}
    if any(kind is not None and kind.has_clock for kind in kinds.values()):
        return {}
    days = [column for column in columns if kinds[column.place] is not None and len(column.place) == 1]
    clocks = [column for column in columns if is_clock(column) and len(column.place) == 1]
    if not days or not clocks:
        return {}
    day, clock = days[0], clocks[0]
    name = f"{day.name} {clock.name}"
    values = [f"{a} {b}" if a is not None and b is not None else None
              for a, b in zip(day.values, clock.values, strict=True)]  # fmt: skip
    both = GivenColumn((name,), values)
    if time_kind(both) is None:
        return {}
    columns[columns.index(day)] = both
    columns.remove(clock)
    return {name: (day.name, clock.name)}


def _guesses(columns: Sequence[GivenColumn], left_out: list[str]) -> list[Guess]:
    guesses: list[Guess] = []
    for number, column in enumerate(columns, 1):
        kind = kind_of(column)
        values = [_converted(value, kind.convert) for value in column.values]
        if all(value is None for value in values):
            left_out.append(f"{name_of(column.place)}: no row has a value")
            continue
        guess = Guess(
            name=field_name(column.place, [each.name for each in guesses], number), place=column.place,
            kind=kind, values=values, missing=sum(value is None for value in values),
        )  # fmt: skip
        sure, why = person_in(guess)
        if sure:
            guess.personal = True
            _open_category(guess)
            kind = _as_text(guess, column)
            kind.why = f"{kind.why}; personal, {why} ({sure:.1f})"
        guesses.append(guess)
    return guesses


def _as_text(guess: Guess, column: GivenColumn) -> ColumnKind:
    """Let a number that names a person be text: it is hashed, never counted with."""
    if guess.kind.type == "integer":
        convert = "" if column.types == {str} else "text"
        guess.values = [_converted(value, convert) for value in column.values]
        guess.kind = ColumnKind(
            type="string", convert=convert, sure=guess.kind.sure, why=f"{guess.kind.why}; text, as a name is",
            options={"minLength": 1, "maxLength": 256},
        )  # fmt: skip
    return guess.kind


def _open_category(guess: Guess) -> None:
    if guess.kind.enum:
        guess.kind.enum, guess.kind.options = (), {"minLength": 1, "maxLength": 256}


def _converted(value: Any, words: str) -> Any:
    convert = converter(words) if words else _same
    try:
        return convert(value)
    except (ValueError, ArithmeticError):
        return value


def _same(value: Any) -> Any:
    return value


def _row_number(rows: int) -> Guess:
    kind = ColumnKind(type="string", sure=0.3, why="", options={"minLength": 1, "maxLength": 64})
    return Guess(
        name=NUMBERED, place=(NUMBERED,), kind=kind, role="id", sure=0.3,
        values=[f"row-{number}" for number in range(1, rows + 1)], missing=0,
        why="the file has no id, and labels need one: the row's number is taken",
        change="let your producer send an id, and write its field here",
    )  # fmt: skip


def entity_names(keys: Sequence[str]) -> dict[str, str]:
    """Return what the entity of each key is called: its field without `_id`, where no other is called so.

    >>> entity_names(["user_id", "user", "ip"])
    {'user_id': 'user', 'user': 'user_key', 'ip': 'ip'}
    """
    found: dict[str, str] = {}
    for key in keys:
        name = key.removesuffix("_id")
        found[key] = name if name not in found.values() else f"{key}_key"
    return found


def _rename_made(guesses: Sequence[Guess]) -> None:
    """Give other names to fields that are called as a column which the engine adds for an entity."""
    keys = [guess.name for guess in guesses if guess.role == "key"]
    made = made_columns(Chain(*((entity, (name,)) for name, entity in entity_names(keys).items())))
    for guess in guesses:
        if guess.name in made:
            guess.name = f"{guess.name}_field"
