"""The transaction ids of a run's last 24 hours, out of its lake, as its customer stage remembered them.

An id is remembered by its arrival: its partition's newest event time when it came. The first row of each id
stands in the feature log; a repeat says what its first said, and moves no clock. A payment that was refused
because its id was used for other content moves the clock and stands in the dead letters alone: it is put
before the next row of its raw partition, which is its place wherever a raw partition feeds one of customers.
"""

from collections.abc import Iterator
from typing import NamedTuple

import duckdb
import numpy as np
import orjson
import pyarrow as pa

from contracts.content_hash import FIELDS, content_hash
from contracts.frame import strings
from contracts.keys import partition_of
from contracts.topics import DAY_MS
from inference.lake.beginning import REMEMBERED, remembered
from inference.lake.lake import Lake, read_file
from inference.lake.seed_note import finished_seed
from inference.lake.sql import register

_CONFLICT = "E_DUP_CONFLICT"
_NUMBERS = ("event_time", "amount_minor")
_TYPES = {name: pa.int64() if name in _NUMBERS else pa.string() for name in FIELDS}
_PLACE = {
    "raw_partition": pa.int32(), "raw_offset": pa.int64(),
    "customer_partition": pa.int32(), "customer_pos": pa.int64(),
}  # fmt: skip
_LETTERS = pa.schema(
    {
        "customer_partition": pa.int32(), "raw_partition": pa.int32(), "raw_offset": pa.int64(),
        "event_time": pa.int64(),
    }
)  # fmt: skip
_CLOCKED = f"""
WITH moving AS (
    SELECT customer_pos AS pos, 1 AS turn, event_time, raw_partition, raw_offset
    FROM log WHERE customer_partition = $partition
    UNION ALL
    SELECT coalesce((SELECT min(customer_pos) FROM log WHERE log.customer_partition = $partition
                     AND log.raw_partition = c.raw_partition AND log.raw_offset > c.raw_offset), $last),
           0, c.event_time, NULL, NULL
    FROM conflicts AS c WHERE c.customer_partition = $partition
), clocked AS (
    SELECT *, greatest($begun_ms, max(event_time) OVER (
        ORDER BY pos, turn ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS arrival_ms
    FROM moving
), newest AS (SELECT greatest($begun_ms, max(event_time)) AS newest_ms FROM moving)
SELECT {", ".join(f"log.{name}" for name in FIELDS)}, clocked.arrival_ms
FROM clocked JOIN newest ON clocked.arrival_ms >= newest.newest_ms - $horizon_ms
JOIN log ON log.raw_partition = clocked.raw_partition AND log.raw_offset = clocked.raw_offset
ORDER BY clocked.pos
"""  # noqa: S608  # our own names
_NEWEST = """
SELECT max(event_time) FROM (
    SELECT event_time FROM log WHERE customer_partition = $partition
    UNION ALL SELECT event_time FROM conflicts WHERE customer_partition = $partition)
"""
_LAST = np.iinfo(np.int64).max


class Remembered(NamedTuple):
    """One partition's ids (columns of `inference.lake.beginning.REMEMBERED`), and the clock they age by."""

    ids: pa.Table
    newest_ms: int


def remembered_ids(
    lake: Lake, database: duckdb.DuckDBPyConnection, partitions: int
) -> Iterator[tuple[int, Remembered]]:
    """Yield what each partition of customers remembers at the end of a lake, in order of arrival.

    Args:
        lake: of a run of which nothing is under way.
        partitions: of the run's customer stage.
    """
    register(database, lake, "features", "log", _TYPES | _PLACE)
    database.register("conflicts", _conflicts(lake, partitions))
    before, seed = remembered(lake), finished_seed(lake.folder)
    for partition in range(partitions):
        begun_ms = 0 if seed is None else seed.newest_ms.get(partition, 0)
        asked = {"partition": partition}
        newest_ms = max(begun_ms, database.execute(_NEWEST, asked).fetchall()[0][0] or 0)
        asked |= {"last": _LAST, "begun_ms": begun_ms, "horizon_ms": DAY_MS}
        rows = database.sql(_CLOCKED, params=asked).to_arrow_table()
        mine = before.filter(pa.array(before["partition"].to_numpy() == partition)).select(REMEMBERED.names)
        kept = mine.filter(pa.array(mine["arrival_ms"].to_numpy() >= newest_ms - DAY_MS))
        yield partition, Remembered(pa.concat_tables([kept, _hashed(rows)]), newest_ms)


def _hashed(rows: pa.Table) -> pa.Table:
    columns = {
        name: rows[name].to_numpy() if name in _NUMBERS else strings(rows[name].fill_null("").to_pylist())
        for name in FIELDS
    }
    hashes = content_hash(columns) if rows.num_rows else np.empty(0, np.uint64)
    found = [rows["transaction_id"], pa.array(hashes), rows["arrival_ms"].cast(pa.int64())]
    return pa.table(found, schema=REMEMBERED)


def _conflicts(lake: Lake, partitions: int) -> pa.Table:
    """Return each payment refused for its id once: whose partition, raw place and event time."""
    found: dict[tuple[int, int], dict[str, int]] = {}
    for file in lake.files("transactions_dlq"):
        letters = read_file(file, ["value", "code", "origin_partition", "origin_offset"])
        for letter in letters.to_pylist():
            if letter["code"] != _CONFLICT:
                continue
            said = orjson.loads(letter["value"])
            place = letter["origin_partition"], letter["origin_offset"]
            mine = int(partition_of(strings([said["customer_id"]]), partitions)[0])
            found[place] = {
                "customer_partition": mine, "raw_partition": place[0], "raw_offset": place[1],
                "event_time": said["event_time"],
            }  # fmt: skip
    return pa.Table.from_pylist(list(found.values()), schema=_LETTERS)
