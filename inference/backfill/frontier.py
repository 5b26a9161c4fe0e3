"""How far the lake is whole: up to where every raw payment has its row in the feature log, or its answer.

The log is archived a partition of terminals at a time, so a customer's newest rows may be missing in the
middle. All payments of a customer lie in one raw partition, whose order every later topic keeps for them;
so below the first raw record that is still under way, nothing is missing. A repeat of a payment that the run
before had is answered by the seed.
"""

from collections.abc import Mapping
from typing import NamedTuple

import duckdb
import pyarrow as pa

from inference.lake.beginning import remembered
from inference.lake.lake import Lake
from inference.lake.sql import register

_FRONTIER = """
WITH pending AS (
    SELECT raw.partition, raw."offset", raw.transaction_id FROM raw
    WHERE NOT EXISTS (SELECT 1 FROM log WHERE raw_partition = raw.partition AND raw_offset = raw."offset")
), unanswered AS (
    SELECT partition, "offset" FROM pending
    WHERE NOT EXISTS (SELECT 1 FROM log WHERE log.transaction_id = pending.transaction_id)
      AND NOT EXISTS (
        SELECT 1 FROM dlq WHERE origin_partition = pending.partition AND origin_offset = pending."offset")
      AND NOT EXISTS (SELECT 1 FROM remembered WHERE remembered.transaction_id = pending.transaction_id)
)
SELECT r.partition, least(coalesce(u.first, r.newest + 1), r.newest + 1), coalesce(u.count, 0)
FROM (SELECT partition, max("offset") AS newest FROM raw GROUP BY partition) AS r
LEFT JOIN (
    SELECT partition, min("offset") AS first, count(*) AS count FROM unanswered GROUP BY partition
) AS u ON u.partition = r.partition
"""
_FACTS = """
SELECT count(*) FROM log LEFT JOIN raw ON raw.partition = log.raw_partition AND raw."offset" = log.raw_offset
WHERE raw."offset" IS NULL OR raw.transaction_id <> log.transaction_id OR raw.customer_id <> log.customer_id
   OR raw.terminal_id <> log.terminal_id OR raw.event_time <> log.event_time
   OR raw.amount_minor <> log.amount_minor
"""
_RAW = {"transaction_id": pa.string()}
_WHO = {name: pa.string() for name in ("transaction_id", "customer_id", "terminal_id")}
_DETAILS = {**_WHO, "event_time": pa.int64(), "amount_minor": pa.int64()}
_PLACE = {"raw_partition": pa.int32(), "raw_offset": pa.int64()}
ORIGIN = {"origin_partition": pa.int64(), "origin_offset": pa.int64()}


class Frontier(NamedTuple):
    """By raw partition, the first offset that may not be used yet; and how many raw payments are pending."""

    before: Mapping[int, int]
    pending: int


def frontier(lake: Lake, database: duckdb.DuckDBPyConnection) -> Frontier:
    """Return how far payments can be relied on.

    Raises:
        StateError: E_LAKE_EMPTY, there are no raw payments.
    """
    register(database, lake, "transactions", "raw", _RAW)
    register(database, lake, "features", "log", _RAW | _PLACE)
    register(database, lake, "transactions_dlq", "dlq", ORIGIN)
    database.register("remembered", remembered(lake))
    rows = database.execute(_FRONTIER).fetchall()
    return Frontier({int(p): int(before) for p, before, _ in rows}, sum(int(count) for *_, count in rows))


def facts_differing(lake: Lake, database: duckdb.DuckDBPyConnection) -> int:
    """Return how many rows of the feature log say other facts than their raw record, or have none."""
    register(database, lake, "transactions", "raw", _DETAILS)
    register(database, lake, "features", "log", _DETAILS | _PLACE)
    return int(database.execute(_FACTS).fetchall()[0][0])
