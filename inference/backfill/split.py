"""Step one: rows of some files of the lake, dealt out to the partitions of the entity's stage."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from inference.backfill.rows import IDENTITY, Origin, entity_named, facts
from inference.lake.lake import LakeFile, read_file


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A task: deal these files' rows out.

    Args:
        before: by raw partition, the first offset to leave out; None takes all.
        below: by partition of the stage, the first position to leave out; None takes all.
        logged: also carry the values that the log holds, to be compared.
    """

    entity: str
    origin: Origin
    files: tuple[LakeFile, ...]
    before: Mapping[int, int] | None
    below: Mapping[int, int] | None
    work: Path
    logged: bool


class SplitDone(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were dealt out, and how many lie beyond the frontier."""

    rows: int
    left_out: int


def split(task: Split) -> SplitDone:
    """Do the task: one file a partition that has rows, in `work/partition=N/`."""
    entity = entity_named(task.entity)
    wanted = [*facts(entity, task.origin.kind), *IDENTITY, f"{entity.name}_pos"]
    wanted += [task.origin.stage_partition] if task.origin.stage_partition != "partition" else []
    wanted += ["late"] if task.origin.dataset == "features" else []
    wanted += entity.columns if task.logged else ()
    rows = left_out = 0
    for file in task.files:
        table = read_file(file, list(dict.fromkeys(wanted)))
        usable = table if task.before is None else _below(table, ("raw_partition", "raw_offset"), task.before)
        if task.below is not None:
            place = (task.origin.stage_partition, f"{entity.name}_pos")
            usable = _below(usable, place, task.below)
        left_out += table.num_rows - usable.num_rows
        rows += usable.num_rows
        _deal(usable, file, task)
    return SplitDone(rows=rows, left_out=left_out)


def dealt_folder(work: Path, partition: int) -> Path:
    """Return where the rows of a partition of the stage are dealt to."""
    return work / f"partition={partition:05d}"


def _below(table: pa.Table, place: tuple[str, str], before: Mapping[int, int]) -> pa.Table:
    """Return the rows whose place (partition, number) lies below its partition's limit; 0 without one."""
    limits = np.array([before.get(p, 0) for p in range(max(before, default=-1) + 2)], np.int64)
    partition = np.minimum(table[place[0]].to_numpy(), len(limits) - 1)
    return table.filter(pa.array(table[place[1]].to_numpy() < limits[partition]))


def _deal(table: pa.Table, file: LakeFile, task: Split) -> None:
    partitions = table[task.origin.stage_partition].to_numpy()
    named = _named(table, task)
    for number in np.unique(partitions).tolist():
        folder = dealt_folder(task.work, number)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{task.origin.dataset}-{file.partition}-{file.first_offset:020d}.parquet"
        pq.write_table(named.filter(pa.array(partitions == number)), folder / name, compression="lz4")


def _named(table: pa.Table, task: Split) -> pa.Table:
    """Return the columns under the names that the second step reads."""
    entity = entity_named(task.entity)
    renamed = {f"{entity.name}_pos": "pos", task.origin.stage_partition: "stage_partition"}
    keep = [name for name in table.column_names if name not in ("partition", "offset") or name in renamed]
    found = table.select(keep).rename_columns([renamed.get(name, name) for name in keep])
    return found.append_column("kind", pa.array(np.full(found.num_rows, int(task.origin.kind), np.int8)))
