"""Files of records as a producer needs them: keys, values and the moment each is delivered.

Parquet rows become JSON; the lines of an NDJSON file are the records themselves, byte for byte, so that a
file of broken lines can be sent too. The file's order is the order of delivery: a record's moment is the
newest event time up to it. Columns that are written in another way but can only mean one thing are understood
(`headrace.traffic.columns`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.errors import ConfigError
from headrace.traffic.columns import Documents, as_contract, moments_of
from headrace.traffic.form import Form, text_of

DAY_MS = 86_400_000
LINES = (".ndjson", ".jsonl", ".json")
Record = tuple[bytes | None, bytes | None]  # key and value


class Records(Protocol):
    """Records of one source in delivery order; `moment_ms` (n,) never decreases."""

    moment_ms: NDArray[np.int64]

    def slice(self, start: int, stop: int) -> list[Record]:
        """Return records [start, stop) as (key, value)."""

    def ids(self) -> list[str]:
        """Return the id of each record's event, "" where it has none."""


class TableRecords:
    """Rows of an Arrow table as JSON records.

    >>> from features.project.running import project_at
    >>> from headrace.traffic.form import forms_of
    >>> resets = forms_of(project_at("examples/logins").pipeline)["resets"]
    >>> row = {"reset_id": "r1", "at": "2026-01-01T00:00:00Z", "account_id": "a1", "method": "sms"}
    >>> TableRecords(pa.Table.from_pylist([row]), resets).slice(0, 1)[0][0]
    b'a1'
    """

    def __init__(
        self, table: pa.Table | Documents, form: Form, moment_ms: NDArray[np.int64] | None = None
    ) -> None:
        self._form = form
        self._rows = table if isinstance(table, Documents) else as_contract(table, form)
        columns = self._rows.table
        missing = {field.name for field in form.needed} - set(columns.column_names)
        if missing:
            raise ConfigError(
                "E_INPUT_FIELDS", f"columns {sorted(missing)} are missing", f"{columns.column_names}",
                "name the columns as the contract does (contracts/*.yaml)",
            )  # fmt: skip
        self.moment_ms = _running_max(moments_of(self._rows, form)) if moment_ms is None else moment_ms

    def slice(self, start: int, stop: int) -> list[Record]:
        """Return rows [start, stop); a null field is left out of the JSON."""
        values = map(orjson.dumps, self._rows.rows(start, stop))
        return list(zip(self._keys(start, stop), values, strict=True))

    def _keys(self, start: int, stop: int) -> list[bytes | None]:
        """Return the keys of rows [start, stop): texts, or the digits of whole numbers."""
        key, columns = self._form.key, self._rows.table
        if key is None or key.name not in columns.column_names:
            return [None] * (stop - start)
        column = columns[key.name].slice(start, stop - start)
        if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type)):
            return [text_of(value) for value in column.to_pylist()]
        keys: list[bytes | None] = column.cast(pa.string()).cast(pa.binary()).to_pylist()
        return keys

    def ids(self) -> list[str]:
        """Return the columns of the id."""
        columns = [self._rows.table[field.name].to_pylist() for field in self._form.ids]
        texts = [[(text_of(value) or b"").decode() for value in column] for column in columns]
        if len(texts) == 1:
            return texts[0]
        return ["/".join(parts) if any(parts) else "" for parts in zip(*texts, strict=True)] or [""] * len(
            self
        )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.moment_ms)


class DocumentRecords:
    """JSON documents as records.

    >>> from features.project.running import project_at
    >>> from headrace.traffic.form import forms_of
    >>> rows = [{"reset_id": "r1", "at": "2026-01-01T00:00:00Z", "account": {"id": "a1"}, "method": "sms"}]
    >>> DocumentRecords(rows, forms_of(project_at("examples/logins").pipeline)["resets"]).ids()
    ['r1']
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], form: Form, moment_ms: NDArray[np.int64] | None = None
    ) -> None:
        self._rows, self._form = rows, form
        times = np.array([form.moment_of(row) for row in rows], np.int64) if moment_ms is None else moment_ms
        self.moment_ms = _running_max(times)

    def slice(self, start: int, stop: int) -> list[Record]:
        """Return documents [start, stop)."""
        return [(self._form.key_of(row), orjson.dumps(row)) for row in self._rows[start:stop]]

    def ids(self) -> list[str]:
        """Return the ids that the documents say."""
        return [self._form.id_of(row) for row in self._rows]


class LineRecords:
    """Lines of an NDJSON file as records.

    A line without the key that its contract asks for (no JSON object, or the field is missing) is sent as it
    is, under its number (`line-17`): without any the gate would refuse it for that, and not for what is wrong
    with it.

    Args:
        first: the number of the first line.
    """

    def __init__(self, lines: Sequence[bytes], form: Form, first: int = 1) -> None:
        numbered = [(number, line) for number, line in enumerate(lines, first) if line.strip()]
        self._lines = [line for _, line in numbered]
        parsed = [_parse(line) for line in self._lines]
        self._keys = [
            form.key_of(row) or b"line-%d" % number for (number, _), row in zip(numbered, parsed, strict=True)
        ]
        self._ids = [form.id_of(row) for row in parsed]
        self.moment_ms = _running_max(np.array([form.moment_of(row) for row in parsed], np.int64))

    def slice(self, start: int, stop: int) -> list[Record]:
        """Return lines [start, stop)."""
        return list(zip(self._keys[start:stop], self._lines[start:stop], strict=True))

    def ids(self) -> list[str]:
        """Return the ids read from the lines, "" where a line has none."""
        return self._ids


def open_records(path: Path, form: Form, limit: int | None = None) -> Records:
    """Open a file of a source's records, in its own order; labels in Parquet are sorted by their time.

    Raises:
        ConfigError: E_INPUT_FILE, E_INPUT_DAMAGED, E_INPUT_FORMAT, E_INPUT_FIELDS, E_INPUT_TYPE, or
            E_INPUT_ORDER (the file is not ordered by time).
    """
    if not path.is_file():
        raise ConfigError("E_INPUT_FILE", "no such file", str(path), "give a Parquet or NDJSON file")
    if path.suffix == ".parquet":
        return _table_records(read_table(path, form), form, path, limit)
    if path.suffix in LINES:
        lines = path.read_bytes().splitlines()
        return LineRecords(lines[:limit], form)
    raise ConfigError("E_INPUT_FORMAT", "not a Parquet or NDJSON file", str(path), "convert it to Parquet")


def _table_records(rows: Documents, form: Form, path: Path, limit: int | None) -> TableRecords:
    if form.source.is_labels:
        rows = rows.take(np.argsort(moments_of(rows, form), kind="stable"))
    rows = rows if limit is None else rows.first(limit)
    _refuse_disorder(moments_of(rows, form), form, path)
    return TableRecords(rows, form)


def read_table(path: Path, form: Form) -> Documents:
    """Read a Parquet file whose rows can be sent: with a key and an id of text, and a time.

    Raises:
        ConfigError: E_INPUT_FILE, E_INPUT_DAMAGED, E_INPUT_FIELDS or E_INPUT_TYPE.
    """
    if not path.is_file():
        raise ConfigError("E_INPUT_FILE", "no such file", str(path), "give a Parquet or NDJSON file")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    return checked_rows(table, form, path)


def checked_rows(table: pa.Table, form: Form, path: Path) -> Documents:
    """Return the rows of a table that was read from a file, as the contract's documents.

    Raises:
        ConfigError: E_INPUT_DAMAGED, E_INPUT_FIELDS or E_INPUT_TYPE.
    """
    try:
        table.validate(full=True)  # text that is not UTF-8 would else come to light where it is sent
        rows = as_contract(table, form)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # a name may be no text
        raise damaged(path, error) from error
    columns = rows.table
    wrong = [
        f"{field.name} is {'empty' if field.name in columns.column_names else 'missing'}"
        for field in form.needed
        if field.name not in columns.column_names or pa.types.is_null(columns[field.name].type)
    ]
    if wrong:
        raise ConfigError(
            "E_INPUT_FIELDS", "; ".join(wrong), str(path),
            "name and type the columns as the contract does (contracts/*.yaml)",
        )  # fmt: skip
    return rows


def damaged(path: Path, error: Exception) -> ConfigError:
    """Return the error of a file that is no Parquet file, or not a whole one."""
    return ConfigError(
        "E_INPUT_DAMAGED", f"it cannot be read as Parquet: {error}", str(path), "write the file again"
    )


def _refuse_disorder(times: NDArray[np.int64], form: Form, path: Path) -> None:
    """A file sorted by, say, key would make nearly every record late: refuse it with the remedy."""
    if not len(times):
        return
    behind = float((times < _running_max(times) - DAY_MS).mean())
    if behind > 0.05:
        raise ConfigError(
            "E_INPUT_ORDER", f"{behind:.0%} of the rows lie more than a day behind an earlier row",
            str(path), f"sort the file by {form.time.name}",
        )  # fmt: skip


def _running_max(times: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.maximum.accumulate(times) if len(times) else times


def _parse(line: bytes) -> Mapping[str, Any]:
    """Return the line's object; an empty one when it is none: the gate says what is wrong with it."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}
