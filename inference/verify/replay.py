"""Recompute what the stream said, from the raw events in the order of the log, and compare bit for bit."""

import itertools
from collections.abc import Mapping

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.frame import Columns, Kind, length, take
from features.definition import Entity
from features.state import Applied, EntityState
from inference.lake.beginning import beginning
from inference.lake.differences import differences, wrong_bits
from inference.lake.lake import Lake
from inference.lake.log_order import fold

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Compared(msgspec.Struct, kw_only=True):
    """One entity's outcome: rows compared, and by feature how many values differ and how.

    `features` has those that differ: rows, missing (a value only when recomputed), extra (only in the log),
    mismatch (two different ones) and the mean symmetric error, in all and by day.
    """

    keys: int
    rows: int
    values: int
    rows_wrong: int
    late_flags_wrong: int
    features: dict[str, dict[str, object]]
    examples: list[dict[str, object]]


def replay(lake: Lake, entity: Entity, rows: Columns) -> Applied:
    """Return the as-of answers of rows of any kinds, given by partition of the stage and in log order.

    Args:
        lake: what the rows are of; each partition starts from its beginning.
        rows: `partition` and `kind` beside the columns that the entity's views read; labels and payments may
            alternate.

    Raises:
        StateError: as `inference.lake.beginning.beginning`.
    """
    if not length(rows):
        return fold(EntityState(entity), rows)
    edges = [0, *(np.flatnonzero(np.diff(rows["partition"])) + 1).tolist(), length(rows)]
    parts = [
        fold(beginning(lake, entity, int(rows["partition"][begin])), take(rows, slice(begin, end)))
        for begin, end in itertools.pairwise(edges)
    ]
    return Applied(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def compare(lake: Lake, entity: Entity, rows: Columns, logged: Floats, held: Mask, late: Mask) -> Compared:
    """Return how the log differs from a recomputation of the same rows.

    Args:
        lake: what the rows are of.
        rows: as `replay` takes them, with `transaction_id`.
        logged: (n, k) what the feature log holds; held: (n, k) where it holds the column at all, which a
            row that was made before the feature was declared does not; late: (n,) flags of payments.
    """
    again = replay(lake, entity, rows)
    expected = np.where(held, again.values, np.nan)
    found = differences(entity.columns, expected, logged, again.as_of_ms)
    late_wrong = (late != again.late) & (rows["kind"] == Kind.PAYMENT)
    return Compared(
        keys=len(np.unique(rows[entity.join_key])), rows=length(rows), values=int(held.sum()),
        rows_wrong=found.rows_wrong, late_flags_wrong=int(late_wrong.sum()), features=found.differing(),
        examples=_examples(entity, rows, wrong_bits(expected, logged), logged, expected),
    )  # fmt: skip


def columns_of(table: pa.Table, names: Mapping[str, str]) -> Columns:
    """Return columns of a table as arrays, under the names that the kernel knows.

    Args:
        names: kernel's name to table's name; text becomes bytes.
    """
    found: Columns = {}
    for ours, theirs in names.items():
        column = table[theirs]
        if pa.types.is_string(column.type):
            found[ours] = np.array(column.to_pylist(), dtype=np.bytes_)
        else:
            found[ours] = column.to_numpy()
    return found


def _examples(
    entity: Entity, rows: Columns, differ: Mask, logged: Floats, again: Floats, most: int = 5
) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for row, feature in np.argwhere(differ)[:most].tolist():
        found.append(
            {
                "transaction_id": rows["transaction_id"][row].decode(),
                entity.join_key: rows[entity.join_key][row].decode(),
                "pos": int(rows["pos"][row]),
                "feature": entity.columns[feature],
                "logged": _number(logged[row, feature]),
                "recomputed": _number(again[row, feature]),
            }
        )
    return found


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
