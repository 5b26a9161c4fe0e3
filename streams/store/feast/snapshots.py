"""Batch views: what keys have been like for a while, one snapshot a day, computed by a project's SQL.

A snapshot of day d (00:00 UTC) is made of scored events before d and nothing later. It has two times:
`event_timestamp` is d, and `created_timestamp` the moment of the lake's clock (event time) at which it was
made: no event before that moment can have been served it. It is computed from the archived feature log, which
holds the events that were accepted; the raw dataset also holds what the gate refused.

All statements of the SQL but the last run once a range of days, and are given `$files`, `$begin_ms` and
`$end_ms`; the last runs once a day, is given `$day` (days since 1970), and returns a row a key. Sums of
integers make sure that computing a snapshot again gives the same bits in any order of rows.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import ConfigError, StateError
from features.definition import DAY_MS, BatchView
from features.project.durations import duration_ms
from features.project.running import RunningProject
from runtime.atomic_file import replacing
from streams.store.feast.entities import KeyedEntity, owner_of
from streams.store.feast.views import CREATED_TIME, EVENT_TIME, FEATURE_LOG

MOMENT = pa.timestamp("us", tz="UTC")  # Feast on DuckDB cannot materialise nanoseconds


def write_snapshots(
    project: RunningProject, view: BatchView, lake: Path, start: date | None, end_ms: int
) -> dict[str, int]:
    """Compute and write a batch view's snapshots of a range of days, each whole or not at all.

    Args:
        lake: the run's lake.
        start: the first day; without it the day after the last snapshot there is, or after the first event.
        end_ms: the last day is the one that had begun by then (epoch ms).

    Returns:
        Keys by day, "2018-05-01" to their number; empty when every snapshot is there.

    Raises:
        StateError: E_LAKE_EMPTY, no scored event is in the lake.
        ConfigError: E_MATERIALIZE_RANGE, the range ends before it begins.
    """
    files, time = _files(lake), project.pipeline.scored.time
    folder, owner = lake / view.name, owner_of(project, view.join_key)
    last = end_ms // DAY_MS
    with duckdb.connect() as database:
        first = _day_number(start) if start else _next_day(database, files, folder, time)
        if start and first > last:
            where = f"{start} to {_date(last)}"
            raise ConfigError("E_MATERIALIZE_RANGE", "the range is empty", where, "give an earlier --start")
        if first > last:
            return {}
        begin_ms = first * DAY_MS - looks_back_ms(project, view)
        _prepare(database, view, {"files": files, "begin_ms": begin_ms, "end_ms": last * DAY_MS})
        return {
            str(_date(day)): _write(folder, day, _snapshot(database, view, owner, day, end_ms))
            for day in range(first, last + 1)
        }


def newest_event_ms(project: RunningProject, lake: Path) -> int:
    """Return the latest event time of the lake's scored events, epoch ms.

    Raises:
        StateError: E_LAKE_EMPTY, no scored event is in the lake.
    """
    with duckdb.connect() as database:
        return _event_time(database, _files(lake), project.pipeline.scored.time, "max")


def snapshot_days(folder: Path) -> list[date]:
    """Return the days whose snapshots are in the folder, in order."""
    return sorted(
        date.fromisoformat(path.stem.partition("=")[2]) for path in folder.glob("snapshot=*.parquet")
    )


def looks_back_ms(project: RunningProject, view: BatchView) -> int:
    """Return how long before its day a snapshot's rows may lie."""
    declared = next(one for one, made in project.compiled.batch_views.items() if made.name == view.name)
    return duration_ms(declared.looks_back)


def _prepare(database: duckdb.DuckDBPyConnection, view: BatchView, given: dict[str, Any]) -> None:
    """Run all statements but the last, each with what it names of the parameters."""
    for statement in view.statements[:-1]:
        database.execute(statement, {name: value for name, value in given.items() if f"${name}" in statement})


def _next_day(database: duckdb.DuckDBPyConnection, files: str, folder: Path, time: str) -> int:
    written = snapshot_days(folder)
    if written:
        return _day_number(written[-1]) + 1
    return _event_time(database, files, time, "min") // DAY_MS + 1


def _event_time(
    database: duckdb.DuckDBPyConnection, files: str, time: str, end: Literal["min", "max"]
) -> int:
    query = f'select {end}("{time}") from read_parquet($files)'  # noqa: S608  # a word of two, a contract's name
    (found,) = database.execute(query, {"files": files}).fetchall()[0]
    if found is None:
        raise _empty(files)
    return int(found)


def _files(lake: Path) -> str:
    files = str(lake / FEATURE_LOG)
    if next(lake.glob(FEATURE_LOG), None) is None:
        raise _empty(files)
    return files


def _empty(files: str) -> StateError:
    return StateError(
        "E_LAKE_EMPTY", "no events to compute batch features from", files,
        "run `headrace archive` (or `headrace up`) until the topics are in the lake",
    )  # fmt: skip


def _snapshot(
    database: duckdb.DuckDBPyConnection, view: BatchView, owner: KeyedEntity, day: int, end_ms: int
) -> pa.Table:
    """Return what the view's SQL says of a day, a row a key."""
    created_ms = max(end_ms, day * DAY_MS)
    rows = database.sql(view.statements[-1], params={"day": day}).to_arrow_table()
    keys = [
        rows.column(name).cast(pa.int64() if number else pa.string())
        for name, number in zip(owner.key.fields, owner.key.is_number, strict=True)
    ]
    columns = [rows.column(name) for name in view.columns]
    times = [_moments(ms, rows.num_rows) for ms in (day * DAY_MS, created_ms)]
    names = [*owner.key.fields, *view.columns, EVENT_TIME, CREATED_TIME]
    return pa.table([*keys, *columns, *times], names=names)


def _moments(ms: int, count: int) -> pa.Array:
    return pa.array([ms * 1000] * count, pa.int64()).cast(MOMENT)


def _write(folder: Path, day: int, table: pa.Table) -> int:
    with replacing(folder / f"snapshot={_date(day)}.parquet") as sink:
        pq.write_table(table, sink, compression="zstd")
    return int(table.num_rows)


def _date(day: int) -> date:
    return (datetime.fromtimestamp(0, UTC) + timedelta(days=day)).date()


def _day_number(day: date) -> int:
    return (day - date(1970, 1, 1)).days
