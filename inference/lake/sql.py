"""Datasets of the lake as views of a DuckDB database, whose queries may spill to disk."""

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from inference.lake.lake import Lake

MEMORY_MB = 512


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
) -> None:
    """Make a view of a dataset's rows, each once, with `partition` and `offset`; empty without files.

    Args:
        name: of the view; one of that name is replaced.
        columns: those wanted, and the types that they have when the dataset has no file.
    """
    files = lake.files(dataset)
    if not files:
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
    wanted = ", ".join(f'f."{column}"' for column in columns)
    listed = ", ".join("'" + str(file.path).replace("'", "''") + "'" for file in files)
    source = f"read_parquet([{listed}], filename = true, hive_partitioning = false, union_by_name = true)"
    connection.execute(
        f'CREATE OR REPLACE TEMP VIEW {name} AS SELECT {wanted}, b.number AS partition, f."offset"'  # noqa: S608  # our own names
        f" FROM {source} AS f JOIN {name}_files AS b ON b.path = f.filename"
        ' WHERE b.before IS NULL OR f."offset" < b.before'
    )
