"""Where a lake's rows begin: with empty windows, or with what a seed kept of the run before.

All that recomputes features from a lake (verification, backfill, hand-over, replay) starts from here.
"""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.pipeline import SCORED
from features.definition import Entity
from features.meaning import meaning_of
from features.seeded import FOLDER, Seeded, remembered_file, state_file
from features.state import EntityState
from inference.offline.lake.lake import Lake
from inference.offline.lake.seed_note import damaged, finished_seed

STATES = pa.schema({"key": pa.binary(), "state": pa.binary()})
CLOCK = b"clock"  # of a file of states, in its metadata
REMEMBERED = pa.schema(
    {
        "key": pa.string(), "event_id": pa.string(), "content_hash": pa.uint64(), "arrival_ms": pa.int64(),
        "source": pa.uint8(),
    }
)  # fmt: skip


def beginning(lake: Lake, entity: Entity, partition: int) -> EntityState:
    """Return an entity's state before the lake's first row of a partition of its stage.

    Raises:
        StateError: E_SEED_UNFINISHED, E_SEED_DEFINITIONS, E_SEED_FILE.
    """
    return begun(entity, seeded_states(lake, entity, partition))


def begun(entity: Entity, seeded: pa.Table) -> EntityState:
    """Return an entity's state that begins with what `seeded_states` found."""
    state = EntityState(entity)
    state.load(seeded["key"].to_pylist(), seeded["state"].to_pylist())
    clock = clock_of(seeded.schema)
    if clock:
        state.clock.load(clock)
    return state


def with_clock(states: pa.Table, clock: bytes) -> pa.Table:
    """Return states with their partition's clock, which goes into a file with them; b"" for none."""
    return states.replace_schema_metadata({CLOCK: clock}) if clock else states


def clock_of(schema: pa.Schema) -> bytes:
    """Return the packed clock of a partition's states; b"" where they have none."""
    return bytes((schema.metadata or {}).get(CLOCK, b""))


def seeded_states(lake: Lake, entity: Entity, partition: int) -> pa.Table:
    """Return key and packed state of a partition's seed, null for a forgotten key; no rows without a seed.

    Raises:
        StateError: as `beginning`.
    """
    seed = finished_seed(lake.folder)
    if seed is not None and meaning_of(entity).hash not in seed.definitions[entity.name]:
        raise StateError(
            "E_SEED_DEFINITIONS", "the lake begins with a seed of other definitions than this code's",
            f"{lake.folder / FOLDER}: {entity.name}",
            f"run `headrace backfill --seed-from {seed.source.lake}` with this code, which adds its own",
        )  # fmt: skip
    return STATES.empty_table() if seed is None else states_of(lake, seed, entity, partition)


def seeded_partitions(lake: Lake, entity: Entity) -> list[int]:
    """Return the partitions of an entity's stage that begin with a seed of this code's definitions."""
    seed = finished_seed(lake.folder)
    if seed is None:
        return []
    return [partition for partition in range(seed.partitions) if state_file(entity, partition) in seed.files]


def seeded_values(lake: Lake, entity: Entity, keys: NDArray[np.bytes_]) -> dict[bytes, NDArray[np.float64]]:
    """Return, of those of `keys` that the seed knows, the values (columns of the entity) it begins them with.

    Raises:
        StateError: as `beginning`.
    """
    wanted, found = set(keys.tolist()), dict[bytes, NDArray[np.float64]]()
    for partition in seeded_partitions(lake, entity):
        latest = beginning(lake, entity, partition).latest()
        found |= {key: row for key, row in zip(latest.keys, latest.values, strict=True) if key in wanted}
    return found


def remembered(lake: Lake) -> pa.Table:
    """Return the ids that the first stage remembered when the lake began.

    Returns:
        The columns of `REMEMBERED` and `partition` (of the first stage), in log order within a partition.

    Raises:
        StateError: E_SEED_UNFINISHED, E_SEED_FILE.
    """
    seed = finished_seed(lake.folder)
    if seed is None:
        tables = [REMEMBERED.empty_table()]
    else:
        tables = [remembered_of(lake, seed, partition) for partition in range(seed.partitions)]
    numbers = [np.full(table.num_rows, p, np.int32) for p, table in enumerate(tables)]
    return pa.concat_tables(tables).append_column("partition", pa.array(np.concatenate(numbers)))


def states_of(lake: Lake, seed: Seeded, entity: Entity, partition: int) -> pa.Table:
    """Return key and packed state of a partition out of a seed, finished or not.

    Raises:
        StateError: E_SEED_FILE.
    """
    return _read(lake, seed, state_file(entity, partition), STATES)


def remembered_of(lake: Lake, seed: Seeded, partition: int) -> pa.Table:
    """Return the remembered ids of a partition of the first stage out of a seed, finished or not.

    A file of before this was told is of the scored source.

    Raises:
        StateError: E_SEED_FILE.
    """
    found = _read(lake, seed, remembered_file(partition), REMEMBERED)
    if "source" in found.column_names:
        return found
    return found.append_column(REMEMBERED.field("source"), pa.array([SCORED] * found.num_rows, pa.uint8()))


def sha256_of(path: Path) -> str:
    """Return the digest of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(lake: Lake, seed: Seeded, name: str, schema: pa.Schema) -> pa.Table:
    """Return a file of the seed as it was made, no rows where the seed has none of this name."""
    if name not in seed.files:
        return schema.empty_table()
    path = lake.folder / FOLDER / name
    if not path.exists():
        raise damaged("a file of the seed is gone", path)
    if sha256_of(path) != seed.files[name]:
        raise damaged("a file of the seed is not the one that was made", path)
    return pq.ParquetFile(path).read()
