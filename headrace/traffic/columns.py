"""Columns of a Parquet file as the contract's JSON has them, where they can only mean one thing.

People's files come from pandas, from databases and from Spark. An identifier that is a number, a time that is
a timestamp, a whole number that a null has made a float, a category: each has one reading. A decimal amount
or a fraction has two (which unit?), and is refused with the column and its type.
"""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import ConfigError

IDS = ("transaction_id", "customer_id", "terminal_id")
TIMES = ("event_time", "label_time")
WHOLE = ("amount_minor",)
_MS = pa.timestamp("ms", "UTC")


def as_contract(table: pa.Table) -> pa.Table:
    """Return the table with columns of the contract's types; nulls stay, other columns are as they are.

    A timestamp without a zone is taken as UTC.

    Raises:
        ConfigError: E_INPUT_TYPE, a column has a type that could mean several things, or nothing.

    >>> as_contract(pa.table({"customer_id": [7], "amount_minor": [100.0]})).to_pylist()
    [{'customer_id': '7', 'amount_minor': 100}]
    """
    columns = {name: _plain(table[name]) for name in table.column_names}
    for names, read in ((IDS, _identifier), (TIMES, _time), (WHOLE, _whole)):
        for name in names:
            if name in columns:
                columns[name] = read(name, columns[name])
    return pa.table(columns)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a category as what it stands for."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _identifier(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    if pa.types.is_floating(column.type):
        return _whole(name, column).cast(pa.string())
    if _is_text(column.type) or pa.types.is_null(column.type):
        return column
    raise _refused(name, column, "give text or whole numbers")


def _time(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        zoned = column if column.type.tz else pc.assume_timezone(column, "UTC")
        return pc.floor_temporal(zoned, unit="millisecond").cast(_MS, safe=False).cast(pa.int64())
    return _whole(name, column, "give epoch milliseconds or a timestamp")


def _whole(
    name: str, column: pa.ChunkedArray, remedy: str = "give whole numbers of minor units"
) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type) or pa.types.is_null(column.type):
        return column
    if pa.types.is_floating(column.type):
        known = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        try:
            return known.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise _refused(name, column, f"{remedy} ({error})") from error
    raise _refused(name, column, remedy)


def _is_text(kind: pa.DataType) -> bool:
    tests: tuple[Callable[[pa.DataType], bool], ...] = (pa.types.is_string, pa.types.is_large_string)
    return any(test(kind) for test in tests)


def _refused(name: str, column: pa.ChunkedArray, remedy: str) -> ConfigError:
    return ConfigError("E_INPUT_TYPE", f"the column is {column.type}", name, remedy)
