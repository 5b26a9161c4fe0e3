"""How far the lake is whole: up to where every raw record has its row in the feature log, or its answer.

The log is archived a partition of the last stage at a time, so another entity's newest rows may be missing in
the middle. All records of one raw partition keep their order on every way that they take; so below the first
raw record that is still under way, nothing of the partition is missing. A repeat of a record that the run
before had is answered by the seed.
"""

from collections.abc import Mapping
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from contracts.frame import Columns, length
from contracts.keys import key_of
from contracts.pipeline import Pipeline, SourceStream
from features.definition import Entity
from inference.offline.fold.ordered import column_of
from inference.offline.fold.rows import origins
from inference.offline.lake.beginning import remembered
from inference.offline.lake.known_losses import known_losses, places_of, register_losses
from inference.offline.lake.lake import Lake
from inference.offline.lake.raw_records import raw_batch, said_of
from inference.offline.lake.seed_note import finished_seed
from inference.offline.lake.sql import quoted, register

ROWS_A_BATCH = 65_536
_UNANSWERED = """
SELECT raw."partition", raw."offset", raw.appended_ms, raw."key", raw."value" FROM raw
WHERE NOT EXISTS (SELECT 1 FROM log WHERE raw_partition = raw."partition" AND raw_offset = raw."offset")
  AND NOT EXISTS (
    SELECT 1 FROM dlq WHERE origin_partition = raw."partition" AND origin_offset = raw."offset")
ORDER BY raw."partition", raw."offset"
"""
# A repeat is answered by the row of the record that it repeats, or by what the seed remembers of it.
_NEW = """
SELECT open."row" FROM open
WHERE NOT EXISTS (SELECT 1 FROM log WHERE {same_row})
  AND NOT EXISTS (SELECT 1 FROM remembered AS r WHERE r."source" = {source} AND r.event_id = open.event_id
    AND {same_key})
"""
_FRONTIER = """
WITH waiting AS (
    SELECT "partition", "offset" FROM unanswered
    WHERE NOT EXISTS (
        SELECT 1 FROM lost WHERE lost."partition" = unanswered."partition"
        AND unanswered."offset" >= lost.frm AND unanswered."offset" < lost.upto)
)
SELECT r."partition", least(coalesce(u."first", r.newest + 1), r.newest + 1), coalesce(u."count", 0),
    (SELECT count(*) FROM unanswered AS a WHERE a."partition" = r."partition")
FROM (SELECT "partition", max("offset") AS newest FROM raw GROUP BY "partition") AS r
LEFT JOIN (
    SELECT "partition", min("offset") AS "first", count(*) AS "count" FROM waiting GROUP BY "partition"
) AS u ON u."partition" = r."partition"
"""
_FACTS = """
SELECT {columns}, raw."key" AS raw_key, raw."value" AS raw_value, raw."offset" IS NULL AS is_gone,
    log.raw_partition, log.raw_offset, log.appended_ms
FROM log LEFT JOIN raw ON raw."partition" = log.raw_partition AND raw."offset" = log.raw_offset
WHERE raw."offset" IS NOT NULL OR NOT EXISTS (
    SELECT 1 FROM unarchived AS u
    WHERE u."partition" = log.raw_partition AND log.raw_offset >= u.frm AND log.raw_offset < u.upto)
"""
_BEHIND = """
SELECT {partition}, raw_partition, max({pos}) + 1 FROM log WHERE {below} GROUP BY ALL
"""
_RAW = {"appended_ms": pa.int64(), "key": pa.binary(), "value": pa.binary()}
_PLACE = {"raw_partition": pa.int32(), "raw_offset": pa.int64()}
ORIGIN = {"origin_partition": pa.int64(), "origin_offset": pa.int64()}


class Frontier(NamedTuple):
    """By topic and partition of raw records, the first offset that may not be used yet; how many are pending.

    `lost` of the archived records are known to have been lost on their way, and are not waited for.
    """

    before: Mapping[str, Mapping[int, int]]
    pending: int
    lost: int = 0

    def of(self, source: SourceStream) -> Mapping[int, int]:
        """Return the limits of a source's records."""
        return self.before.get(source.topic, {})


def frontier(lake: Lake, database: duckdb.DuckDBPyConnection) -> Frontier:
    """Return how far the records of every source can be relied on.

    Raises:
        StateError: E_SEED_UNFINISHED, E_SEED_FILE.
    """
    finished_seed(lake.folder)
    before: dict[str, dict[int, int]] = {}
    pending = lost = 0
    for source in lake.project.pipeline.sources:
        register_unanswered(lake, database, source)
        rows = database.execute(_FRONTIER).fetchall()
        waiting = sum(int(count) for _, _, count, _ in rows)
        pending += waiting
        lost += sum(int(every) for *_, every in rows) - waiting
        before[source.topic] = {int(partition): int(first) for partition, first, *_ in rows}
    return Frontier(before, pending, lost)


def facts_differing(lake: Lake, database: duckdb.DuckDBPyConnection) -> int:
    """Return how many rows of the feature log say other facts than their raw record, or have none."""
    return sum(_facts_of(lake, database, source) for source in lake.project.pipeline.sources)


def ends_below(
    lake: Lake, database: duckdb.DuckDBPyConnection, entity: Entity, whole: Frontier
) -> Mapping[int, int] | None:
    """Return, by partition of an entity's stage, the first position before which a row may be missing.

    None where no limit but that of the raw records is needed: nothing is pending, or all rows of a key come
    out of one raw partition. A pending record's position is not known, but comes after those of its raw
    partition that are there.
    """
    pipeline = lake.project.pipeline
    if not whole.pending or is_keyed(pipeline, entity):
        return None
    ends: dict[int, int] = {}
    for origin in origins(pipeline, entity):
        limits = whole.of(origin.source)
        columns = _PLACE | {origin.partition: pa.int32(), origin.pos: pa.int64()}
        columns.pop("partition", None)
        register(database, lake, origin.dataset, "log", columns)
        cases = " OR ".join(f"(raw_partition = {p} AND raw_offset < {limit})" for p, limit in limits.items())
        query = _BEHIND.format(
            partition=quoted(origin.partition), pos=quoted(origin.pos), below=cases or "false"
        )
        for number, _, after in database.execute(query).fetchall():
            ends[int(number)] = min(ends.get(int(number), int(after)), int(after))
    return ends


def is_keyed(pipeline: Pipeline, entity: Entity) -> bool:
    """Return whether all rows of a key of an entity come out of one raw partition, in its order."""
    moved, link = origins(pipeline, entity), pipeline.chain.named(entity.name)
    return len(moved) == 1 and (moved[0].source.versions[-1].key_field,) == link.fields


def register_unanswered(lake: Lake, database: duckdb.DuckDBPyConnection, source: SourceStream) -> None:
    """Make a table `unanswered` of a source's raw records (partition, offset) without a row or an answer.

    Beside it come `raw`, `log`, and `lost`: ranges that are known to have been lost on their way.
    """
    pipeline = lake.project.pipeline
    first = pipeline.chain.first.fields
    places = places_of(pipeline)  # labels of before they visited every stage lack some
    identity = dict.fromkeys([*(first if set(first) <= set(source.names) else ()), *source.ids], pa.null())
    register(database, lake, source.topic, "raw", _RAW)
    register(database, lake, pipeline.log_dataset(source), "log", identity | _PLACE | places, may_lack=places)
    register(database, lake, f"{source.topic}_dlq", "dlq", ORIGIN)
    register_losses(database, "lost", known_losses(lake, database, source).on_the_way)
    unanswered = database.sql(_UNANSWERED).to_arrow_table()
    if source.ids and not source.is_labels and unanswered.num_rows:
        unanswered = _without_repeats(lake, database, source, unanswered)
    database.register("unanswered", unanswered.select(["partition", "offset"]))


def _without_repeats(
    lake: Lake, database: duckdb.DuckDBPyConnection, source: SourceStream, unanswered: pa.Table
) -> pa.Table:
    """Return the raw records that are no repeats of records which have their row."""
    first = lake.project.pipeline.chain.first.fields
    said = said_of(source, raw_batch(unanswered))
    keyed = set(first) <= said.good.keys() - source.hashed
    names = [*(first if keyed else ()), *source.ids]
    columns = {name: pa.array(said.good[name]) for name in dict.fromkeys(names)}
    texts = {name: c.cast(pa.string()) if pa.types.is_binary(c.type) else c for name, c in columns.items()}
    ids = {"event_id": _text(said.good, source.ids), "key": _text(said.good, first)}
    database.register("open", pa.table({**texts, **ids, "row": pa.array(said.good_index)}))
    database.register("remembered", remembered(lake))
    same = " AND ".join(f"{quoted(name, of='log')} = {quoted(name, of='open')}" for name in texts)
    # only the log knows the hash of a personal key
    same_key = 'r."key" = open."key"' if keyed else "true"
    query = _NEW.format(same_row=same, source=source.number, same_key=same_key)
    new = {int(at) for (at,) in database.execute(query).fetchall()}
    refused = {rejection.row for rejection in said.bad}
    return unanswered.take(pa.array(sorted(new | refused), pa.int64()))


def _facts_of(lake: Lake, database: duckdb.DuckDBPyConnection, source: SourceStream) -> int:
    pipeline = lake.project.pipeline
    names = [name for name in (*source.names, *source.marks) if name not in source.hashed]
    kept = dict.fromkeys(names, pa.null()) | _PLACE | {"appended_ms": pa.int64()} | places_of(pipeline)
    register(database, lake, source.topic, "raw", {"key": pa.binary(), "value": pa.binary()})
    register(
        database, lake, pipeline.log_dataset(source), "log", kept, may_lack=[*names, *places_of(pipeline)]
    )
    register_losses(database, "unarchived", known_losses(lake, database, source).unarchived)
    columns = ", ".join(quoted(name, of="log") for name in names)
    found = 0
    for batch in database.sql(_FACTS.format(columns=columns)).to_arrow_reader(ROWS_A_BATCH):
        table = pa.Table.from_batches([batch])
        gone = table["is_gone"].to_numpy(zero_copy_only=False)
        found += int(gone.sum())
        found += _differing(source, table.filter(pa.array(~gone)), names)
    return found


def _differing(source: SourceStream, rows: pa.Table, names: list[str]) -> int:
    """Return how many rows say something else than their raw record, judged as the gate judges it."""
    if not rows.num_rows:
        return 0
    raw = rows.rename_columns({"raw_key": "key", "raw_value": "value", "raw_partition": "partition",
                               "raw_offset": "offset"})  # fmt: skip
    said = said_of(source, raw_batch(raw))
    wrong = np.ones(rows.num_rows, np.bool_)
    wrong[said.good_index] = False
    for name in names:
        column = rows[name].combine_chunks()
        logged, due = column_of(column)[said.good_index], said.good[name]
        held = column.is_valid().to_numpy(zero_copy_only=False)[said.good_index]
        differs = held & (logged != due)  # rows of before a field was declared say nothing of it
        if due.dtype.kind == "f":
            differs &= ~(np.isnan(logged) & np.isnan(due))
        wrong[said.good_index] |= differs
    return int(wrong.sum())


def _text(rows: Columns, fields: tuple[str, ...]) -> pa.Array:
    if not length(rows):
        return pa.array([], pa.string())
    return pa.array(key_of(rows, fields)).cast(pa.string())
