"""Datasets of the lake as views of a DuckDB database, whose queries may spill to disk."""

from collections.abc import Collection, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from inference.offline.lake.lake import Lake

MEMORY_MB = 512


def quoted(name: str, of: str = "") -> str:
    """Return a name as SQL text has it, whatever word it is: a column that is a keyword is a column.

    Every name that is not written in a query itself, a feature's above all, goes through here.

    >>> print(quoted("at"), quoted("order", of="f"))
    "at" "f"."order"
    """
    text = '"' + name.replace('"', '""') + '"'
    return f"{quoted(of)}.{text}" if of else text


def literal(text: str) -> str:
    """Return a text as an SQL literal.

    >>> print(literal("it's"))
    'it''s'
    """
    return "'" + text.replace("'", "''") + "'"


def database(folder: Path, memory_mb: int = MEMORY_MB) -> duckdb.DuckDBPyConnection:
    """Return a database in memory, of one thread, that spills to `folder` beyond `memory_mb`."""
    connection = duckdb.connect(
        config={"threads": 1, "memory_limit": f"{memory_mb}MB", "temp_directory": str(folder)}
    )
    connection.execute("SET enable_progress_bar = false")
    return connection


def register(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    dataset: str,
    name: str,
    columns: Mapping[str, pa.DataType],
    may_lack: Collection[str] = (),
) -> None:
    """Make a view of a dataset's rows, each once, with `partition` and `offset`; empty without files.

    Args:
        name: of the view; one of that name is replaced.
        columns: those wanted, and the types that they have when the dataset has no file.
        may_lack: columns that are null where no file has them.
    """
    files = lake.files(dataset)
    if not files:
        connection.execute(f"DROP VIEW IF EXISTS {quoted(name)}")
        types = {**columns, "partition": pa.int32(), "offset": pa.int64()}
        connection.register(name, pa.table({key: pa.array([], kind) for key, kind in types.items()}))
        return
    bounds = pa.table(
        {
            "path": pa.array([str(file.path) for file in files]),
            "number": pa.array([file.partition for file in files], pa.int32()),
            "before": pa.array([file.before_offset for file in files], pa.int64()),
        }
    )
    connection.register(f"{name}_files", bounds)
    listed = ", ".join(literal(str(file.path)) for file in files)
    source = f"read_parquet([{listed}], filename = true, hive_partitioning = false, union_by_name = true)"
    there = set(may_lack) and set(connection.sql(f"FROM {source} LIMIT 0").columns)
    wanted = ", ".join(
        f"NULL AS {quoted(column)}" if column in may_lack and column not in there else quoted(column, of="f")
        for column in columns
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS"  # noqa: S608  # all names are quoted
        f' SELECT {wanted}, b."number" AS "partition", f."offset"'
        f' FROM {source} AS f JOIN {quoted(name + "_files")} AS b ON b."path" = f."filename"'
        ' WHERE b."before" IS NULL OR f."offset" < b."before"'
    )
