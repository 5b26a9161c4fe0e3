"""Columns as they are on the wire, as expressions take them: where they are null, and truth values.

On the wire a text that is null is empty, a whole number, decimal, time or truth value that is null is the
smallest 64-bit number; truth values are 0 and 1.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.expressions.evaluate import Nullable
from features.expressions.types import Schema

NULL = np.iinfo(np.int64).min


def is_null(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a column of the wire is null, (n,).

    >>> is_null(np.array([b"a", b""])), is_null(np.array([0, NULL]))
    (array([False,  True]), array([False,  True]))
    """
    found: NDArray[np.bool_] = column == (b"" if column.dtype.kind == "S" else NULL)
    return found


def columns_of_wire(
    rows: Mapping[str, NDArray[Any]], schema: Schema, names: Iterable[str]
) -> dict[str, NDArray[Any] | Nullable]:
    """Return columns of the wire as `Program.evaluate` takes them.

    Args:
        names: those that are wanted; each is in the schema, which says its kind and whether it may be null.

    >>> from features.expressions import Program, boolean, parse
    >>> schema = {"seen": boolean(nullable=True)}
    >>> given = columns_of_wire({"seen": np.array([1, 0, NULL])}, schema, ["seen"])
    >>> Program({"unseen": parse("not seen")}, schema).floats(given)["unseen"]
    array([ 0.,  1., nan])
    """
    return {name: _column(rows[name], schema[name].kind, schema[name].nullable) for name in names}


def _column(column: NDArray[Any], kind: str, nullable: bool) -> NDArray[Any] | Nullable:
    if kind == "float":
        return column  # NaN is null
    values = column == 1 if kind == "bool" else column
    if kind in ("int", "decimal", "time") and values.dtype != np.int64:
        values = values.astype(np.int64)
    return Nullable(values, is_null(column)) if nullable else values
