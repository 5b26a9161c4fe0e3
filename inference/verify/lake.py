"""The lake's rows as verification needs them: raw facts joined to the positions that order them."""

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.frame import Columns, Kind
from features.definition import Entity
from inference.lake.beginning import remembered
from inference.lake.lake import Lake
from inference.verify.replay import columns_of

Floats = NDArray[np.float64]
CUSTOMER_LATE, TERMINAL_LATE = 1, 2  # bits of the column `late`

# What was paid comes from the raw record, its place in the order from the feature log.
_CUSTOMER_ROWS = """
SELECT f.row, raw.transaction_id, raw.customer_id, raw.terminal_id, raw.event_time, raw.amount_minor,
       f.customer_partition AS partition, f.customer_pos AS pos, CAST($payment AS TINYINT) AS kind
FROM log AS f JOIN raw ON raw.partition = f.raw_partition AND raw.offset = f.raw_offset
ORDER BY f.customer_partition, f.customer_pos
"""
_TERMINAL_ROWS = """
SELECT * FROM (
    SELECT f.row, raw.transaction_id, raw.customer_id, raw.terminal_id, raw.event_time, raw.amount_minor,
           CAST(0 AS TINYINT) AS label, CAST(0 AS BIGINT) AS label_time,
           f.terminal_partition AS partition, f.terminal_pos AS pos, CAST($payment AS TINYINT) AS kind
    FROM log AS f JOIN raw ON raw.partition = f.raw_partition AND raw.offset = f.raw_offset
    UNION ALL
    SELECT l.row, raw.transaction_id, raw.customer_id, raw.terminal_id, raw.event_time,
           CAST(0 AS BIGINT), CAST(raw.label = 'fraud' AS TINYINT), raw.label_time,
           l.partition, l.terminal_pos, CAST($label AS TINYINT)
    FROM labels AS l JOIN raw_labels AS raw ON raw.partition = l.raw_partition AND raw.offset = l.raw_offset
) ORDER BY partition, pos
"""
_RAW = ["offset", "transaction_id", "customer_id", "terminal_id", "event_time"]
_LOG = [
    "transaction_id", "customer_id", "terminal_id", "event_time", "raw_partition", "raw_offset",
    "customer_partition", "customer_pos", "terminal_partition", "terminal_pos", "late",
]  # fmt: skip


_TYPES = {
    "transaction_id": pa.string(), "customer_id": pa.string(), "terminal_id": pa.string(),
    "label": pa.string(), "event_time": pa.int64(), "label_time": pa.int64(),
    "raw_partition": pa.int32(), "raw_offset": pa.int64(),
    "terminal_pos": pa.int64(), "offset": pa.int64(), "partition": pa.int32(), "origin_topic": pa.string(),
    "origin_partition": pa.int64(), "origin_offset": pa.int64(),
}  # fmt: skip
# A payment follows one path of partitions, and a path keeps its order: what is beyond the end of the
# slowest path may still be under way.
_UNANSWERED = """
WITH arrived AS (
    SELECT raw_partition, min(newest) AS newest FROM (
        SELECT raw_partition, customer_partition, terminal_partition, max(raw_offset) AS newest
        FROM log GROUP BY ALL) GROUP BY raw_partition
)
SELECT count(*) FROM raw JOIN arrived ON raw.partition = arrived.raw_partition
WHERE raw.offset < arrived.newest
  AND NOT EXISTS (SELECT 1 FROM log WHERE raw_partition = raw.partition AND raw_offset = raw.offset)
  AND NOT EXISTS (SELECT 1 FROM log WHERE log.transaction_id = raw.transaction_id)
  AND NOT EXISTS (SELECT 1 FROM dlq WHERE origin_partition = raw.partition AND origin_offset = raw.offset)
  AND NOT EXISTS (SELECT 1 FROM remembered WHERE remembered.transaction_id = raw.transaction_id)
"""


def payments(lake: Lake) -> pa.Table:
    """Return the feature log's payments without their values, with their row number in the dataset."""
    return _numbered(lake.read("features", _LOG))


def labels(lake: Lake) -> pa.Table:
    """Return the feature log's labels without their values; none when none has come yet."""
    columns = ["transaction_id", "terminal_id", "label_time", "raw_partition", "raw_offset", "terminal_pos"]
    return _numbered(_or_empty(lake, "label_log", columns))


def customer_rows(lake: Lake, log: pa.Table) -> pa.Table:
    """Return the raw facts of these payments in the customer stage's order."""
    with duckdb.connect() as database:
        database.execute("SET threads = 1")
        database.register("log", log)
        database.register("raw", lake.read("transactions", [*_RAW, "amount_minor"]))
        return database.sql(_CUSTOMER_ROWS, params={"payment": int(Kind.PAYMENT)}).to_arrow_table()


def terminal_rows(lake: Lake, log: pa.Table, label_log: pa.Table) -> pa.Table:
    """Return the raw facts of these payments and labels in the terminal stage's order."""
    with duckdb.connect() as database:
        database.execute("SET threads = 1")
        database.register("log", log)
        database.register("labels", label_log)
        database.register("raw", lake.read("transactions", [*_RAW, "amount_minor"]))
        database.register("raw_labels", _or_empty(lake, "labels", [*_RAW, "label", "label_time"]))
        kinds = {"payment": int(Kind.PAYMENT), "label": int(Kind.LABEL)}
        return database.sql(_TERMINAL_ROWS, params=kinds).to_arrow_table()


def unanswered(lake: Lake, log: pa.Table, customers: NDArray[np.bytes_]) -> int:
    """Return how many raw payments of these customers came neither out of the stream nor back refused.

    A repeated transaction id counts as answered by the first one, also by one that the lake's seed remembers;
    what may still be under way is left out.
    """
    raw = only_keys(lake.read("transactions", _RAW), "customer_id", customers)
    with duckdb.connect() as database:
        database.execute("SET threads = 1")
        database.register("log", log)
        database.register("raw", raw)
        database.register("dlq", _or_empty(lake, "transactions_dlq", ["origin_partition", "origin_offset"]))
        database.register("remembered", remembered(lake))
        found = database.execute(_UNANSWERED).fetchone()
    return int(found[0]) if found else 0


def kernel_columns(rows: pa.Table) -> Columns:
    """Return ordered rows as the kernel reads them."""
    found = columns_of(rows, {name: name for name in rows.column_names})
    return {**found, "label": found["label"].astype(np.uint8)} if "label" in found else found


def logged_values(lake: Lake, entity: Entity, rows: Columns) -> tuple[Floats, NDArray[np.bool_]]:
    """Return (n, k): what the log holds for each ordered row, and where it holds the column at all.

    A row that was made before a feature was declared does not hold it.
    """
    values = np.full((len(rows["row"]), len(entity.columns)), np.nan)
    held = np.zeros(values.shape, np.bool_)
    for dataset, kind in (("features", Kind.PAYMENT), ("label_log", Kind.LABEL)):
        which = np.flatnonzero(rows["kind"] == kind)
        if len(which):
            table = lake.read(dataset, list(entity.columns)).take(pa.array(rows["row"][which]))
            for at, name in enumerate(entity.columns):
                if name in table.column_names:
                    column = table[name].combine_chunks()
                    values[which, at] = column.fill_null(np.nan).to_numpy(zero_copy_only=False)
                    held[which, at] = column.is_valid().to_numpy(zero_copy_only=False)
    return values, held


def logged_late(lake: Lake, rows: Columns, bit: int) -> NDArray[np.bool_]:
    """Return (n,): the late flag of each ordered row; a label's is not kept and counts as not late."""
    late = np.zeros(len(rows["row"]), np.bool_)
    which = rows["kind"] == Kind.PAYMENT
    flags = lake.read("features", ["late"])["late"].to_numpy()
    late[which] = (flags[rows["row"][which]] & bit) != 0
    return late


def only_keys(table: pa.Table, column: str, keys: NDArray[np.bytes_]) -> pa.Table:
    """Return the rows of these keys."""
    names = pa.array([key.decode() for key in keys.tolist()], pa.string())
    return table.filter(pc.is_in(table[column], value_set=names))


def _or_empty(lake: Lake, dataset: str, columns: list[str]) -> pa.Table:
    if lake.has(dataset):
        return lake.read(dataset, columns)
    names = [*dict.fromkeys([*columns, "offset", "partition"])]
    return pa.table({name: pa.array([], _TYPES[name]) for name in names})


def _numbered(table: pa.Table) -> pa.Table:
    return table.append_column("row", pa.array(np.arange(table.num_rows, dtype=np.int64)))
