"""Parquet files of the lake: named by where in the log they begin, and either whole or not there."""

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FIRST, NEXT = b"headrace.first_offset", b"headrace.next_offset"
DATASETS = b"headrace.datasets"


def file_path(lake: Path, dataset: str, partition: int, first_offset: int) -> Path:
    """Return where the rows from `first_offset` of a topic's partition belong.

    >>> file_path(Path("lake"), "features", 3, 1200).as_posix()
    'lake/features/partition=3/00000000000000001200.parquet'
    """
    return lake / dataset / f"partition={partition}" / f"{first_offset:020d}.parquet"


def write_whole(
    table: pa.Table, path: Path, first_offset: int, next_offset: int, datasets: Iterable[str] = ()
) -> None:
    """Write `table`, durable and at once: a reader sees the old file, no file, or all of the new one."""
    publish(write_part(table, path, first_offset, next_offset, datasets), path)


def write_part(
    table: pa.Table, path: Path, first_offset: int, next_offset: int, datasets: Iterable[str] = ()
) -> Path:
    """Write `table` durably under a hidden name beside `path`, and return that; `publish` makes it the file.

    Args:
        table: rows of the log's offsets [first_offset, next_offset), in log order.
        path: the file to make or replace; an earlier run of the same range began at the same name.
        datasets: all that this range of the log fills, so that a reader knows whether it sees the whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    marked = table.replace_schema_metadata(
        {FIRST: str(first_offset), NEXT: str(next_offset), DATASETS: ",".join(sorted(datasets))}
    )
    with part.open("wb") as sink:
        pq.write_table(marked, sink, compression="zstd", use_dictionary=_repeating(table.schema))
        sink.flush()
        os.fsync(sink.fileno())
    return part


def publish(part: Path, path: Path) -> None:
    """Let a file written by `write_part` take its place, in one step."""
    part.replace(path)
    _sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove the file an earlier run left where this run's range has no rows."""
    if path.exists():
        path.unlink()
        _sync_folder(path.parent)


def remove_unfinished(lake: Path) -> None:
    """Remove what a killed writer left half written; only this archive's own temporary names match."""
    for part in lake.glob("*/partition=*/.*.parquet.*.part"):
        pid = int(part.name.split(".")[-2])
        if not Path(f"/proc/{pid}").exists():
            part.unlink(missing_ok=True)


def _repeating(schema: pa.Schema) -> list[str]:
    """Columns worth a dictionary: text that repeats. Numbers and raw bytes only lose time in one."""
    return [field.name for field in schema if pa.types.is_string(field.type)]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
