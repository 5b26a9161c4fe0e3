"""Rows folded again against what the log holds of them, bit for bit."""

from typing import Any

import msgspec
import numpy as np

from contracts.chain import Link
from contracts.pipeline import SCORED
from features.definition import Entity
from inference.offline.fold.fold import Folded
from inference.offline.fold.rows import EVENT_ID
from inference.offline.lake.differences import Differences, differences, wrong_bits

EXAMPLES = 5


class Comparison(msgspec.Struct, kw_only=True):
    """How rows differ; `values` were compared, `not_logged` rows were archived without some columns."""

    values: int = 0
    differences: Differences = msgspec.field(default_factory=lambda: Differences(features={}, days={}))
    late_flags_wrong: int = 0
    not_logged: int = 0
    examples: list[dict[str, Any]] = msgspec.field(default_factory=list)

    @property
    def wrong(self) -> int:
        """Return how many rows and flags differ."""
        return self.differences.rows_wrong + self.late_flags_wrong

    def take(self, link: Link, entity: Entity, folded: Folded) -> None:
        """Compare rows, read with what the log holds; a column that was not declared then is not compared."""
        rows, applied = folded
        expected = np.where(rows.held, applied.values, np.nan)
        self.values += int(rows.held.sum())
        self.not_logged += int((~rows.held.all(axis=1)).sum())
        self.differences.add(differences(entity.columns, expected, rows.values, applied.as_of_ms))
        late = (rows.columns["late"] & link.late_bit) != 0
        self.late_flags_wrong += int(((late != applied.late) & (rows.columns["kind"] == SCORED)).sum())
        room = EXAMPLES - len(self.examples)
        for row, column in np.argwhere(wrong_bits(expected, rows.values))[:room].tolist():
            self.examples.append(
                {
                    EVENT_ID: rows.columns[EVENT_ID][row].decode(),
                    entity.join_key: rows.columns[entity.join_key][row].decode(),
                    "pos": int(rows.columns["pos"][row]), "feature": entity.columns[column],
                    "logged": _number(rows.values[row, column]),
                    "recomputed": _number(expected[row, column]),
                }
            )  # fmt: skip

    def add(self, other: "Comparison") -> None:
        """Take in what was compared elsewhere."""
        self.values += other.values
        self.differences.add(other.differences)
        self.late_flags_wrong += other.late_flags_wrong
        self.not_logged += other.not_logged
        self.examples += other.examples[: EXAMPLES - len(self.examples)]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
