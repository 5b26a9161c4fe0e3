"""What records of a source say, read fast or strictly, to the columns of its frames."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.content_hash import content_hash, hashed_fields
from contracts.contract_version import ContractField
from contracts.field_check import Value, Values
from contracts.field_columns import Column
from contracts.frame import ROW_BITS, Columns
from contracts.hashed_fields import HashKeys, keys_needed
from contracts.keys import NULL
from contracts.pipeline import SourceStream
from contracts.raw import RawBatch
from contracts.suspicion import FastRows
from contracts.text_column import text_column


class AcceptedRows(NamedTuple):
    """Accepted rows: their numbers (n,), ascending, and each field's column; texts are lists of str."""

    rows: NDArray[np.int64]
    columns: dict[str, Column]


class ColumnMaker:
    """Makes the columns of one source's rows."""

    def __init__(self, source: SourceStream) -> None:
        self._source = source
        self._content = hashed_fields(source) if source.ids and not source.is_labels else ()

    def columns(
        self, part: AcceptedRows, origin: RawBatch, traces: list[str], keys: HashKeys | None = None
    ) -> Columns:
        """Return the columns of n accepted records: where they lie, and of scored ones their traces.

        Raises:
            ConfigError: E_HASH_KEY_NONE, the source has personal fields that leave the gate, and `keys` is
                None.
        """
        offsets = np.array(origin.offsets, np.int64)
        rows: Columns = {
            "pos": offsets << ROW_BITS,
            "raw_partition": np.array(origin.partitions, np.int32),
            "raw_offset": offsets,
            "appended_ms": np.array(origin.timestamps_ms, np.int64),
        }
        for field in self._source.fields:
            column = part.columns[field.name]
            if field.name in self._source.hashed:
                hasher = keys_needed(self._source, keys)
                column = hasher.hashed(list(column), origin.timestamps_ms)
            rows[field.name] = text_column(column) if isinstance(column, list) else column
        for name, mark in self._source.marks.items():
            rows[name] = mark(rows).astype(np.uint8)
        if self._content:
            rows["content_hash"] = content_hash(rows, self._content)
        if self._source.is_scored:
            rows["traceparent"] = text_column(traces)
        return rows


def part_of(source: SourceStream, fast: FastRows, strict: Mapping[int, Values]) -> AcceptedRows:
    """Return the accepted rows of a batch.

    Args:
        fast: what was read fast; of its rows those that are not in its `strict` are accepted.
        strict: accepted rows that were read strictly, by number, ascending.
    """
    numbers = np.arange(len(fast.rows)) if isinstance(fast.rows, range) else np.array(fast.rows, np.int64)
    if not fast.strict:
        return AcceptedRows(
            numbers, {field.name: _found(field, fast.columns, len(numbers)) for field in source.fields}
        )
    kept = np.flatnonzero(~np.isin(numbers, np.array(sorted(fast.strict), np.int64)))
    read = AcceptedRows(
        numbers[kept],
        {name: _picked(column, kept) for name, column in fast.columns.items()} if len(kept) else {},
    )
    found = {
        field.name: _column(field, [values.get(field.name) for values in strict.values()])
        for field in source.fields
    }
    return joined(source, [read, AcceptedRows(np.array(list(strict), np.int64), found)])


def joined(source: SourceStream, parts: list[AcceptedRows]) -> AcceptedRows:
    """Return the rows of all parts, in the order of their numbers; a field that a part has not is null."""
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    columns: dict[str, Column] = {}
    for field in source.fields:
        pieces = [_found(field, part.columns, len(part.rows)) for part in parts]
        whole: Any = (
            np.concatenate(pieces) if field.column != "text" else [text for one in pieces for text in one]
        )
        columns[field.name] = _picked(whole, order)
    return AcceptedRows(rows[order], columns)


def _found(field: ContractField, columns: Mapping[str, Column], count: int) -> Column:
    column = columns.get(field.name)
    if column is None:
        return _column(field, [None] * count)
    if field.column == "text" and not isinstance(column, list):  # a whole number that is hashed
        return ["" if value == NULL else str(value) for value in column.tolist()]
    return column


def _picked(column: Column, which: NDArray[np.int64]) -> Column:
    return [column[i] for i in which.tolist()] if isinstance(column, list) else column[which]


def _column(field: ContractField, values: list[Value]) -> Column:
    """Return the column of values as columns have them, None for null."""
    if field.column == "text":
        return ["" if value is None else str(value) for value in values]
    if field.column == "float64":
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array([NULL if value is None else value for value in values], np.int64)
