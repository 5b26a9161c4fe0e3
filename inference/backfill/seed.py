"""A seed for a new run: what another run's lake comes to under this code's definitions.

The states are those of a backfill, at position 0, so that every row of the new run comes after them. The
note that lists the files is written last, not finished yet: the changelogs come next (`headrace/seed.py`).
"""

import os
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import StateError
from contracts.frame import strings
from contracts.keys import partition_of
from features.catalog import ENTITIES
from features.definition import Entity
from features.meaning import meaning_of
from features.seeded import FOLDER, Bounds, Seeded, Source, remembered_file, state_file
from features.state import EntityState
from inference.backfill.executors import Executor
from inference.backfill.remembered_ids import remembered_ids
from inference.backfill.run import Options, Tell, states, work_folder
from inference.backfill.seed_bounds import bounds_of
from inference.lake.beginning import sha256_of
from inference.lake.lake import FixedLake
from inference.lake.seed_note import write_note
from inference.lake.sql import database


class _Files:
    """The files of a seed as they are written: each whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.digests: dict[str, str] = {}

    def write(self, name: str, table: pa.Table) -> None:
        """Write a table under its name, and keep its digest."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        pq.write_table(table, part, compression="zstd")
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
        self.digests[name] = sha256_of(path)


def make_seed(
    old: FixedLake, new: Path, source: Source, partitions: int, options: Options, on: Executor, tell: Tell
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
        newest_ms: dict[int, int] = {}
        for partition, kept in remembered_ids(old, connection, partitions):
            newest_ms[partition] = kept.newest_ms
            if kept.ids.num_rows:
                files.write(remembered_file(partition), kept.ids)
    rows = _write_states(old, new, bounds, partitions, files, options, on, tell)
    seed = Seeded(
        source=source, bounds=bounds, partitions=partitions, rows=rows, newest_ms=newest_ms,
        definitions={entity.name: [meaning_of(entity).hash] for entity in ENTITIES}, files=files.digests,
    )  # fmt: skip
    write_note(new, seed)
    return seed


def add_definitions(
    old: FixedLake, new: Path, seed: Seeded, source: Source, options: Options, on: Executor, tell: Tell
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
        entity.name: sorted({*seed.definitions[entity.name], meaning_of(entity).hash}) for entity in ENTITIES
    }
    more = msgspec.structs.replace(seed, definitions=known, files={**seed.files, **files.digests})
    write_note(new, more)
    return more


def _write_states(
    old: FixedLake, new: Path, bounds: Bounds, partitions: int, files: _Files, options: Options,
    on: Executor, tell: Tell,
) -> dict[str, int]:  # fmt: skip
    """Write both entities' states, and return how many rows each has come from."""
    rows = {}
    for entity in ENTITIES:
        with states(old, entity, bounds.below[entity.name], options, on, tell, new) as made:
            rows[entity.name] = made.rows
            for path in sorted(made.folder.glob("*.parquet"), key=lambda file: int(file.stem)):
                table = _at_the_beginning(entity, path, partitions)
                files.write(state_file(entity, int(path.stem)), table)
    return rows


def _at_the_beginning(entity: Entity, path: Path, partitions: int) -> pa.Table:
    """Return a partition's keys and states, at position 0.

    Raises:
        StateError: E_SEED_PARTITIONS, a key does not live on this partition in the new run.
    """
    table, partition = pq.ParquetFile(path).read(), int(path.stem)
    keys, states = table["key"].to_pylist(), table["state"].to_pylist()
    names = strings(keys)
    if len(keys) and (partition_of(names, partitions) != partition).any():
        raise StateError(
            "E_SEED_PARTITIONS", f"the old run did not have {partitions} partitions",
            f"{entity.name}/{partition}", "make the new run with as many partitions as the old one",
        )  # fmt: skip
    state = EntityState(entity)
    state.load(keys, states)
    state.begin_log()
    placed = [blob or None for blob in state.export(names)]
    return pa.table({"key": table["key"], "state": pa.array(placed, pa.binary())})
