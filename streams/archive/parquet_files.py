"""Parquet files of the lake: named by where in the log they begin, and either whole or not there."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from runtime.atomic_file import hidden, is_abandoned, move_into_place, sync_folder, writing

FIRST, NEXT = b"headrace.first_offset", b"headrace.next_offset"
POSITION = b"headrace.position"
DATASETS = b"headrace.datasets"


def file_path(lake: Path, dataset: str, partition: int, first_offset: int) -> Path:
    """Return where the rows from `first_offset` of a topic's partition belong.

    >>> file_path(Path("lake"), "features", 3, 1200).as_posix()
    'lake/features/partition=3/00000000000000001200.parquet'
    """
    return lake / dataset / f"partition={partition}" / f"{first_offset:020d}.parquet"


class Reached(NamedTuple):
    """Where a partition's files end: the next offset, and what was to be committed beside it."""

    next_offset: int
    metadata: str


def reached(lake: Path, datasets: Iterable[str], partition: int) -> Reached | None:
    """Return where the whole flushes of a partition end; None where it has no file.

    A flush of which only some files were published does not count: a rerun of its range makes all of them.
    """
    ends: dict[int, Reached] = {}
    seen: dict[int, set[str]] = {}
    wanted: dict[int, set[str]] = {}
    for dataset in datasets:
        for path in (lake / dataset / f"partition={partition}").glob("[0-9]*.parquet"):
            about = pq.read_metadata(path).metadata or {}
            first = int(path.stem)
            seen.setdefault(first, set()).add(dataset)
            wanted[first] = set(about.get(DATASETS, b"").decode().split(",")) - {""}
            ends[first] = Reached(int(about[NEXT]), about.get(POSITION, b"").decode())
    whole = [end for first, end in ends.items() if wanted[first] <= seen[first]]
    return max(whole, default=None)


def write_whole(
    table: pa.Table, path: Path, first_offset: int, next_offset: int, datasets: Iterable[str] = (),
    position: str = "",
) -> None:  # fmt: skip
    """Write `table`, durable and at once: a reader sees the old file, no file, or all of the new one."""
    move_into_place(write_part(table, path, first_offset, next_offset, datasets, position), path)


def write_part(
    table: pa.Table, path: Path, first_offset: int, next_offset: int, datasets: Iterable[str] = (),
    position: str = "",
) -> Path:  # fmt: skip
    """Write `table` durably under a hidden name beside `path`, and return that, to be moved into place.

    Args:
        table: rows of the log's offsets [first_offset, next_offset), in log order.
        path: the file to make or replace; an earlier run of the same range began at the same name.
        position: what is to be committed beside the next offset.
        datasets: all that this range of the log fills, so that a reader knows whether it sees the whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = hidden(path)
    marked = table.replace_schema_metadata(
        {
            FIRST: str(first_offset),
            NEXT: str(next_offset),
            DATASETS: ",".join(sorted(datasets)),
            POSITION: position,
        }
    )
    with writing(part) as sink:
        pq.write_table(marked, sink, compression="zstd", use_dictionary=_repeating(table.schema))
    return part


def remove(path: Path) -> None:
    """Remove the file an earlier run left where this run's range has no rows."""
    if path.exists():
        path.unlink()
        sync_folder(path.parent)


def remove_unfinished(lake: Path) -> None:
    """Remove what a killed writer left half written; only this archive's own temporary names match."""
    for part in lake.glob("*/partition=*/.*.parquet.*.part"):
        if is_abandoned(part):
            part.unlink(missing_ok=True)


def _repeating(schema: pa.Schema) -> list[str]:
    """Columns worth a dictionary: text that repeats. Numbers and raw bytes only lose time in one."""
    return [field.name for field in schema if pa.types.is_string(field.type)]
