"""A seed for a new run: what another run's lake comes to under this code's definitions.

The states are those of a backfill, at position 0, so that every row of the new run comes after them. The
note that lists the files is written last, not finished yet: the changelogs come next (`headrace/seed.py`).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.frame import strings
from contracts.keys import partition_of
from features.definition import Entity
from features.feast_key import KeyFormat
from features.meaning import meaning_of
from features.project.running import RunningProject
from features.seeded import FOLDER, Bounds, Seeded, SeedOrigin, remembered_file, state_file
from features.state import EntityState
from inference.offline.backfill.executors import Executor
from inference.offline.backfill.remembered_ids import Remembered, remembered_ids
from inference.offline.backfill.run import Options, Tell, states, work_folder
from inference.offline.backfill.seed_bounds import bounds_of
from inference.offline.lake.beginning import clock_of, sha256_of, with_clock
from inference.offline.lake.lake import FixedLake
from inference.offline.lake.seed_note import write_note
from inference.offline.lake.sql import database
from runtime.atomic_file import replacing


class _Files:
    """The files of a seed as they are written: each whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.digests: dict[str, str] = {}

    def write(self, name: str, table: pa.Table) -> None:
        """Write a table under its name, and keep its digest."""
        path = self._folder / name
        with replacing(path) as sink:
            pq.write_table(table, sink, compression="zstd")
        self.digests[name] = sha256_of(path)


def make_seed(
    old: FixedLake, new: Path, source: SeedOrigin, partitions: int, options: Options, on: Executor, tell: Tell
) -> Seeded:
    """Write the seed of a new run's lake from all of an old one, and a note that is not finished yet.

    Args:
        new: the folder of the new run's lake.
        partitions: of the new run's stages.

    Raises:
        StateError: E_LAKE_EMPTY, E_SEED_UNDER_WAY, E_SEED_FACTS, E_SEED_PARTITIONS.
    """
    files = _Files(new / FOLDER)
    with work_folder(new) as work, database(work / "spilled", options.memory_mb) as connection:
        bounds = bounds_of(old, connection)
        ids = remembered_ids(old, work / "spilled", partitions, options.memory_mb)
        clocks = dict(_write_ids(ids, files))
    rows = _write_states(old, new, bounds, partitions, files, options, on, tell)
    seed = Seeded(
        source=source, bounds=bounds, partitions=partitions, rows=rows, clocks=clocks,
        definitions={entity.name: [meaning_of(entity).hash] for entity in old.project.entities},
        files=files.digests,
    )  # fmt: skip
    write_note(new, seed)
    return seed


class Ended(NamedTuple):
    """What stages came to at the end of their rows.

    `states` by entity and partition are as `inference.offline.fold.fold.PartitionFold.kept` makes them;
    `rows` are how many each entity folded.
    """

    states: Mapping[str, Mapping[int, pa.Table]]
    remembered: Mapping[int, Remembered]
    rows: dict[str, int]


def write_seed(project: RunningProject, new: Path, seed: Seeded, ended: Ended) -> Seeded:
    """Write the seed of a run's lake from what stages came to, and a note that is not finished yet.

    Args:
        new: the folder of the run's lake.
        seed: its source, bounds and partitions; all else is put in.

    Raises:
        StateError: E_SEED_PARTITIONS.
    """
    files = _Files(new / FOLDER)
    clocks = dict(_write_ids(ended.remembered.items(), files))
    for entity in project.entities:
        fields = project.pipeline.chain.named(entity.name).fields
        for partition, table in ended.states[entity.name].items():
            made = _at_the_beginning(entity, fields, table, partition, seed.partitions)
            files.write(state_file(entity, partition), made)
    definitions = {entity.name: [meaning_of(entity).hash] for entity in project.entities}
    whole = msgspec.structs.replace(
        seed, clocks=clocks, rows=ended.rows, definitions=definitions, files=files.digests
    )
    write_note(new, whole)
    return whole


def _write_ids(remembered: Iterable[tuple[int, Remembered]], files: _Files) -> Iterator[tuple[int, bytes]]:
    """Write what each partition remembers, and yield its clock."""
    for partition, kept in remembered:
        if kept.ids.num_rows:
            files.write(remembered_file(partition), kept.ids)
        yield partition, kept.clock


def add_definitions(
    old: FixedLake, new: Path, seed: Seeded, source: SeedOrigin, options: Options, on: Executor, tell: Tell
) -> Seeded:
    """Add the states of this code's definitions to a finished seed, of the same rows; return the new note.

    Raises:
        StateError: E_SEED_SOURCE, the old lake is not the one that the seed is of; E_SEED_PARTITIONS.
    """
    files = _Files(new / FOLDER)
    rows = _write_states(old, new, seed.bounds, seed.partitions, files, options, on, tell)
    if rows != seed.rows or source.epoch != seed.source.epoch:
        raise StateError(
            "E_SEED_SOURCE", f"the lake has {rows} rows of the seed's {seed.rows}", str(old.folder),
            f"name the lake that the run was seeded from: {seed.source.lake}",
        )  # fmt: skip
    known = {
        entity.name: sorted({*seed.definitions[entity.name], meaning_of(entity).hash})
        for entity in old.project.entities
    }
    more = msgspec.structs.replace(seed, definitions=known, files={**seed.files, **files.digests})
    write_note(new, more)
    return more


def _write_states(
    old: FixedLake, new: Path, bounds: Bounds, partitions: int, files: _Files, options: Options,
    on: Executor, tell: Tell,
) -> dict[str, int]:  # fmt: skip
    """Write every entity's states, and return how many rows each has come from."""
    rows = {}
    for entity in old.project.entities:
        fields = old.project.pipeline.chain.named(entity.name).fields
        with states(old, entity, bounds.below[entity.name], options, on, tell, new) as made:
            rows[entity.name] = made.rows
            for path in sorted(made.folder.glob("*.parquet"), key=lambda file: int(file.stem)):
                number, kept = int(path.stem), pq.ParquetFile(path).read()
                table = _at_the_beginning(entity, fields, kept, number, partitions)
                files.write(state_file(entity, number), table)
    return rows


def _at_the_beginning(
    entity: Entity, fields: tuple[str, ...], table: pa.Table, partition: int, partitions: int
) -> pa.Table:
    """Return a partition's keys and states, at position 0, with its clock.

    Raises:
        StateError: E_SEED_PARTITIONS, a key does not live on this partition in the new run.
    """
    keys, states = table["key"].to_pylist(), table["state"].to_pylist()
    names = strings(keys)
    if len(keys) and (partition_of(_first_parts(names, fields), partitions) != partition).any():
        raise StateError(
            "E_SEED_PARTITIONS", f"the old run did not have {partitions} partitions",
            f"{entity.name}/{partition}", "make the new run with as many partitions as the old one",
        )  # fmt: skip
    state = EntityState(entity)
    state.load(keys, states)
    state.begin_log()
    placed = [blob or None for blob in state.export(names)]
    made = pa.table({"key": table["key"], "state": pa.array(placed, pa.binary())})
    return with_clock(made, clock_of(table.schema))


def _first_parts(keys: NDArray[np.bytes_], fields: tuple[str, ...]) -> NDArray[np.bytes_]:
    """Return the part of each key by which its partition is chosen: that of the first field."""
    form = KeyFormat(fields, (False,) * len(fields))
    return keys if len(fields) == 1 else strings(form.values(key)[0] for key in keys.tolist())
