"""The customer stage's rows: repeats fall out, the customer's windows move, payments go to the terminal."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, Kind, length, take
from contracts.keys import partition_of
from contracts.row_columns import EVENT_COLUMNS
from features.catalog import CUSTOMER
from features.definition import Entity
from features.meaning import meaning_of
from features.state import EntityState
from streams.stage.core import Entry, Outcome
from streams.stage.entity_rows import changed_rows, entity_entries, latest_rows, load_entities
from streams.stage.seen_transactions import SeenTransactions
from streams.store.rows import StoreRows

CONFLICT = "E_DUP_CONFLICT"
LATE_FOR_CUSTOMER = 1
CHUNK = b"i"


class CustomerRows:
    """State and outputs of one partition of `events.customer`."""

    columns: Mapping[int, frozenset[str]] = {Kind.EVENT: EVENT_COLUMNS}

    def __init__(self, partition: int, output_partitions: int, entity: Entity = CUSTOMER) -> None:
        self.tiles = False
        self._partition = partition
        self._output_partitions = output_partitions
        self._state = EntityState(entity)
        self._definitions = meaning_of(entity).code
        self._seen = SeenTransactions()

    def __len__(self) -> int:
        return len(self._state)

    def apply(self, kind: int, rows: Columns) -> Outcome:
        """Return PAYMENT rows with the customer's values as of each payment, keyed by terminal."""
        verdict = self._seen.judge(rows["transaction_id"], rows["content_hash"], rows["event_time"])
        refused = [_refusal(rows, row) for row in np.flatnonzero(verdict.conflict).tolist()]
        if not verdict.first.all():
            rows = take(rows, verdict.first)
        applied = self._state.apply(rows, kind)
        payments = _payments(rows, self._partition, applied.values, applied.late)
        payments["customer_definitions"] = np.full(length(rows), self._definitions, np.uint64)
        return Outcome(
            kind=Kind.PAYMENT,
            rows=payments,
            targets=partition_of(rows["terminal_id"], self._output_partitions),
            store_rows=changed_rows(self._state, rows["customer_id"], applied, rows["pos"], self.tiles),
            refused=refused,
            late=int(applied.late.sum()),
            repeats=int(verdict.repeat.sum()),
        )

    def take_dirty(self) -> list[Entry]:
        """Return the changed customers and the chunks of remembered ids that came or went."""
        chunks: list[Entry] = [(CHUNK + b"%020d" % number, blob) for number, blob in self._seen.take_dirty()]
        return entity_entries(self._state) + chunks

    def load(self, entries: Mapping[bytes, bytes], extra: Mapping[str, int]) -> None:
        """Take over customers, remembered ids and the clock they age by."""
        load_entities(self._state, entries)
        chunks = {int(key[1:]): blob for key, blob in entries.items() if key[:1] == CHUNK}
        self._seen.load(chunks, extra.get("newest_ms", 0))

    def extra(self) -> dict[str, int]:
        """Return the partition's clock, by which remembered ids age."""
        return {"newest_ms": self._seen.newest_ms}

    def latest(self) -> StoreRows:
        """Return the store's row of every customer."""
        return latest_rows(self._state, self.tiles)


def _payments(rows: Columns, partition: int, values: NDArray[np.float64], late: NDArray[np.bool_]) -> Columns:
    payments = {name: column for name, column in rows.items() if name != "content_hash"}
    payments["customer_partition"] = np.full(length(rows), partition, np.int32)
    payments["customer_pos"] = rows["pos"]
    payments["customer_values"] = values
    payments["late"] = late.astype(np.uint8) * np.uint8(LATE_FOR_CUSTOMER)
    return payments


def _refusal(rows: Columns, row: int) -> tuple[str, str, dict[str, Any]]:
    """Return code, reason and columns of a row whose id was used within 24 h for another content."""
    values = {name: column[row].item() for name, column in rows.items() if name != "content_hash"}
    return (CONFLICT, "this transaction_id was used within 24 h for other content", values)
