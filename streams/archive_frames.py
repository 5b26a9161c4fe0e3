"""Frames of the feature log as columns: every feature by name, and the timestamps Feast joins on."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.frame import Columns, Kind, concat, length
from features.catalog import CUSTOMER, TERMINAL

VALUES = {"customer_values": CUSTOMER.columns, "terminal_values": TERMINAL.columns}
TIMESTAMP = pa.timestamp("us", tz="UTC")  # Feast's DuckDB store cannot cast pandas' nanoseconds


def feature_table(parts: list[Columns], kind: Kind) -> pa.Table:
    """Return the rows of frames of one kind, in log order.

    A payment is stamped with its own time; a label with the time it became known, for that is when it
    counts. `created_timestamp` is when the broker appended the raw record.

    Raises:
        StateError: E_ARCHIVE_DEFINITIONS, the rows hold other features than this code declares.
    """
    rows = concat(aligned(parts))
    columns = {name: arrow(column) for name, column in rows.items() if name not in VALUES and name != "pos"}
    for group, names in VALUES.items():
        if group in rows:
            columns |= _named(rows[group], names, group)
    time = rows["label_time" if kind == Kind.LABEL else "event_time"]
    columns["event_timestamp"] = timestamps(time)
    columns["created_timestamp"] = timestamps(rows["appended_ms"])
    return pa.table(columns)


def aligned(parts: list[Columns]) -> list[Columns]:
    """Return the parts that hold rows, with one order of columns."""
    filled = [part for part in parts if length(part)]
    names = list(filled[0])
    return [{name: part[name] for name in names} for part in filled]


def timestamps(epoch_ms: NDArray[np.int64]) -> pa.Array:
    """Return epoch milliseconds as Arrow timestamps in UTC, shape (n,)."""
    return pa.array(epoch_ms * 1000, pa.int64()).cast(TIMESTAMP)


def arrow(column: NDArray[np.generic]) -> pa.Array:
    """Return a column as Arrow; bytes are UTF-8 text."""
    found = pa.array(np.ascontiguousarray(column))
    return found.cast(pa.string()) if pa.types.is_binary(found.type) else found


def _named(values: NDArray[np.float64], names: tuple[str, ...], group: str) -> dict[str, pa.Array]:
    if values.shape[1] != len(names):
        raise StateError(
            "E_ARCHIVE_DEFINITIONS", f"{values.shape[1]} values for {len(names)} declared features", group,
            "run the archive with the code that wrote the feature log",
        )  # fmt: skip
    return {name: arrow(values[:, i]) for i, name in enumerate(names)}
