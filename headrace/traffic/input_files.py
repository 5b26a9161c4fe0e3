"""Files of records as a producer needs them: keys, values and the moment each is delivered.

Parquet rows become JSON; the lines of an NDJSON file are the records themselves, byte for byte, so that a
file of broken lines can be sent too. The file's order is the order of delivery: a record's moment is the
newest event time up to it. Columns that are written in another way but can only mean one thing are understood
(`headrace.traffic.columns`).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.errors import ConfigError
from headrace.traffic.columns import as_contract

DAY_MS = 86_400_000
Record = tuple[bytes | None, bytes | None]  # key and value


class Records(Protocol):
    """Records of one topic in delivery order; `moment_ms` (n,) never decreases."""

    moment_ms: NDArray[np.int64]

    def slice(self, start: int, stop: int) -> list[Record]:
        """Return records [start, stop) as (key, value)."""

    def ids(self) -> list[str]:
        """Return each record's transaction_id, "" where it has none."""


class TableRecords:
    """Rows of an Arrow table as JSON records.

    >>> table = pa.table({"transaction_id": ["t1"], "customer_id": ["c1"], "event_time": [5]})
    >>> TableRecords(table, "customer_id", "event_time").slice(0, 1)
    [(b'c1', b'{"transaction_id":"t1","customer_id":"c1","event_time":5}')]
    """

    def __init__(
        self, table: pa.Table, key: str, time: str, moment_ms: NDArray[np.int64] | None = None
    ) -> None:
        missing = {key, time, "transaction_id"} - set(table.column_names)
        if missing:
            raise ConfigError(
                "E_INPUT_FIELDS", f"columns {sorted(missing)} are missing", f"{table.column_names}",
                "name the columns as the contract does (contracts/*.yaml)",
            )  # fmt: skip
        self._table, self._key = as_contract(table), key
        self.moment_ms = _running_max(_times(self._table[time])) if moment_ms is None else moment_ms

    def slice(self, start: int, stop: int) -> list[Record]:
        """Return rows [start, stop); a null field is left out of the JSON."""
        part = self._table.slice(start, stop - start)
        columns = [column.to_pylist() for column in part.columns]
        names = part.column_names
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        if any(column.null_count for column in part.columns):
            rows = [{name: value for name, value in row.items() if value is not None} for row in rows]
        keys = columns[names.index(self._key)]
        return [(_text(key), orjson.dumps(row)) for key, row in zip(keys, rows, strict=True)]

    def ids(self) -> list[str]:
        """Return the column `transaction_id`."""
        return [str(value or "") for value in self._table["transaction_id"].to_pylist()]


class LineRecords:
    """Lines of an NDJSON file as records.

    A line without a key of its own (no JSON object, or the field is missing) is sent as it is, under its
    number (`line-17`): without any the gate would refuse it for that, and not for what is wrong with it.
    """

    def __init__(self, lines: Sequence[bytes], key: str, time: str) -> None:
        numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        self._lines = [line for _, line in numbered]
        read = [_parse(line) for line in self._lines]
        self._keys = [
            _text((row or {}).get(key)) or b"line-%d" % number
            for (number, _), row in zip(numbered, read, strict=True)
        ]
        parsed = [row or {} for row in read]
        self._ids = [(_text(row.get("transaction_id")) or b"").decode() for row in parsed]
        self.moment_ms = _running_max(np.array([_moment(row.get(time)) for row in parsed], np.int64))

    def slice(self, start: int, stop: int) -> list[Record]:
        """Return lines [start, stop)."""
        return list(zip(self._keys[start:stop], self._lines[start:stop], strict=True))

    def ids(self) -> list[str]:
        """Return the ids read from the lines, "" where a line has none."""
        return self._ids


def open_transactions(path: Path, limit: int | None = None) -> Records:
    """Open a file of payments, in its own order.

    Raises:
        ConfigError: E_INPUT_FORMAT, E_INPUT_FIELDS, or E_INPUT_ORDER (the file is not ordered by time).
    """
    return _open(path, "customer_id", "event_time", limit)


def open_labels(path: Path, limit: int | None = None) -> Records:
    """Open a file of labels, sorted here by label_time where it is Parquet."""
    return _open(path, "transaction_id", "label_time", limit)


def _open(path: Path, key: str, time: str, limit: int | None) -> Records:
    if not path.is_file():
        raise ConfigError("E_INPUT_FILE", "no such file", str(path), "give a Parquet or NDJSON file")
    if path.suffix == ".parquet":
        table = read_table(path, key, time)
        if time == "label_time":
            table = table.take(pa.array(np.argsort(_times(table[time]), kind="stable")))
        table = table if limit is None else table.slice(0, limit)
        _refuse_disorder(_times(table[time]), path)
        return TableRecords(table, key, time)
    if path.suffix in (".ndjson", ".jsonl", ".json"):
        lines = path.read_bytes().splitlines()
        return LineRecords(lines[:limit], key, time)
    raise ConfigError("E_INPUT_FORMAT", "not a Parquet or NDJSON file", str(path), "convert it to Parquet")


def read_table(path: Path, key: str, time: str) -> pa.Table:
    """Read a Parquet file whose rows can be sent: with a key of text and a time in epoch ms.

    Raises:
        ConfigError: E_INPUT_FILE, E_INPUT_DAMAGED, E_INPUT_FIELDS or E_INPUT_TYPE.
    """
    if not path.is_file():
        raise ConfigError("E_INPUT_FILE", "no such file", str(path), "give a Parquet or NDJSON file")
    try:
        table = pq.read_table(path)
        table.validate(full=True)  # text that is not UTF-8 would else come to light where it is sent
        table = as_contract(table)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # a name may be no text
        raise ConfigError(
            "E_INPUT_DAMAGED", f"it cannot be read as Parquet: {error}", str(path), "write the file again"
        ) from error
    wrong = [
        f"{name} is {table[name].type if name in table.column_names else 'missing'}, not {kind}"
        for name, kind, right in (
            (key, "text", _is_text),
            ("transaction_id", "text", _is_text),
            (time, "whole numbers", _is_time),
        )
        if name not in table.column_names or not right(table[name])
    ]
    if wrong:
        raise ConfigError(
            "E_INPUT_FIELDS", "; ".join(dict.fromkeys(wrong)), str(path),
            "name and type the columns as the contract does (contracts/*.yaml)",
        )  # fmt: skip
    return table


def _is_text(column: pa.ChunkedArray) -> bool:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_time(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_integer(column.type))


def _refuse_disorder(times: NDArray[np.int64], path: Path) -> None:
    """A file sorted by, say, customer would make nearly every record late: refuse it with the remedy."""
    if not len(times):
        return
    behind = float((times < _running_max(times) - DAY_MS).mean())
    if behind > 0.05:
        raise ConfigError(
            "E_INPUT_ORDER", f"{behind:.0%} of the rows lie more than a day behind an earlier row",
            str(path), "sort the file by event_time",
        )  # fmt: skip


def _times(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return event times, epoch ms; a row without one has that of the row before it."""
    known = pc.fill_null_forward(column.combine_chunks()).fill_null(0)
    return np.asarray(known.cast(pa.int64()).to_numpy(zero_copy_only=False))


def _running_max(times: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.maximum.accumulate(times) if len(times) else times


def _parse(line: bytes) -> dict[str, object] | None:
    """Return the line's object; None when it is none: the gate says what is wrong with it."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _text(value: object) -> bytes | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value.encode("utf-8", "replace") if isinstance(value, str) else None


def _moment(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62 else 0
