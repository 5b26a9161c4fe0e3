"""The rows of an entity's stage out of the feature log, in their order, a bounded batch at a time.

One query a call: each dataset that holds rows of the entity, joined to its raw records where these are asked
for, sorted by partition and position, on disk when memory does not hold them.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.chain import Chain
from contracts.event_identity import EventIdentity
from contracts.frame import Columns, strings
from contracts.keys import key_of
from contracts.raw import RawBatch
from features.definition import Entity
from inference.offline.fold.rows import EVENT_ID, PLACE, Origin, facts, has_key, key_text, origins
from inference.offline.lake.lake import Lake
from inference.offline.lake.raw_records import said_of
from inference.offline.lake.sql import MEMORY_MB, database, quoted, register

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
ROWS_A_BATCH = 65_536
RAW_KEY, RAW_VALUE, LOGGED_TIME = "raw_key", "raw_value", "logged_time"
_ALWAYS = (*PLACE, "appended_ms")
_CHOSEN = '(SELECT "key" FROM chosen)'
# A row that no limit leaves out is read; it is mine when it is one of those that are folded.
_LOG = """
SELECT *, {partition} AS stage_partition, {pos} AS stage_pos, {mine} AS mine FROM {log} WHERE {read}
"""
_FROM_LOG = """(
SELECT {columns}, f.{time} AS logged_time, f.stage_partition AS "partition", f.stage_pos AS "pos",
    CAST({kind} AS UTINYINT) AS "kind", f.mine
FROM ({rows}) AS f
)"""
_FROM_RAW = """(
SELECT {columns}, f.{time} AS logged_time, f.stage_partition AS "partition", f.stage_pos AS "pos",
    CAST({kind} AS UTINYINT) AS "kind", r."key" AS raw_key, r."value" AS raw_value,
    r."offset" IS NOT NULL AS mine
FROM ({rows}) AS f
LEFT JOIN {raw} AS r ON f.mine AND r."partition" = f.raw_partition AND r."offset" = f.raw_offset
)"""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What of an entity's log is read, and which of its rows are folded; the others move the clock alone.

    Args:
        partition: of the entity's stage; None reads all, one after the other.
        since, below: by partition of the stage, the first position that is read and the first that is not;
            None reads from the beginning, to the end; a partition that is not named has no row below.
        before: by dataset and partition of raw records, the first offset of which a row is not folded; None
            folds all, as do datasets that are not named.
        keys: those whose rows are folded; None folds all.
        is_raw: what happened is read from the raw records, and rows whose record the lake does not have are
            not folded; else the log itself says it.
        also: further columns of the log, 0 or empty in rows of a dataset without them.
        is_logged: the values that the log holds come with the rows.
        sources: the numbers of those whose rows are read, with or without the entity's key; without any, the
            rows with its key of those that move the entity.
    """

    entity: Entity
    partition: int | None = None
    since: Mapping[int, int] | None = None
    below: Mapping[int, int] | None = None
    before: Mapping[str, Mapping[int, int]] | None = None
    keys: Sequence[bytes] | None = None
    is_raw: bool = False
    also: tuple[str, ...] = ()
    is_logged: bool = False
    sources: tuple[int, ...] = ()


class Clocked(NamedTuple):
    """What moves a partition's clock: the key and time of n rows, and which of them are folded."""

    keys: NDArray[np.bytes_]
    times_ms: NDArray[np.int64]
    mine: Mask


class LogRows(NamedTuple):
    """Rows of one partition in log order that are folded: what is known of each (n,), and what the log holds.

    `columns` has the facts, the entity's key, `event_id`, the raw place, `appended_ms`, `late`, `kind` and
    `pos`. `values` and `held` are (n, k): what the log holds, and whether it has the column at all. `clock`
    is of all rows that were read, None where all are folded and say it themselves.
    """

    partition: int
    columns: Columns
    values: Floats
    held: Mask
    clock: Clocked | None

    @property
    def left_out(self) -> int:
        """Return how many rows were read with these that are not folded."""
        return 0 if self.clock is None else int((~self.clock.mine).sum())


def ordered(
    lake: Lake, asked: Selection, spill: Path, memory_mb: int = MEMORY_MB, rows_a_batch: int = ROWS_A_BATCH
) -> Iterator[LogRows]:
    """Yield the rows by partition and position, each batch of one partition; none without files.

    Rows that have no key of the entity are not read, but where sources are named.

    Args:
        lake: whose feature log is read.
        spill: a folder that takes what memory does not hold.
    """
    with database(spill, memory_mb) as connection:
        if asked.keys is not None:
            names = pa.array([key.decode() for key in asked.keys], pa.string())
            connection.register("chosen", pa.table({"key": names}))
        there = [
            origin
            for origin in origins(lake.project.pipeline, asked.entity, asked.sources)
            if lake.files(origin.dataset)
        ]
        if not there:
            return
        parts = [_select(connection, lake, asked, origin) for origin in there]
        query = " UNION ALL BY NAME ".join(parts) + ' ORDER BY "partition", "pos"'
        reader = _Reader(asked, {origin.kind: origin for origin in there}, lake.project.pipeline.chain)
        for batch in connection.sql(query).to_arrow_reader(rows_a_batch):
            for part in _by_partition(batch):
                yield reader.rows(part)


def wanted(asked: Selection, origin: Origin) -> tuple[str, ...]:
    """Return the columns of the log that a source's rows are read with, but for their place in the stage."""
    late, ids = ("late",) if origin.source.is_scored else (), origin.source.ids
    return tuple(dict.fromkeys([*facts(asked.entity, origin), *ids, *_ALWAYS, *late, *asked.also]))


def _select(connection: duckdb.DuckDBPyConnection, lake: Lake, asked: Selection, origin: Origin) -> str:
    """Return the query of one dataset's rows, and register what it reads."""
    names, logged = wanted(asked, origin), asked.entity.columns if asked.is_logged else ()
    log = f"log_{origin.dataset}"
    read = dict.fromkeys([*names, *logged, origin.partition, origin.pos], pa.null())
    read.pop("partition", None)  # comes with every dataset
    register(connection, lake, origin.dataset, log, read, may_lack={*asked.also, *logged})
    key = "true" if asked.sources else has_key(lake.project.pipeline, origin.fields)
    rows = _LOG.format(
        partition=quoted(origin.partition), pos=quoted(origin.pos), log=quoted(log),
        mine=_mine(asked, origin), read=f"({key}) AND {_read(asked, origin)}",
    )  # fmt: skip
    columns = ", ".join(quoted(name, of="f") for name in (*names, *logged))
    given = {"columns": columns, "kind": origin.kind, "rows": rows, "time": quoted(origin.time)}
    if not asked.is_raw:
        return _FROM_LOG.format(**given)
    raw = f"raw_{origin.dataset}"
    register(connection, lake, origin.raw, raw, {"key": pa.binary(), "value": pa.binary()})
    return _FROM_RAW.format(**given, raw=quoted(raw))


def _read(asked: Selection, origin: Origin) -> str:
    """Return the condition of the rows that are read."""
    partition, pos = quoted(origin.partition), quoted(origin.pos)
    limits = [] if asked.partition is None else [f"{partition} = {asked.partition}"]
    if asked.since is not None:
        limits.append(f"{pos} >= {_by(partition, asked.since)}")
    if asked.below is not None:
        limits.append(f"{pos} < {_by(partition, asked.below)}")
    return " AND ".join(limits) or "true"


def _mine(asked: Selection, origin: Origin) -> str:
    """Return the condition of the rows that are folded."""
    limits = []
    if asked.before is not None and origin.raw in asked.before:
        limits.append(f"raw_offset < {_by('raw_partition', asked.before[origin.raw])}")
    if asked.keys is not None:
        limits.append(f"{key_text(origin.fields)} IN {_CHOSEN}")
    return " AND ".join(limits) or "true"


def _by(partition: str, limits: Mapping[int, int]) -> str:
    """Return the expression of a partition's limit, 0 for one that has none."""
    cases = " ".join(f"WHEN {number} THEN {limit}" for number, limit in limits.items())
    return f"(CASE {partition} {cases} ELSE 0 END)" if cases else "0"


def _by_partition(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield the runs of one partition."""
    edges = np.flatnonzero(np.diff(batch.column("partition").to_numpy(), prepend=-1, append=-1)).tolist()
    for begin, end in itertools.pairwise(edges):
        yield batch.slice(begin, end - begin)


class _Reader:
    """Makes arrays of what the query returns."""

    def __init__(self, asked: Selection, by_kind: Mapping[int, Origin], chain: Chain) -> None:
        self._asked, self._by_kind, self._chain = asked, by_kind, chain
        self._logged = asked.entity.columns if asked.is_logged else ()
        self._apart = {*self._logged, "mine", RAW_KEY, RAW_VALUE, LOGGED_TIME}

    def rows(self, batch: pa.RecordBatch) -> LogRows:
        """Return a batch as arrays; what a dataset does not have of a row is 0 or empty."""
        mine = batch.column("mine").to_numpy(zero_copy_only=False)
        clock = None if mine.all() and not self._asked.is_raw else self._clock(batch, mine)
        kept = batch if mine.all() else batch.filter(batch.column("mine"))
        columns = {
            name: column_of(kept.column(name)) for name in kept.schema.names if name not in self._apart
        }
        if self._asked.is_raw:
            columns = self._of_raw(kept, columns)
        columns[EVENT_ID] = self._ids(columns)
        columns[self._asked.entity.join_key] = key_of(columns, self._fields)
        values, held = (
            np.empty((len(kept), len(self._logged))),
            np.empty((len(kept), len(self._logged)), np.bool_),
        )
        for at, name in enumerate(self._logged):
            column = kept.column(name)
            values[:, at] = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
            held[:, at] = column.is_valid().to_numpy(zero_copy_only=False)
        return LogRows(int(batch.column("partition")[0].as_py()), columns, values, held, clock)

    @property
    def _fields(self) -> tuple[str, ...]:
        return next(iter(self._by_kind.values())).fields

    def _clock(self, batch: pa.RecordBatch, mine: Mask) -> Clocked:
        """Return what the log says of all rows: raw records may say something else."""
        keys = key_of({name: column_of(batch.column(name)) for name in self._fields}, self._fields)
        return Clocked(keys, column_of(batch.column(LOGGED_TIME)), mine)

    def _ids(self, columns: Columns) -> NDArray[np.bytes_]:
        """Return what names each row's event: its id, as decisions have it, or its place in its topic."""
        found: NDArray[np.bytes_] = np.zeros(len(columns["kind"]), "S1")
        for kind, origin in self._by_kind.items():
            named = EventIdentity(origin.source.ids, self._chain)
            found = np.where(columns["kind"] == kind, named.ids_of(columns), found)
        return found

    def _of_raw(self, batch: pa.RecordBatch, columns: Columns) -> Columns:
        """Return the columns with what the raw records say, judged as the gate judges them.

        A record that its contract refuses today keeps what the log says of it; fields that leave the gate as
        a keyed hash do too.
        """
        found, kinds = dict(columns), columns["kind"]
        raw = {name: batch.column(name).to_pylist() for name in (RAW_KEY, RAW_VALUE)}
        place = {name: columns[name].tolist() for name in (*PLACE, "appended_ms")}
        for kind, origin in self._by_kind.items():
            which = np.flatnonzero(kinds == kind)
            if not len(which):
                continue
            records = [
                (place[PLACE[0]][i], place[PLACE[1]][i], place["appended_ms"][i], raw[RAW_KEY][i],
                 raw[RAW_VALUE][i], None)
                for i in which.tolist()
            ]  # fmt: skip
            said = said_of(origin.source, RawBatch.of(records))
            rows, names = which[said.good_index], {*origin.source.names, *origin.source.marks}
            for name in (names - origin.source.hashed) & columns.keys():
                found[name] = placed(found[name], rows, said.good[name])
        return found


def placed(column: NDArray[Any], which: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
    """Return the column with values at some rows, as wide as the wider of the two."""
    wide = np.promote_types(column.dtype, values.dtype) if column.dtype.kind == "S" else column.dtype
    found = column.astype(wide)
    found[which] = values
    return found


def column_of(column: pa.Array) -> NDArray[Any]:
    """Return a column of the lake as an array: null is empty text, 0, or NaN of what is no whole number."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return strings(column.fill_null("").to_pylist())
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.int64)
    if pa.types.is_floating(column.type):
        return np.asarray(column.fill_null(np.nan).to_numpy(zero_copy_only=False))
    return np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
