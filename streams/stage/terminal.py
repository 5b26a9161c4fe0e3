"""The terminal stage's rows: payments and labels move the terminal's windows, in one log order."""

from collections.abc import Mapping

import numpy as np

from contracts.frame import Columns, Kind, length
from contracts.row_columns import LABEL_COLUMNS, PAYMENT_COLUMNS
from features.catalog import TERMINAL
from features.definition import Entity
from features.meaning import meaning_of
from features.state import EntityState
from streams.stage.core import Entry, Outcome
from streams.stage.entity_rows import changed_rows, entity_entries, latest_rows, load_entities
from streams.store.rows import StoreRows

LATE_FOR_TERMINAL = 2


class TerminalRows:
    """State and outputs of one partition of `events.terminal`; features.log keeps the partition's number."""

    columns: Mapping[int, frozenset[str]] = {Kind.PAYMENT: PAYMENT_COLUMNS, Kind.LABEL: LABEL_COLUMNS}

    def __init__(self, partition: int, output_partitions: int, entity: Entity = TERMINAL) -> None:
        self.tiles = False
        self._partition = partition
        self._state = EntityState(entity)
        self._definitions = meaning_of(entity).code

    def __len__(self) -> int:
        return len(self._state)

    def apply(self, kind: int, rows: Columns) -> Outcome:
        """Return FEATURE or LABEL rows with the terminal's values as of each."""
        applied = self._state.apply(rows, kind)
        made = dict(rows)
        made["terminal_pos"] = rows["pos"]
        made["terminal_values"] = applied.values
        made["terminal_definitions"] = np.full(length(rows), self._definitions, np.uint64)
        if kind == Kind.PAYMENT:
            made["terminal_partition"] = np.full(length(rows), self._partition, np.int32)
            made["late"] = rows["late"] | applied.late.astype(np.uint8) * np.uint8(LATE_FOR_TERMINAL)
        return Outcome(
            kind=Kind.FEATURE if kind == Kind.PAYMENT else Kind.LABEL,
            rows=made,
            targets=np.full(length(rows), self._partition, np.int32),
            store_rows=changed_rows(self._state, rows["terminal_id"], applied, rows["pos"], self.tiles),
            refused=[],
            late=int(applied.late.sum()),
        )

    def take_dirty(self) -> list[Entry]:
        """Return the changed terminals."""
        return entity_entries(self._state)

    def load(self, entries: Mapping[bytes, bytes], extra: Mapping[str, int]) -> None:
        """Take over terminals."""
        load_entities(self._state, entries)

    def extra(self) -> dict[str, int]:
        """Return nothing: the entity state holds all there is."""
        return {}

    def latest(self) -> StoreRows:
        """Return the store's row of every terminal."""
        return latest_rows(self._state, self.tiles)
