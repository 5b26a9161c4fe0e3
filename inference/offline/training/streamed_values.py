"""The streamed features of logged events under this code's definitions, wherever the lake has them.

A row of the log has the features that were declared when it was made. Those declared since come from a
backfill, which computed them for the same row in the same order of the log.
"""

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.keys import key_of
from contracts.pipeline import SCORED
from features.backfilled import PARTS
from features.definition import Entity
from features.meaning import meaning_of
from inference.offline.backfill.offline import folder_of
from inference.offline.fold.ordered import column_of
from inference.offline.fold.rows import PLACE
from inference.offline.lake.lake import Lake
from inference.offline.lake.sql import quoted

Floats = NDArray[np.float64]
_BACKFILLED = """
SELECT {columns} FROM asked LEFT JOIN read_parquet($files) AS b
    ON b."raw_partition" = asked."raw_partition" AND b."raw_offset" = asked."raw_offset" AND b."kind" = $kind
ORDER BY asked."asked_row"
"""


def streamed_values(lake: Lake, rows: pa.Table, entity: Entity) -> Floats:
    """Return (n, k): the entity's columns as of each event.

    Args:
        rows: n events of the feature log, with `raw_partition`, `raw_offset` and what they have of the
            columns.

    Raises:
        StateError: E_LAKE_DEFINITIONS, rows were made without a feature and no backfill has it.
    """
    names = rows.column_names
    hashes = f"{entity.name}_definitions"
    held = [rows[name] for name in entity.columns if name in names]
    lacking = np.zeros(rows.num_rows, np.bool_)
    keyed = _keyed(lake, rows, entity)
    if len(held) < len(entity.columns):
        lacking[:] = True
    for column in held:
        if column.null_count:
            lacking |= column.combine_chunks().is_null().to_numpy(zero_copy_only=False)
    if hashes in names:
        lacking |= np.array(
            [made not in (None, meaning_of(entity).hash) for made in rows[hashes].to_pylist()]
        )
    values = np.full((rows.num_rows, len(entity.columns)), np.nan)
    whole, lacking = np.flatnonzero(~lacking & keyed), lacking & keyed
    if len(whole):
        there = rows.take(pa.array(whole))
        values[whole] = np.column_stack([there[name].to_numpy() for name in entity.columns])
    if lacking.any():
        which = np.flatnonzero(lacking)
        values[which] = _backfilled(lake, rows.take(pa.array(which)), entity)
    return values


def _keyed(lake: Lake, rows: pa.Table, entity: Entity) -> NDArray[np.bool_]:
    """Return which rows have a key of the entity (n,); the values of the others are null."""
    pipeline = lake.project.pipeline
    link = pipeline.chain.named(entity.name)
    if pipeline.scored.always_has(link) or not set(link.fields) <= set(rows.column_names):
        return np.ones(rows.num_rows, np.bool_)
    keys = key_of({name: column_of(rows[name].combine_chunks()) for name in link.fields}, link.fields)
    return np.asarray(keys != b"")


def _backfilled(lake: Lake, rows: pa.Table, entity: Entity) -> Floats:
    folder = folder_of(lake.folder, entity)
    if not folder.exists():
        raise _lacks(entity, rows.num_rows, str(folder))
    asked = rows.select(list(PLACE)).append_column("asked_row", pa.array(np.arange(rows.num_rows)))
    columns = ", ".join(quoted(name, of="b") for name in ("pos", *entity.columns))
    with duckdb.connect() as database:
        database.register("asked", asked)
        query = _BACKFILLED.format(columns=columns)
        asked_for = {"files": str(folder / PARTS), "kind": SCORED}
        found = database.sql(query, params=asked_for).to_arrow_table()
    if found["pos"].null_count:
        raise _lacks(entity, found["pos"].null_count, str(folder))
    return np.column_stack([found[name].to_numpy() for name in entity.columns])


def _lacks(entity: Entity, rows: int, where: str) -> StateError:
    return StateError(
        "E_LAKE_DEFINITIONS", f"{rows:,} events were logged under other {entity.name} definitions", where,
        "run `headrace backfill`",
    )  # fmt: skip
