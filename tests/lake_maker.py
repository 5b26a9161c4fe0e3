"""A lake as the archive would write it, from events in memory: the stages' own kernels, no servers.

Labels stand in the terminal's log behind the payments of the same quarter of an hour, never before.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from contracts.frame import Columns, Kind, length, take
from contracts.keys import partition_of
from features.meaning import meanings_of
from features.state import EntityState
from load.this_project import CUSTOMER, ENTITIES, PIPELINE, TERMINAL
from streams.archive.frames import feature_table
from streams.archive.parquet_files import file_path, write_whole
from streams.archive.rows import JsonRows, fields_of

PARTITIONS = 4
QUARTER_MS = 900_000
ROWS_A_FILE = 20_000


class Record(NamedTuple):
    """What the archive reads of a Kafka message."""

    at: int
    appended_ms: int
    record_key: bytes
    record_value: bytes

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 2, self.appended_ms

    def key(self) -> bytes:
        return self.record_key

    def value(self) -> bytes:
        return self.record_value


def make_lake(lake: Path, payments: Columns, labels: Columns) -> None:
    """Write transactions, labels, features and label_log.

    Args:
        payments: transaction_id, customer_id, terminal_id (S), event_time, amount_minor, in log order.
        labels: transaction_id, customer_id, terminal_id (S), event_time, label_time, label (1 = fraud).
    """
    paid = _placed(payments, "customer_id", payments["event_time"])
    judged = _placed(labels, "transaction_id", labels["label_time"])
    _write_raw(lake, paid, judged)
    rows = _customer_stage(paid)
    payment_rows, label_rows = _terminal_stage(rows, judged)
    _write_log(lake, payment_rows, Kind.SCORED, "features")
    if length(label_rows):
        _write_log(lake, label_rows, Kind.LABEL, "label_log")


def rewritten(table: pa.Table, row: int, **changed: object) -> pa.Table:
    """Return raw rows of which one record's bytes, and what was read of them, say something else."""
    values = table["value"].to_pylist()
    values[row] = orjson.dumps(orjson.loads(values[row]) | changed)
    columns: dict[str, list[object]] = {"value": values}
    for name, said in changed.items():
        columns[name] = table[name].to_pylist()
        columns[name][row] = said
    for name, column in columns.items():
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.array(column, table.schema.field(at).type))
    return table


def _placed(rows: Columns, key: str, time_ms: NDArray[np.int64]) -> Columns:
    partition = partition_of(rows[key], PARTITIONS)
    return {
        **rows, "raw_partition": partition, "raw_offset": _counted(partition), "appended_ms": time_ms.copy()
    }  # fmt: skip


def _counted(groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return how many rows of the same group stand before each row."""
    counts = np.empty(len(groups), np.int64)
    for group in np.unique(groups):
        which = np.flatnonzero(groups == group)
        counts[which] = np.arange(len(which))
    return counts


def _customer_stage(paid: Columns) -> Columns:
    pos = paid["raw_offset"] << 20
    count = length(paid)
    values, late = np.empty((count, len(CUSTOMER.columns))), np.zeros(count, np.bool_)
    for number in np.unique(paid["raw_partition"]):
        which = np.flatnonzero(paid["raw_partition"] == number)
        applied = EntityState(CUSTOMER).apply(take({**paid, "pos": pos}, which), Kind.SCORED)
        values[which], late[which] = applied.values, applied.late
    return {
        **paid,
        "currency": np.full(count, b"EUR"), "channel": np.full(count, b"", "S1"),
        "country": np.full(count, b"", "S1"), "traceparent": np.full(count, b"", "S1"),
        "customer_partition": paid["raw_partition"], "customer_pos": pos,
        "customer_values": values, "late": late.astype(np.uint8),
    }  # fmt: skip


def _terminal_stage(rows: Columns, judged: Columns) -> tuple[Columns, Columns]:
    words = np.where(judged["label"] == 1, b"fraud", b"legitimate")
    judged = judged | {"positive": judged["label"], "label": words}
    payments, labels = length(rows), length(judged)
    quarter = np.concatenate([rows["appended_ms"], judged["label_time"]]) // QUARTER_MS
    is_label = np.concatenate([np.zeros(payments, np.int64), np.ones(labels, np.int64)])
    order = np.lexsort((np.arange(payments + labels), is_label, quarter))
    terminal = np.concatenate([rows["terminal_id"], judged["terminal_id"]])[order]
    partition = partition_of(terminal, PARTITIONS)
    offset = _counted(partition)
    states = [EntityState(TERMINAL) for _ in range(PARTITIONS)]
    values = np.empty((len(order), len(TERMINAL.columns)))
    late = np.zeros(len(order), np.bool_)
    pos = offset << 20
    kinds = is_label[order]
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(order)]
    for begin, end in itertools.pairwise(edges):
        if begin == end:
            continue
        kind = Kind.LABEL if kinds[begin] else Kind.SCORED
        for number in np.unique(partition[begin:end]).tolist():
            mine = begin + np.flatnonzero(partition[begin:end] == number)
            part = take(judged, order[mine] - payments) if kinds[begin] else take(rows, order[mine])
            applied = states[number].apply({**part, "pos": pos[mine]}, kind)
            values[mine], late[mine] = applied.values, applied.late
    found = {
        "offset": offset,
        "terminal_partition": partition,
        "terminal_pos": pos,
        "terminal_values": values,
    }
    paid, known = np.flatnonzero(kinds == 0), np.flatnonzero(kinds == 1)
    payment_rows = {**take(rows, order[paid]), **take(found, paid)}
    payment_rows["late"] = payment_rows["late"] | (late[paid].astype(np.uint8) << 1)
    label_rows = {**take(judged, order[known] - payments), **take(found, known)}
    label_rows["source"] = np.full(len(known), b"chargeback")
    return payment_rows, label_rows


def _write_log(lake: Path, rows: Columns, kind: int, dataset: str) -> None:
    for partition in range(PARTITIONS):
        mine = take(rows, rows["terminal_partition"] == partition)
        if kind == Kind.LABEL:
            del mine["terminal_partition"]
        for begin in range(0, length(mine), ROWS_A_FILE):
            part = take(mine, slice(begin, begin + ROWS_A_FILE))
            first = int(part["offset"][0])
            path = file_path(lake, dataset, partition, first)
            write_whole(
                feature_table([part], PIPELINE.by_number[kind], meanings_of(ENTITIES)),
                path,
                first,
                int(part["offset"][-1]) + 1,
            )


def _write_raw(lake: Path, paid: Columns, judged: Columns) -> None:
    kinds = (
        ("transactions", "customer_id", paid, JsonRows(fields_of(PIPELINE.scored)), _transaction),
        ("labels", "transaction_id", judged, JsonRows(fields_of(PIPELINE.labels[0])), _label),
    )
    for dataset, key, rows, columns, event in kinds:
        for partition in range(PARTITIONS):
            mine = take(rows, rows["raw_partition"] == partition)
            records = [
                Record(at, appended, str(row[key]).encode(), orjson.dumps(event(row)))
                for at, (appended, row) in enumerate(
                    zip(mine["appended_ms"].tolist(), _dicts(mine), strict=True)
                )
            ]
            for begin in range(0, len(records), ROWS_A_FILE):
                part = records[begin : begin + ROWS_A_FILE]
                write_whole(
                    columns.table(part),  # type: ignore[arg-type]  # a record as the archive reads it
                    file_path(lake, dataset, partition, begin), begin, begin + len(part),
                )  # fmt: skip


def _dicts(rows: Columns) -> list[dict[str, object]]:
    names = list(rows)
    columns = [
        [text.decode() for text in column.tolist()] if column.dtype.kind == "S" else column.tolist()
        for column in rows.values()
    ]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _transaction(row: dict[str, object]) -> dict[str, object]:
    names = ("transaction_id", "customer_id", "terminal_id", "event_time", "amount_minor")
    return {name: row[name] for name in names} | {"currency": "EUR", "email": "someone@example.org"}


def _label(row: dict[str, object]) -> dict[str, object]:
    names = ("transaction_id", "customer_id", "terminal_id", "event_time", "label_time")
    outcome = "fraud" if row["label"] else "legitimate"
    return {name: row[name] for name in names} | {"label": outcome, "source": "chargeback"}
