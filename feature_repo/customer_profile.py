"""The batch view: what a customer has been like over the last thirty days, one snapshot a day.

A snapshot of day d (00:00 UTC) is made of accepted payments of the thirty days before d and nothing later,
so a point-in-time join may use it from d on. It is computed from the archived feature log, which holds the
payments that were accepted; the raw dataset also holds what the gate refused. Sums are of integers, so that
computing a snapshot again gives the same bits in any order of rows.
"""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import ConfigError, StateError
from feature_repo.views import CREATED_TIME, EVENT_TIME, FEATURE_LOG
from features.catalog import CUSTOMER_PROFILE
from features.definition import DAY_MS, HOUR_MS

DAYS = 30  # how far back a snapshot looks
NIGHT_ENDS_HOUR = 6
MOMENT = pa.timestamp("us", tz="UTC")  # Feast on DuckDB cannot materialise nanoseconds

_PAYMENTS = """
create or replace temp table payments as
select customer_id, terminal_id, amount_minor, event_time // {day_ms} as day,
    event_time % {day_ms} < {night_ms} as is_night
from (
    select *, row_number() over (partition by transaction_id order by raw_partition, raw_offset) as copy
    from read_parquet($files)
    where event_time >= $begin_ms and event_time < $end_ms
)
where copy = 1
order by day
"""
_SNAPSHOT = """
select customer_id,
    sum(amount_minor)::double / count(*) as profile_amount_mean,
    sqrt((
        count(*)::hugeint * sum(amount_minor::hugeint * amount_minor)
        - sum(amount_minor)::hugeint * sum(amount_minor)::hugeint
    )::double) / count(*) as profile_amount_std,
    count(*)::double / count(distinct day) as profile_payments_per_day,
    count(*) filter (is_night)::double / count(*) as profile_night_share,
    count(distinct terminal_id)::double as profile_terminals
from payments
where day >= $day - {days} and day < $day
group by customer_id
order by customer_id
"""


def write_snapshots(lake: Path, start: date | None, end_ms: int) -> dict[str, int]:
    """Compute and write the snapshots of a range of days, each whole or not at all.

    Args:
        lake: the run's lake.
        start: the first day; without it the day after the last snapshot there is, or after the first payment.
        end_ms: the last day is the one that had begun by then (epoch ms).

    Returns:
        Customers by day, "2018-05-01" to their number; empty when every snapshot is there.

    Raises:
        StateError: E_LAKE_EMPTY, no payment is in the lake.
        ConfigError: E_MATERIALIZE_RANGE, the range ends before it begins.
    """
    files = _files(lake)
    folder = lake / CUSTOMER_PROFILE.name
    last = end_ms // DAY_MS
    with duckdb.connect() as database:
        first = _day_number(start) if start else _next_day(database, files, folder)
        if start and first > last:
            where = f"{start} to {_date(last)}"
            raise ConfigError("E_MATERIALIZE_RANGE", "the range is empty", where, "give an earlier --start")
        if first > last:
            return {}
        window = {"files": files, "begin_ms": (first - DAYS) * DAY_MS, "end_ms": last * DAY_MS}
        database.execute(_PAYMENTS.format(day_ms=DAY_MS, night_ms=NIGHT_ENDS_HOUR * HOUR_MS), window)
        days = range(first, last + 1)
        return {str(_date(day)): _write(folder, day, _snapshot(database, day)) for day in days}


def newest_payment_ms(lake: Path) -> int:
    """Return the latest event time of the lake's payments, epoch ms.

    Raises:
        StateError: E_LAKE_EMPTY, no payment is in the lake.
    """
    with duckdb.connect() as database:
        return _event_time(database, _files(lake), "max")


def snapshot_days(folder: Path) -> list[date]:
    """Return the days whose snapshots are in the folder, in order."""
    return sorted(
        date.fromisoformat(path.stem.partition("=")[2]) for path in folder.glob("snapshot=*.parquet")
    )


def _next_day(database: duckdb.DuckDBPyConnection, files: str, folder: Path) -> int:
    written = snapshot_days(folder)
    if written:
        return _day_number(written[-1]) + 1
    return _event_time(database, files, "min") // DAY_MS + 1


def _event_time(database: duckdb.DuckDBPyConnection, files: str, end: Literal["min", "max"]) -> int:
    query = f"select {end}(event_time) from read_parquet($files)"  # noqa: S608  # one of two words
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
        "E_LAKE_EMPTY", "no payments to compute profiles from", files,
        "run `headrace archive` (or `headrace up`) until the topics are in the lake",
    )  # fmt: skip


def _snapshot(database: duckdb.DuckDBPyConnection, day: int) -> pa.Table:
    """Return the profiles of all customers who paid in the thirty days before the day."""
    rows = database.sql(_SNAPSHOT.format(days=DAYS), params={"day": day}).to_arrow_table()
    columns = [rows.column(name) for name in CUSTOMER_PROFILE.columns]
    moment = pa.array([day * DAY_MS * 1000] * rows.num_rows, pa.int64()).cast(MOMENT)
    return pa.table(
        [rows.column(CUSTOMER_PROFILE.join_key).cast(pa.string()), *columns, moment, moment],
        names=[CUSTOMER_PROFILE.join_key, *CUSTOMER_PROFILE.columns, EVENT_TIME, CREATED_TIME],
    )


def _write(folder: Path, day: int, table: pa.Table) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"snapshot={_date(day)}.parquet"
    part = folder / f".{path.name}.{os.getpid()}.part"
    with part.open("wb") as sink:
        pq.write_table(table, sink, compression="zstd")
        sink.flush()
        os.fsync(sink.fileno())
    part.replace(path)
    return int(table.num_rows)


def _date(day: int) -> date:
    return (datetime.fromtimestamp(0, UTC) + timedelta(days=day)).date()


def _day_number(day: date) -> int:
    return (day - date(1970, 1, 1)).days
