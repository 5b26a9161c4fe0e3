"""Step two: a partition's rows in log order through the stream's own state, to the offline store."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit
from numpy.typing import NDArray

from contracts.frame import Columns, Kind
from contracts.keys import hash64
from features.definition import Entity
from features.state import Applied, EntityState
from inference.backfill.rows import INTS, all_facts, entity_named
from inference.lake.beginning import begun, seeded_states
from inference.lake.differences import Differences, differences, wrong_bits
from inference.lake.lake import Lake
from inference.lake.log_order import fold as fold_rows
from inference.lake.sql import database

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOMENT = pa.timestamp("us", tz="UTC")
EXAMPLES = 5
LATE_BIT = {"customer": 1, "terminal": 2}


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """A task: one partition of one entity's stage.

    Args:
        lake: the folder whose beginning the partition starts from.
        files: what `split` dealt to the partition; a seeded one may have none.
        target: the file to write, whole or not at all; None computes without writing.
        state: the file for the packed state of every key (null for one forgotten), None for none.
        logged: compare with the values that the log holds.
        rows_a_batch, memory_mb: bounds of what is in memory at a time; sorting spills to `work`.
    """

    lake: Path
    entity: str
    partition: int
    files: tuple[Path, ...]
    target: Path | None
    state: Path | None
    work: Path
    logged: bool
    rows_a_batch: int = 65_536
    memory_mb: int = 512


class Folded(msgspec.Struct, kw_only=True):
    """What a partition came to; `not_logged` rows were archived under definitions without these columns."""

    partitions: int = 1
    rows: int = 0
    keys: int = 0
    seconds: float = 0.0
    differences: Differences = msgspec.field(default_factory=Differences)
    late_flags_wrong: int = 0
    not_logged: int = 0
    examples: list[dict[str, Any]] = []


def fold(task: Fold) -> Folded:
    """Do the task."""
    began_s = time.monotonic()
    entity, lake = entity_named(task.entity), Lake(task.lake)
    seeded = seeded_states(lake, entity, task.partition)
    state, found, stamps = begun(entity, seeded), Folded(examples=[]), _Stamps()
    keys = set(seeded["key"].to_pylist())
    with _Target(task.target, entity) as target:
        for batch in _batches(task, entity):
            rows = _columns(batch, entity)
            applied = fold_rows(state, rows)
            target.write(rows, applied, stamps.of(rows[entity.join_key], rows["appended_ms"]))
            found.rows += batch.num_rows
            if task.state is not None:
                keys.update(rows[entity.join_key].tolist())
            if task.logged:
                _compare(entity, rows, applied, _logged(batch, entity), found)
    found.keys = len(state)
    if task.state is not None:
        _keep(state, keys, task.state)
    if task.files:
        shutil.rmtree(task.files[0].parent)  # what was dealt is not needed again
    found.seconds = time.monotonic() - began_s
    return found


def _keep(state: EntityState, keys: set[bytes], path: Path) -> None:
    """Write the packed state of every key that had a row, here or before; null for one that is forgotten."""
    live = set(state.latest().keys)
    names = sorted(keys)
    blobs = state.export(np.array(names, np.bytes_)) if names else []
    kept = [blob if name in live else None for name, blob in zip(names, blobs, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"key": pa.array(names, pa.binary()), "state": pa.array(kept, pa.binary())})
    pq.write_table(table, path)


def _batches(task: Fold, entity: Entity) -> Iterator[pa.RecordBatch]:
    """Yield the partition's rows by their place in it."""
    if not task.files:
        return
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in task.files)
    source = f"read_parquet([{listed}], union_by_name = true)"
    with database(task.work / "spilled", task.memory_mb) as connection:
        there = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}  # noqa: S608
        chosen = ", ".join(_chosen(name, there) for name in _wanted(entity, task.logged))
        query = f"SELECT {chosen} FROM {source} ORDER BY pos"  # noqa: S608
        yield from connection.sql(query).to_arrow_reader(task.rows_a_batch)


def _wanted(entity: Entity, logged: bool) -> list[str]:
    names = [*all_facts(entity), "transaction_id", "event_time", *sorted(INTS)]
    return list(dict.fromkeys([*names, *(entity.columns if logged else ())]))


def _chosen(name: str, there: set[str]) -> str:
    return f'"{name}"' if name in there else f'NULL AS "{name}"'


def _columns(batch: pa.RecordBatch, entity: Entity) -> Columns:
    """Return the rows as the state reads them; what a kind of row does not have is 0 or empty."""
    rows: Columns = {}
    for name in dict.fromkeys([*all_facts(entity), "transaction_id", "event_time", *sorted(INTS)]):
        column = batch.column(name)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            rows[name] = np.array(column.fill_null("").to_pylist(), np.bytes_)
        elif pa.types.is_null(column.type):
            rows[name] = np.zeros(batch.num_rows, np.int64)
        else:
            rows[name] = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return rows


def _logged(batch: pa.RecordBatch, entity: Entity) -> tuple[Floats, NDArray[np.bool_]]:
    """Return (n, k) what the log holds, and (n, k) whether it holds the column at all for the row."""
    columns = [batch.column(name) for name in entity.columns]
    values = [
        column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False) for column in columns
    ]
    held = [column.is_valid().to_numpy(zero_copy_only=False) for column in columns]
    return np.column_stack(values), np.column_stack(held)


def _compare(
    entity: Entity, rows: Columns, applied: Applied, logged: tuple[Floats, NDArray[np.bool_]], found: Folded
) -> None:
    values, held = logged
    found.not_logged += int((~held.all(axis=1)).sum())
    expected = np.where(held, applied.values, np.nan)  # a column that was not declared then is not judged
    found.differences.add(differences(entity.columns, expected, values, applied.as_of_ms))
    late = (rows["late"] & LATE_BIT[entity.name]) != 0
    found.late_flags_wrong += int(((late != applied.late) & (rows["kind"] == Kind.PAYMENT)).sum())
    for row, column in np.argwhere(wrong_bits(expected, values))[: EXAMPLES - len(found.examples)].tolist():
        found.examples.append(
            {
                "transaction_id": rows["transaction_id"][row].decode(),
                entity.join_key: rows[entity.join_key][row].decode(),
                "pos": int(rows["pos"][row]), "feature": entity.columns[column],
                "logged": _number(values[row, column]), "recomputed": _number(expected[row, column]),
            }
        )  # fmt: skip


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


class _Stamps:
    """When a row was written, strictly growing for each key, so that Feast's ties fall as the log's do."""

    def __init__(self) -> None:
        self._newest_us: dict[int, int] = {}

    def of(self, keys: NDArray[np.bytes_], appended_ms: Ints) -> Ints:
        """Return microseconds: when the log had the raw record, or just after the key's row before."""
        names, slot = np.unique(hash64(keys), return_inverse=True)
        newest = np.array([self._newest_us.get(name, -1) for name in names.tolist()], np.int64)
        stamps: Ints = _growing(slot.astype(np.int64), appended_ms * 1000, newest)
        self._newest_us.update(zip(names.tolist(), newest.tolist(), strict=True))
        return stamps


@njit(cache=True)
def _growing(slot: Ints, time_us: Ints, newest_us: Ints) -> Ints:
    stamps = np.empty(len(slot), np.int64)
    for row in range(len(slot)):
        key = slot[row]
        newest_us[key] = stamps[row] = max(newest_us[key] + 1, time_us[row])
    return stamps


class _Target:
    """The partition's file while it is written: hidden until it is whole."""

    def __init__(self, path: Path | None, entity: Entity) -> None:
        self._path, self._entity = path, entity
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part") if path is not None else None
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "_Target":
        return self

    def write(self, rows: Columns, applied: Applied, created_us: Ints) -> None:
        """Append rows as a row group."""
        if self._part is None:
            return
        table = table_of(self._entity, rows, applied, created_us)
        if self._writer is None:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                self._part, table.schema, compression="zstd", use_dictionary=[self._entity.join_key]
            )
        self._writer.write_table(table)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writer is None or self._part is None or self._path is None:
            return
        self._writer.close()
        if kind is None:
            with self._part.open("rb") as written:
                os.fsync(written.fileno())
            self._part.replace(self._path)
        else:
            self._part.unlink()


def table_of(entity: Entity, rows: Columns, applied: Applied, created_us: Ints) -> pa.Table:
    """Return rows of the offline store: a row is true from the moment that its values are as of.

    A late event is judged at its key's present, so it is stamped with that present and not with its own
    time: a point-in-time join before that moment must not see what the key did later.
    """
    columns = {
        entity.join_key: _text(rows[entity.join_key]),
        "transaction_id": _text(rows["transaction_id"]),
        "kind": pa.array(rows["kind"].astype(np.int8)),
        "raw_partition": pa.array(rows["raw_partition"].astype(np.int32)),
        "raw_offset": pa.array(rows["raw_offset"]),
        "pos": pa.array(rows["pos"]),
        "late": pa.array(applied.late),
        "event_timestamp": pa.array(applied.as_of_ms * 1000, pa.int64()).cast(MOMENT),
        "created_timestamp": pa.array(created_us, pa.int64()).cast(MOMENT),
    }
    values = {name: pa.array(applied.values[:, i]) for i, name in enumerate(entity.columns)}
    return pa.table(columns | values)


def _text(column: NDArray[np.bytes_]) -> pa.Array:
    return pa.array(np.ascontiguousarray(column)).cast(pa.string())
