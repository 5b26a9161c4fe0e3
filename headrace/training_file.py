"""A table as a file, Parquet or CSV by its name; it is whole or not there."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from contracts.errors import ConfigError
from runtime.atomic_file import replacing


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table; of a CSV file categories are texts, and null is an empty field.

    Raises:
        ConfigError: E_OUTPUT_FORMAT, the name says neither form.
    """
    write = _WRITE.get(path.suffix)
    if write is None:
        raise ConfigError(
            "E_OUTPUT_FORMAT",
            "neither a Parquet nor a CSV file",
            str(path),
            "call it FILE.parquet or FILE.csv",
        )
    with replacing(path) as file:
        write(table, file)


def _parquet(table: pa.Table, file: IO[bytes]) -> None:
    pq.write_table(table, file, compression="zstd")


def _csv(table: pa.Table, file: IO[bytes]) -> None:
    plain = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    csv.write_csv(pa.table(plain, names=table.column_names), file)


_WRITE: Mapping[str, Callable[[pa.Table, IO[bytes]], None]] = {".parquet": _parquet, ".csv": _csv}
