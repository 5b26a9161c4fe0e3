"""Columns of a table as the contract's JSON has them, where they can only mean one thing.

People's files come from pandas, from databases and from Spark. An identifier that is a number, a time that is
a timestamp, a whole number that a null has made a float, a category: each has one reading. A fraction where
the contract has whole numbers has two (which unit?), and is refused with the column and its type.

A column is called as the contract calls the field, wherever that stands in the JSON; or the table is of the
documents themselves, with nested ones as structs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.contract_version import TIME_MS_MAX, ContractField, to_ms
from contracts.document import Refused
from contracts.errors import ConfigError
from contracts.written_values import time_of, times_of
from headrace.traffic.form import Form

_MS = pa.timestamp("ms", "UTC")
_UNITS = {"epoch_s": ("second", "s"), "epoch_ms": ("millisecond", "ms"), "epoch_us": ("microsecond", "us")}
Path = tuple[str, ...]


@dataclass(frozen=True)
class Documents:
    """Rows of JSON documents, a column a value: `paths` says where each column stands in the document.

    A column of a contract's field is called like it. `written` are the numbers that are texts here, so that
    no digit of a decimal is lost.
    """

    table: pa.Table
    paths: tuple[Path, ...]
    written: frozenset[int]

    def take(self, rows: NDArray[np.intp]) -> "Documents":
        """Return some rows, in the order given."""
        return replace(self, table=self.table.take(pa.array(rows)))

    def first(self, count: int) -> "Documents":
        """Return the first rows."""
        return replace(self, table=self.table.slice(0, count))

    def rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Return documents [start, stop); what is null is left out."""
        part = self.table.slice(start, stop - start)
        columns = [column.to_pylist() for column in part.columns]
        for at in self.written:
            columns[at] = [None if text is None else orjson.Fragment(text) for text in columns[at]]
        if all(len(path) == 1 for path in self.paths):
            names = [path[0] for path in self.paths]
            rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
            if any(column.null_count for column in part.columns):
                return [{name: value for name, value in row.items() if value is not None} for row in rows]
            return rows
        return [_nested(self.paths, row) for row in zip(*columns, strict=True)]


def as_contract(table: pa.Table, form: Form) -> Documents:
    """Return the table's rows with columns of the contract's types; nulls and other columns stay as they are.

    A timestamp without a zone is in the one that the contract names, else UTC.

    Raises:
        ConfigError: E_INPUT_TYPE, a column has a type that could mean several things, or nothing;
            E_INPUT_FIELDS, two columns are one field.

    >>> from features.project.running import project_at
    >>> from headrace.traffic.form import forms_of
    >>> form = forms_of(project_at("examples/logins").pipeline)["resets"]
    >>> as_contract(pa.table({"account_id": [7], "method": ["sms"]}), form).rows(0, 1)
    [{'account': {'id': '7'}, 'method': 'sms'}]
    """
    by_path = {field.path: field for field in form.fields.values()}
    inner = {path[:depth] for path in by_path for depth in range(1, len(path))}
    columns: dict[str, pa.ChunkedArray] = {}
    paths, written = list[Path](), set[int]()
    for path, column in _leaves(table, inner):
        field = by_path.get(path) or (form.fields.get(path[0]) if len(path) == 1 else None)
        name = field.name if field is not None else ".".join(path)
        if name in columns:
            raise ConfigError(
                "E_INPUT_FIELDS", f"two columns are {name}", f"{table.column_names}", "leave one of them out"
            )
        if field is not None:
            read = _READ.get(field.type) if field.shape == "one" else None
            column = read(field, column) if read is not None else column
            if field.type == "decimal" and not field.quoted and _is_text(column.type):
                written.add(len(columns))
        columns[name] = column
        paths.append(field.path if field is not None else path)
    return Documents(pa.table(columns), tuple(paths), frozenset(written))


def moments_of(documents: Documents, form: Form) -> NDArray[np.int64]:
    """Return the time of each row, epoch ms; a row without one has that of the row before it, else 0."""
    column, field = documents.table[form.time.name], form.time
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.int64)
    if _is_text(column.type):
        times, unknown = _text_times(column, field)
    else:
        known = column.cast(pa.int64())
        unknown = known.is_null().to_numpy()
        times = np.asarray(known.fill_null(0).to_numpy())
        if field.time_format == "epoch_s":
            times = np.clip(times, -TIME_MS_MAX, TIME_MS_MAX)
        times = np.asarray(to_ms(times, field.time_format))  # type: ignore[arg-type]
    last = np.maximum.accumulate(np.where(unknown, -1, np.arange(len(times))))
    return np.where(last < 0, 0, times[last]).astype(np.int64)


def _text_times(column: pa.ChunkedArray, field: ContractField) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return ISO 8601 times, epoch ms, and which texts are none."""
    texts = np.array([text.encode() for text in column.fill_null("").to_pylist()], np.bytes_)
    times, odd = times_of(texts, field.zone, (0, TIME_MS_MAX))
    unknown = np.zeros(len(times), np.bool_)
    for row in np.flatnonzero(odd).tolist():
        try:
            times[row] = time_of(texts[row].decode(), field.zone)
        except Refused:
            unknown[row] = True
    return times, unknown


def _leaves(table: pa.Table, inner: set[Path]) -> Iterator[tuple[Path, pa.ChunkedArray]]:
    """Yield every column that is no document of the contract's, with where it stands."""
    for name in table.column_names:
        yield from _leaves_of((name,), _plain(table[name]), inner)


def _leaves_of(
    path: Path, column: pa.ChunkedArray, inner: set[Path]
) -> Iterator[tuple[Path, pa.ChunkedArray]]:
    if path not in inner or not pa.types.is_struct(column.type):
        yield path, column
        return
    for child in column.type:
        part = _plain(pc.struct_field(column, [child.name]))
        yield from _leaves_of((*path, child.name), part, inner)


def _nested(paths: tuple[Path, ...], row: tuple[Any, ...]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for path, value in zip(paths, row, strict=True):
        if value is not None:
            place = document
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = value
    return document


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a category as what it stands for."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _text(field: ContractField, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    if pa.types.is_floating(column.type):
        return _whole(field, column).cast(pa.string())
    if _is_text(column.type) or pa.types.is_null(column.type):
        return column
    raise _refused(field, column, "give text or whole numbers")


def _time(field: ContractField, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if field.time_format == "iso8601":
        return _time_text(field, column)
    if pa.types.is_timestamp(column.type):
        unit, short = _UNITS[field.time_format or "epoch_ms"]
        zoned = _zoned(field, column)
        return (
            pc.floor_temporal(zoned, unit=unit).cast(pa.timestamp(short, "UTC"), safe=False).cast(pa.int64())
        )
    return _whole(field, column, f"give {field.time_format or 'epoch_ms'} or a timestamp")


def _time_text(field: ContractField, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        moment = pc.floor_temporal(_zoned(field, column), unit="millisecond").cast(_MS, safe=False)
        return pc.strftime(moment, "%Y-%m-%dT%H:%M:%SZ")
    if _is_text(column.type) or pa.types.is_null(column.type):
        return column
    raise _refused(field, column, "give ISO 8601 text or a timestamp")


def _zoned(field: ContractField, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.type.tz:
        return column
    return pc.assume_timezone(column, field.zone or "UTC")


def _whole(
    field: ContractField, column: pa.ChunkedArray, remedy: str = "give whole numbers of the contract's unit"
) -> pa.ChunkedArray:
    if pa.types.is_null(column.type):
        return column
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        try:
            return _known(column).cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise _refused(field, column, f"{remedy} ({error})") from error
    raise _refused(field, column, remedy)


def _decimal(field: ContractField, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_decimal(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.string())
    if pa.types.is_floating(column.type):
        return _known(column).cast(pa.string()) if field.quoted else _known(column)
    if pa.types.is_null(column.type) or (field.quoted and _is_text(column.type)):
        return column
    raise _refused(field, column, "give decimals or numbers")


def _number(field: ContractField, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        return _known(column)
    if pa.types.is_integer(column.type) or pa.types.is_null(column.type):
        return column
    raise _refused(field, column, "give numbers")


def _truth(field: ContractField, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_boolean(column.type) or pa.types.is_null(column.type):
        return column
    raise _refused(field, column, "give truth values")


_READ: dict[str, Callable[[ContractField, pa.ChunkedArray], pa.ChunkedArray]] = {
    "string": _text, "integer": _whole, "decimal": _decimal, "number": _number, "boolean": _truth,
    "time": _time,
}  # fmt: skip


def _known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers with null for what is none."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _refused(field: ContractField, column: pa.ChunkedArray, remedy: str) -> ConfigError:
    return ConfigError("E_INPUT_TYPE", f"the column is {column.type}", field.name, remedy)
