"""Step two: a partition's rows through the fold, to the offline store, and its state to a file."""

import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit
from numpy.typing import NDArray

from contracts.frame import Columns, length
from contracts.keys import hash64
from features.definition import Entity
from features.feast_key import KeyFormat, key_format
from features.state import Applied
from inference.offline.fold.compare import Comparison
from inference.offline.fold.fold import PartitionFold
from inference.offline.fold.ordered import ROWS_A_BATCH, Selection, ordered
from inference.offline.fold.rows import EVENT_ID
from inference.offline.lake.beginning import seeded_states
from inference.offline.lake.lake import Lake
from runtime.atomic_file import replacing

Ints = NDArray[np.int64]
MOMENT = pa.timestamp("us", tz="UTC")


class PartitionTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task: one partition of one entity's stage.

    Args:
        lake: whose beginning the partition starts from.
        log: where its rows are read.
        before, below: which rows count, as `inference.offline.fold.ordered.Selection` has them.
        target: the file to write, whole or not at all; None computes without writing.
        state: the file for the packed state of every key, None for none.
        is_dealt: the log is of this task alone, and goes when it is done.
        is_compared: with the values that the log holds.
        rows_a_batch, memory_mb: bounds of what is in memory at a time; sorting spills to `work`.
    """

    lake: Lake
    log: Lake
    entity: str
    partition: int
    before: Mapping[str, Mapping[int, int]] | None
    below: Mapping[int, int] | None
    target: Path | None
    state: Path | None
    work: Path
    is_dealt: bool
    is_compared: bool
    rows_a_batch: int = ROWS_A_BATCH
    memory_mb: int = 512


class PartitionDone(msgspec.Struct, kw_only=True):
    """What partitions came to; `left_out` rows lie beyond what the lake is whole to."""

    partitions: int = 1
    rows: int = 0
    left_out: int = 0
    keys: int = 0
    seconds: float = 0.0
    compared: Comparison = msgspec.field(default_factory=Comparison)

    def add(self, other: "PartitionDone") -> None:
        """Take in what another partition came to."""
        for name in ("partitions", "rows", "left_out", "keys", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.compared.add(other.compared)


def fold_partition(task: PartitionTask) -> PartitionDone:
    """Do the task."""
    began_s = time.monotonic()
    pipeline = task.lake.project.pipeline
    link, entity = pipeline.chain.named(task.entity), _entity_of(task)
    found, stamps = PartitionDone(), _Stamps()
    asked = Selection(
        entity=entity, partition=task.partition, before=task.before, below=task.below,
        is_logged=task.is_compared,
    )  # fmt: skip
    start = seeded_states(task.lake, entity, task.partition)
    partition = PartitionFold(entity, start, is_kept=task.state is not None)
    with _Target(task.target, entity, key_format(pipeline, entity)) as target:
        for rows in ordered(task.log, asked, task.work / "spilled", task.memory_mb, task.rows_a_batch):
            folded = partition.take(rows)
            columns = folded.rows.columns
            target.write(columns, folded.applied, stamps.of(columns[entity.join_key], columns["appended_ms"]))
            found.rows += length(columns)
            found.left_out += rows.left_out
            if task.is_compared:
                found.compared.take(link, entity, folded)
    found.keys = len(partition.state)
    if task.state is not None:
        task.state.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(partition.kept(), task.state)
    if task.is_dealt:
        shutil.rmtree(task.log.folder, ignore_errors=True)
    found.seconds = time.monotonic() - began_s
    return found


def _entity_of(task: PartitionTask) -> Entity:
    """Return the task's entity."""
    return next(entity for entity in task.lake.project.entities if entity.name == task.entity)


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

    def __init__(self, path: Path | None, entity: Entity, key: KeyFormat) -> None:
        self._path, self._entity, self._key = path, entity, key
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "_Target":
        return self

    def write(self, rows: Columns, applied: Applied, created_us: Ints) -> None:
        """Append rows as a row group."""
        if self._path is None:
            return
        table = table_of(self._entity, self._key, rows, applied, created_us)
        if self._writer is None:
            sink = self._stack.enter_context(replacing(self._path))
            self._writer = self._stack.enter_context(
                pq.ParquetWriter(
                    sink, table.schema, compression="zstd", use_dictionary=list(self._key.fields)
                )
            )
        self._writer.write_table(table)

    def __exit__(self, *raised: Any) -> None:
        self._stack.__exit__(*raised)


def table_of(entity: Entity, key: KeyFormat, rows: Columns, applied: Applied, created_us: Ints) -> pa.Table:
    """Return rows of the offline store: a row is true from the moment that its values are as of.

    A late event is judged at its key's present, so it is stamped with that present and not with its own
    time: a point-in-time join before that moment must not see what the key did later.
    """
    columns = {
        **{name: _field(rows[name], number) for name, number in zip(key.fields, key.is_number, strict=True)},
        EVENT_ID: _text(rows[EVENT_ID]),
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


def _field(column: NDArray[Any], number: bool) -> pa.Array:
    return pa.array(column.astype(np.int64)) if number else _text(column)


def _text(column: NDArray[np.bytes_]) -> pa.Array:
    return pa.array(np.ascontiguousarray(column)).cast(pa.string())
