"""Is another run's lake whole, so that a new run can begin where it ends; and where is that?"""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from contracts.errors import StateError
from features.seeded import Bounds
from inference.backfill.frontier import ORIGIN, facts_differing, frontier
from inference.lake.lake import FixedLake, ends_of, whole_flushes
from inference.lake.sql import register

_NEWEST = "SELECT {partition}, max({place}) + 1 FROM {rows} GROUP BY {partition}"
_LABELS_WITHOUT_ROW = """
SELECT count(*) FROM raw_labels AS raw
WHERE NOT EXISTS (
    SELECT 1 FROM label_log WHERE raw_partition = raw.partition AND raw_offset = raw."offset")
  AND NOT EXISTS (
    SELECT 1 FROM labels_dlq WHERE origin_partition = raw.partition AND origin_offset = raw."offset")
"""
_LABELS_WITHOUT_RAW = """
SELECT count(*) FROM label_log AS log
WHERE NOT EXISTS (
    SELECT 1 FROM raw_labels WHERE partition = log.raw_partition AND "offset" = log.raw_offset)
"""
_PLACES = {
    "customer_partition": pa.int32(), "customer_pos": pa.int64(),
    "terminal_partition": pa.int32(), "terminal_pos": pa.int64(),
}  # fmt: skip
_LABEL = {"raw_partition": pa.int32(), "raw_offset": pa.int64(), "terminal_pos": pa.int64()}


def bounds_of(lake: FixedLake, database: duckdb.DuckDBPyConnection) -> Bounds:
    """Return how far a lake counts, all of it: its run has stopped and nothing of it is under way.

    Raises:
        StateError: E_LAKE_EMPTY, no payment is in it; E_SEED_UNDER_WAY, payments or labels have no row or
            answer yet; E_SEED_FACTS, its feature log says what no raw record says.
    """
    whole = frontier(lake, database)
    if not whole.before:
        lake.read("transactions", ["offset"])
    register(database, lake, "labels", "raw_labels", {"transaction_id": pa.string()})
    register(database, lake, "label_log", "label_log", _LABEL)
    register(database, lake, "labels_dlq", "labels_dlq", ORIGIN)
    labels = _count(database, _LABELS_WITHOUT_ROW)
    if whole.pending or labels:
        raise StateError(
            "E_SEED_UNDER_WAY", f"{whole.pending:,} payments and {labels:,} labels have no answer yet",
            str(lake.folder), "stop that run's producers, let its archive read to the end, then run again",
        )  # fmt: skip
    unfounded = facts_differing(lake, database) + _count(database, _LABELS_WITHOUT_RAW)
    if unfounded:
        raise StateError(
            "E_SEED_FACTS", f"{unfounded:,} rows of the feature log have no raw record that says the same",
            str(lake.folder), "let that run's archive read to the end; `headrace verify` there tells more",
        )  # fmt: skip
    return _bounds(lake, database, whole.before)


def _bounds(lake: FixedLake, database: duckdb.DuckDBPyConnection, raw_before: Mapping[int, int]) -> Bounds:
    register(database, lake, "features", "log", _PLACES)
    customers = _newest(database, "customer_partition", "customer_pos", "log")
    terminals = _newest(database, "terminal_partition", "terminal_pos", "log")
    for partition, place in _newest(database, "partition", "terminal_pos", "label_log").items():
        terminals[partition] = max(place, terminals.get(partition, 0))
    flushes = whole_flushes([file for name in ("features", "label_log") for file in lake.files(name)])
    return Bounds(
        raw_before=dict(sorted(raw_before.items())),
        labels_before=_newest(database, "partition", '"offset"', "raw_labels"),
        log_before=ends_of(flushes), below={"customer": customers, "terminal": terminals},
    )  # fmt: skip


def _newest(database: duckdb.DuckDBPyConnection, partition: str, place: str, rows: str) -> dict[int, int]:
    found = database.execute(_NEWEST.format(partition=partition, place=place, rows=rows)).fetchall()
    return {int(number): int(end) for number, end in sorted(found)}


def _count(database: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(database.execute(query).fetchall()[0][0])
