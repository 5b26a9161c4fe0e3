"""Step one: the log's rows by partition of an entity's stage, where the log lies by another one.

The log lies by partition of the last stage. For the others its files are dealt out into a small lake a
partition, of which each file holds what one file of the log has for it.
"""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from inference.offline.lake.lake import Lake, LakeFile, read_file


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """A task: deal these files' rows of a dataset out by a column, with these columns of the log."""

    dataset: str
    partition: str
    files: tuple[LakeFile, ...]
    columns: tuple[str, ...]
    lake: Lake
    work: Path


def deal(task: Deal) -> int:
    """Do the task, and return how many rows were dealt out."""
    rows = 0
    for file in task.files:
        table = read_file(file, task.columns)
        rows += table.num_rows
        partitions = table[task.partition].to_numpy()
        for number in np.unique(partitions).tolist():
            folder = dealt(task.lake, task.work, number).folder / task.dataset / f"partition={file.partition}"
            folder.mkdir(parents=True, exist_ok=True)
            mine = table.filter(pa.array(partitions == number)).drop_columns("partition")
            pq.write_table(mine, folder / file.path.name, compression="lz4")
    return rows


def dealt(lake: Lake, work: Path, partition: int) -> Lake:
    """Return the lake that a lake's rows of a partition of the stage are dealt to."""
    return Lake(work / "dealt" / str(partition), lake.project)


def dealt_partitions(work: Path) -> set[int]:
    """Return the partitions of the stage that have rows."""
    return {int(folder.name) for folder in (work / "dealt").glob("*")}
