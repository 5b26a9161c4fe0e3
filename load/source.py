"""Files of records as a producer needs them: keys, values and the moment each is delivered.

Parquet rows become JSON; the lines of an NDJSON file are the records themselves, byte for byte, so that a
file of broken lines can be sent too. The file's order is the order of delivery: a record's moment is the
newest event time up to it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.errors import ConfigError

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
        self._table, self._key = table, key
        self.moment_ms = _running_max(np.asarray(table[time])) if moment_ms is None else moment_ms

    def slice(self, start: int, stop: int) -> list[Record]:
        """Return rows [start, stop); a null field is left out of the JSON."""
        part = self._table.slice(start, stop - start)
        columns = [column.to_pylist() for column in part.columns]
        names = part.column_names
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        if any(column.null_count for column in part.columns):
            rows = [{name: value for name, value in row.items() if value is not None} for row in rows]
        keys = columns[names.index(self._key)]
        return [
            (None if key is None else key.encode(), orjson.dumps(row))
            for key, row in zip(keys, rows, strict=True)
        ]

    def ids(self) -> list[str]:
        """Return the column `transaction_id`."""
        return [value or "" for value in self._table["transaction_id"].to_pylist()]


class LineRecords:
    """Lines of an NDJSON file as records; a line that is no JSON object is sent as it is, without a key."""

    def __init__(self, lines: Sequence[bytes], key: str, time: str) -> None:
        self._lines = [line for line in lines if line.strip()]
        parsed = [_parse(line) for line in self._lines]
        self._keys = [_text(row.get(key)) for row in parsed]
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
        table = pq.read_table(path)
        if time == "label_time" and time in table.column_names:
            table = table.take(pa.array(np.argsort(np.asarray(table[time]), kind="stable")))
        table = table if limit is None else table.slice(0, limit)
        _refuse_disorder(np.asarray(table[time]) if time in table.column_names else None, path)
        return TableRecords(table, key, time)
    if path.suffix in (".ndjson", ".jsonl", ".json"):
        lines = path.read_bytes().splitlines()
        return LineRecords(lines[:limit], key, time)
    raise ConfigError("E_INPUT_FORMAT", "not a Parquet or NDJSON file", str(path), "convert it to Parquet")


def _refuse_disorder(times: NDArray[np.int64] | None, path: Path) -> None:
    """A file sorted by, say, customer would make nearly every record late: refuse it with the remedy."""
    if times is None or not len(times):
        return
    behind = float((times < _running_max(times) - DAY_MS).mean())
    if behind > 0.05:
        raise ConfigError(
            "E_INPUT_ORDER", f"{behind:.0%} of the rows lie more than a day behind an earlier row",
            str(path), "sort the file by event_time",
        )  # fmt: skip


def _running_max(times: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.maximum.accumulate(times) if len(times) else times


def _parse(line: bytes) -> dict[str, object]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # sent as it is: the gate judges it, this reader only needs the key
        return {}
    return row if isinstance(row, dict) else {}


def _text(value: object) -> bytes | None:
    return value.encode("utf-8", "replace") if isinstance(value, str) else None


def _moment(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62 else 0
