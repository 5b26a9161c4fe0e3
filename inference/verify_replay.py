"""Recompute what the stream said, from the raw events in the order of the log, and compare bit for bit."""

from collections.abc import Mapping

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.frame import Columns, Kind, length, take
from features.definition import Entity
from features.state import EntityState

Floats = NDArray[np.float64]


class Compared(msgspec.Struct, kw_only=True):
    """One entity's outcome: rows compared, and by feature how many values differ and how.

    `missing` has a value only when recomputed, `extra` only in the log, `mismatch` two different ones.
    """

    keys: int
    rows: int
    rows_wrong: int
    late_flags_wrong: int
    features: dict[str, dict[str, int]]
    examples: list[dict[str, object]]


def replay(entity: Entity, rows: Columns) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the as-of values (n, k) and the late flags of rows of any kinds, given in log order.

    Args:
        rows: `kind` beside the columns that the entity's views read; labels and payments may alternate.
    """
    state = EntityState(entity)
    values = np.empty((length(rows), len(entity.columns)))
    late = np.zeros(length(rows), np.bool_)
    kinds = rows["kind"]
    starts = np.flatnonzero(np.append(True, np.diff(kinds) != 0)) if len(kinds) else np.empty(0, np.int64)
    for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(kinds)], strict=True):
        part = slice(begin, end)
        applied = state.apply(take(rows, part), Kind(int(kinds[begin])))
        values[part], late[part] = applied.values, applied.late
    return values, late


def compare(entity: Entity, rows: Columns, logged: Floats, late: NDArray[np.bool_]) -> Compared:
    """Return how the log differs from a recomputation of the same rows.

    Args:
        rows: as `replay` takes them, with `transaction_id`.
        logged: (n, k) what the feature log holds; late: (n,) its late flags, kept for payments only.
    """
    again, late_again = replay(entity, rows)
    null, null_again = np.isnan(logged), np.isnan(again)
    differ = (logged.view(np.uint64) != again.view(np.uint64)) & ~(null & null_again)
    late_wrong = (late != late_again) & (rows["kind"] == Kind.PAYMENT)
    by_feature = {
        name: {
            "missing": int((null[:, i] & ~null_again[:, i]).sum()),
            "extra": int((~null[:, i] & null_again[:, i]).sum()),
            "mismatch": int((differ[:, i] & ~null[:, i] & ~null_again[:, i]).sum()),
        }
        for i, name in enumerate(entity.columns)
    }
    return Compared(
        keys=len(np.unique(rows[entity.join_key])), rows=length(rows),
        rows_wrong=int(differ.any(axis=1).sum()), late_flags_wrong=int(late_wrong.sum()),
        features={name: counts for name, counts in by_feature.items() if any(counts.values())},
        examples=_examples(entity, rows, differ, logged, again),
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
    entity: Entity, rows: Columns, differ: NDArray[np.bool_], logged: Floats, again: Floats, most: int = 5
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
