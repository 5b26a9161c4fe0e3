"""Plain tables of values: kept as Parquet, compared bit by bit. Nothing here knows the service.

A table has key columns and value columns. A number is a float64 or an integer, null where there is none; a
NaN is a null, and 0.0 and -0.0 are two values. Everything else is text.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

KEYS = {
    "features": ("row",), "label_features": ("row",), "vectors": ("row",), "decisions": ("row",),
    "refused": ("row",), "store_customer": ("key",), "store_terminal": ("key",), "moment_customer": ("key",),
    "moment_terminal": ("key",), "quality": ("record",),
}  # fmt: skip
SHOWN = 20
Tables = Mapping[str, pa.Table]


class Difference(NamedTuple):
    """One value that is another than before; `ulps` is how many floats two floats are apart."""

    table: str
    key: str
    column: str
    golden: str
    found: str
    ulps: int | None = None

    def __str__(self) -> str:
        apart = "" if self.ulps is None else f" ({self.ulps} ulps apart)"
        return f"{self.table} {self.key}, {self.column}: {self.golden} was {self.found}{apart}"


def table(columns: Mapping[str, object]) -> pa.Table:
    """Return a table; NaN becomes null, text is text.

    >>> table({"row": [1, 2], "x": np.array([1.0, np.nan])})["x"].to_pylist()
    [1.0, None]
    """
    made = {}
    for name, column in columns.items():
        array = pa.array(column)
        if pa.types.is_floating(array.type):
            values = np.asarray(array.to_numpy(zero_copy_only=False), np.float64)
            array = pa.array(values, mask=np.isnan(values))
        made[name] = array
    return pa.table(made)


def in_order(name: str, found: pa.Table) -> pa.Table:
    """Return a table by its keys."""
    return found.sort_by([(key, "ascending") for key in KEYS[name]])


def write(folder: Path, tables: Tables) -> None:
    """Write each table to a file of its own, as small as it gets."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in tables.items():
        pq.write_table(
            in_order(name, one), folder / f"{name}.parquet", compression="zstd", compression_level=19,
            use_byte_stream_split=False,
        )  # fmt: skip


def read(folder: Path) -> dict[str, pa.Table]:
    """Return the tables that a folder holds."""
    return {path.stem: pq.read_table(path) for path in sorted(folder.glob("*.parquet"))}


def differences(golden: Tables, found: Tables) -> list[Difference]:
    """Return every value that differs, every row and column that only one side has."""
    made = []
    for name in sorted(golden.keys() | found.keys()):
        if name not in golden or name not in found:
            made.append(Difference(name, "", "", _there(name in golden), _there(name in found)))
            continue
        made += _of_table(name, in_order(name, golden[name]), in_order(name, found[name]))
    return made


def _of_table(name: str, golden: pa.Table, found: pa.Table) -> list[Difference]:
    first, second = _keys(name, golden), _keys(name, found)
    if first != second:
        apart = sorted(set(first) ^ set(second))
        mine = set(first)
        return [
            Difference(name, key, "row", _there(key in mine), _there(key not in mine)) for key in apart
        ] or [Difference(name, "", "row", f"{len(first)} rows", f"{len(second)} rows")]
    columns = dict.fromkeys([*golden.column_names, *found.column_names])
    return [one for column in columns for one in _of_column(name, column, golden, found, first)]


def _of_column(
    name: str, column: str, golden: pa.Table, found: pa.Table, keys: list[str]
) -> list[Difference]:
    there = (column in golden.column_names, column in found.column_names)
    if not all(there):
        return [Difference(name, "", column, _there(there[0]), _there(there[1]))]
    old, new = _bits(golden[column]), _bits(found[column])
    if old.dtype != new.dtype:
        return [Difference(name, "", column, str(golden[column].type), str(found[column].type))]
    apart = np.flatnonzero(old != new).tolist()
    mine, other = golden[column].to_pylist(), found[column].to_pylist()
    return [
        Difference(name, keys[at], column, repr(mine[at]), repr(other[at]), _ulps(mine[at], other[at]))
        for at in apart
    ]


def _bits(column: pa.ChunkedArray) -> np.ndarray:
    """Return values that are equal where the column's are, bit for bit; a null is a text of its own."""
    if pa.types.is_floating(column.type):
        values = np.asarray(column.to_numpy(), np.float64)
        return np.where(np.isnan(values), np.int64(-1), values.view(np.int64))  # -1 is a NaN's bits too
    if pa.types.is_integer(column.type) and not column.null_count:
        return np.asarray(pc.cast(column, pa.int64()).to_numpy())
    return np.array([repr(value) for value in column.to_pylist()], object)


def _ulps(old: object, new: object) -> int | None:
    if not isinstance(old, float) or not isinstance(new, float):
        return None
    return abs(_rank(old) - _rank(new))


def _rank(value: float) -> int:
    """Return a number that grows by one from a float to the next."""
    bits = int(np.float64(value).view(np.int64))
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def _keys(name: str, one: pa.Table) -> list[str]:
    columns = [one[key].to_pylist() for key in KEYS[name]]
    return ["/".join(str(part) for part in parts) for parts in zip(*columns, strict=True)]


def _there(is_there: bool) -> str:
    return "there" if is_there else "not there"


def digests(tables: Tables) -> dict[str, str]:
    """Return a digest of each column's bits, by `table.column`, and each table's rows: for what is too large.

    >>> sorted(digests({"refused": table({"row": [2, 1], "code": ["E_A", "E_B"]})}))
    ['refused', 'refused.code', 'refused.row']
    """
    made = {}
    for name, one in tables.items():
        ordered = in_order(name, one)
        made[name] = f"{one.num_rows} rows"
        for column in ordered.column_names:
            bits = _bits(ordered[column])
            data = "\n".join(bits.tolist()).encode() if bits.dtype == object else bits.tobytes()
            made[f"{name}.{column}"] = hashlib.sha256(data).hexdigest()[:32]
    return made


def report(found: list[Difference]) -> str:
    """Return what differs for people: how many values of which columns, and the first of them."""
    counts: dict[str, int] = {}
    for one in found:
        name = f"{one.table}.{one.column}"
        counts[name] = counts.get(name, 0) + 1
    lines = [f"{len(found)} values differ:"]
    lines += [f"  {count:>6} {name}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1])][
        :SHOWN
    ]
    return "\n".join([*lines, *(f"  {one}" for one in found[:SHOWN])])
