"""What verification counts in the lake: the feature log's rows, and raw records that have none."""

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.frame import Columns
from contracts.keys import key_of
from contracts.pipeline import Pipeline, SourceStream
from inference.offline.backfill.frontier import register_unanswered
from inference.offline.fold.ordered import column_of
from inference.offline.fold.rows import PLACE, is_whole
from inference.offline.lake.known_losses import known_losses, places_of
from inference.offline.lake.lake import PARTITION, Lake

# A record follows one path of partitions, and a path keeps its order: what is beyond the end of the slowest
# path may still be under way.
_UNANSWERED = """
WITH arrived AS (
    SELECT raw_partition, min(newest) AS newest FROM (
        SELECT raw_partition, {path}, max(raw_offset) AS newest FROM log GROUP BY ALL) GROUP BY raw_partition
)
SELECT count(*) FROM unanswered JOIN arrived ON unanswered."partition" = arrived.raw_partition
WHERE unanswered."offset" < arrived.newest AND NOT EXISTS (
    SELECT 1 FROM lost WHERE lost."partition" = unanswered."partition"
    AND unanswered."offset" >= lost.frm AND unanswered."offset" < lost.upto)
"""


def logs(lake: Lake) -> dict[int, pa.Table]:
    """Return the feature log's rows without their values, by source; none of one that has not come yet.

    Columns are ids, keys, the source's time and the row's places, with its number in the dataset.

    Raises:
        StateError: E_LAKE_EMPTY, no scored record is there.
    """
    pipeline = lake.project.pipeline
    return {source.number: _rows(lake, pipeline, source) for source in pipeline.sources}


def keys_of(table: pa.Table, fields: tuple[str, ...]) -> NDArray[np.bytes_]:
    """Return the keys that fields make of rows of the log, (n,); empty for none."""
    if not table.num_rows:
        return np.empty(0, "S1")
    return key_of(columns_of(table, fields), fields)


def columns_of(table: pa.Table, names: tuple[str, ...]) -> Columns:
    """Return columns of rows of the log as arrays, those that it has."""
    there = [name for name in names if name in table.column_names]
    return {name: column_of(table[name].combine_chunks()) for name in there} or {
        PLACE[0]: column_of(table[PLACE[0]].combine_chunks())
    }


def unanswered(lake: Lake) -> int:
    """Return how many raw records came neither out of the stream nor back refused.

    A repeated id counts as answered by the first one, also by one that the lake's seed remembers; what may
    still be under way is left out.
    """
    pipeline = lake.project.pipeline
    path = ", ".join(f'"{link.partition}"' for link in pipeline.chain.links)
    found = 0
    with duckdb.connect() as database:
        database.execute("SET threads = 1")
        for source in pipeline.sources:
            register_unanswered(lake, database, source)
            rows = database.execute(_UNANSWERED.format(path=path)).fetchall()
            found += int(rows[0][0])
    return found


def unarchived(lake: Lake, log: pa.Table) -> NDArray[np.bool_]:
    """Return (n,): of which scored rows of the log the raw record is known never to have been archived."""
    with duckdb.connect() as database:
        database.register("log", log)
        ranges = known_losses(lake, database, lake.project.pipeline.scored).unarchived
    partitions, offsets = log["raw_partition"].to_numpy(), log["raw_offset"].to_numpy()
    found = np.zeros(len(offsets), np.bool_)
    for partition, frm, to in ranges:
        found |= (partitions == partition) & (offsets >= frm) & (offsets < to)
    return found


def _rows(lake: Lake, pipeline: Pipeline, source: SourceStream) -> pa.Table:
    dataset = pipeline.log_dataset(source)
    keys = [name for link in pipeline.chain.links for name in link.fields if name in source.names]
    names = [*dict.fromkeys([*source.ids, *keys, source.time, *PLACE, *places_of(pipeline), "late"])]
    if source.is_scored or lake.has(dataset):
        table = lake.read(dataset, names)
    else:
        table = pa.table(
            {name: pa.array([], _type(pipeline, name)) for name in [*names, "offset", PARTITION]}
        )
    return table.append_column("row", pa.array(np.arange(table.num_rows, dtype=np.int64)))


def _type(pipeline: Pipeline, name: str) -> pa.DataType:
    if name in pipeline.fields_by_name and not is_whole(pipeline, name):
        return pa.string()
    return pa.int32() if name.endswith("partition") else pa.int64()
