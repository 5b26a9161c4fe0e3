"""The rows of a file as documents: names as the file has them, values as JSON can say them."""

import csv
import io
import math
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import ConfigError
from headrace.given.shape import BLANKS, Shape, read_bytes, shape_of

MISSING = frozenset(["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "\\N"])  # of a cell of a CSV
BROKEN_RATIO_MAX = 0.05
Row = dict[str, Any]


class FileRows(NamedTuple):
    """A file's rows, in its order; and the numbers of lines that were left out, for they are no rows."""

    shape: Shape
    rows: list[Row]
    broken: list[int]


def read_rows(path: Path, shape: Shape | None = None) -> FileRows:
    """Read a file of records, whatever it is called.

    Args:
        shape: how it is written; told by its bytes without it.

    Raises:
        ConfigError: E_INPUT_FILE, E_INPUT_DAMAGED, E_INIT_EMPTY, E_INIT_BINARY; E_INIT_LINES, too many lines
            are no records; E_INIT_HEADER, the first line of a CSV does not name its columns.
    """
    data = read_bytes(path)
    found = shape or shape_of(path, data)
    if found.kind == "parquet":
        return FileRows(found, _parquet_rows(path), [])
    text = data.decode(found.encoding, "replace").removeprefix("\ufeff")
    if found.kind == "json":
        return FileRows(found, _json_rows(path, text), [])
    read = _csv_rows(path, text, found.separator) if found.kind == "csv" else _lines(text)
    rows, broken = [], []
    for number, row in read:
        if row is None:
            broken.append(number)
        else:
            rows.append(row)
    if not rows or len(broken) > BROKEN_RATIO_MAX * (len(rows) + len(broken)):
        shown = ", ".join(map(str, broken[:5])) + (", ..." if len(broken) > 5 else "")
        what = f"{len(broken)} of {len(rows) + len(broken)} lines are no records: {shown}"
        if not rows and not broken:
            raise ConfigError(
                "E_INIT_EMPTY", "there is no row below the header", str(path), "give some records"
            )
        raise ConfigError("E_INIT_LINES", what, str(path), _advice(found))
    return FileRows(found, rows, broken)


def _advice(shape: Shape) -> str:
    if shape.kind == "csv":
        return f"give every line as many cells as the header has, between {shape.separator!r}"
    return "write one JSON object a line"


def _lines(text: str) -> Iterator[tuple[int, Row | None]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        yield number, row if isinstance(row, dict) else None


def _json_rows(path: Path, text: str) -> list[Row]:
    """Return the objects of one JSON document: a list of them, or an object that holds such a list."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(
            "E_INIT_LINES", f"it is no JSON: {error}", str(path), "write one JSON object a line"
        ) from error
    if isinstance(found, dict):
        lists = [each for each in found.values() if _is_rows(each)]
        found = lists[0] if len(lists) == 1 else [found]
    if not _is_rows(found):
        raise ConfigError(
            "E_INIT_LINES", "it is no list of JSON objects", str(path), "write one JSON object a line"
        )
    return list(found)


def _is_rows(found: object) -> bool:
    return isinstance(found, list) and bool(found) and all(isinstance(row, dict) for row in found)


def _csv_rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, Row | None]]:
    if separator == BLANKS:  # a quotation mark would be a letter there
        text, separator = "\n".join("\t".join(line.split()) for line in text.splitlines()), "\t"
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        rows = ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
        _, header = next(((number, row) for number, row in rows if not row[0].startswith("#")), (0, []))
        names = _names(path, header)
        for number, row in rows:
            extra = row[len(names) :]
            if len(row) < len(names) or any(extra):
                yield number, None
            else:
                yield number, dict(zip(names, map(_cell, row), strict=False))
    except csv.Error as error:
        raise ConfigError(
            "E_INIT_LINES", f"line {reader.line_num}: {error}", str(path), "write the file again"
        ) from error


def _cell(text: str) -> str | None:
    text = text.strip()
    return None if text in MISSING else text


def _names(path: Path, header: list[str]) -> list[str]:
    """Return the columns' names; a cell without one is called by its place, one that comes again numbered."""
    while header and not header[-1].strip():
        header = header[:-1]
    cells = [cell.strip() for cell in header]
    numbers = sum(_is_number(cell) for cell in cells)
    if not cells or numbers > len(cells) / 3:
        raise ConfigError(
            "E_INIT_HEADER", f"the first line does not name the columns: {separator_shown(cells)}", str(path),
            "write the columns' names in a line of their own at the top",
        )  # fmt: skip
    names: list[str] = []
    for place, cell in enumerate(cells, 1):
        name = cell or f"column_{place}"
        names.append(name if name not in names else f"{name}_{place}")
    return names


def separator_shown(cells: Iterable[str]) -> str:
    """Return the beginning of a line's cells, for messages."""
    return ", ".join(cells)[:60]


def _is_number(text: str) -> bool:
    digits = sum(sign.isdigit() for sign in text)
    return digits > len(text) / 2


def _parquet_rows(path: Path) -> list[Row]:
    try:
        table = pq.read_table(path)
        rows = table.cast(pa.schema([_plain_field(field) for field in table.schema])).to_pylist()
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
        raise ConfigError(
            "E_INPUT_DAMAGED", f"it cannot be read as Parquet: {error}", str(path), "write the file again"
        ) from error
    if not rows:
        raise ConfigError("E_INIT_EMPTY", "there is no row in it", str(path), "give some records")
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain_field(field: pa.Field) -> pa.Field:
    """Return a field whose times are in microseconds, as Python has them, and whose texts are no codes."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_timestamp(kind):
        kind = pa.timestamp("us", kind.tz)
    return pa.field(field.name, kind)


def _plain(value: Any) -> Any:
    """Return a value as JSON says it: times and decimals as their text, nothing for what is no number."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return str(value)
        case float() if not math.isfinite(value):
            return None
        case bytes():
            return value.decode("utf-8", "replace")
        case dict():
            return {name: _plain(inner) for name, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
    return value
