"""Any entity's stage: rows move the entity's windows, and go on with its values as of each."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length, take
from contracts.keys import key_of, targets_of
from contracts.pipeline import Pipeline, SourceStream
from contracts.row_columns import stage_columns
from features.definition import Entity
from features.meaning import meaning_of
from features.state import KEY, EntityState
from streams.stage.core import Entry, Outcome
from streams.stage.deduplication import Arrivals, Deduplication
from streams.stage.entity_rows import (
    CLOCK,
    changed_rows,
    entity_bytes,
    entity_entries,
    latest_rows,
    load_entities,
)
from streams.store.rows import StoreRows

CONFLICT = "E_DUP_CONFLICT"
CHUNK = b"i"
SEEN_CLOCK = b"d"  # by which ids are forgotten: rows of labels do not move it, and those of others that do

Refusal = tuple[str, str, dict[str, Any]]


class _Folded(NamedTuple):
    """What n rows became: values (n, features), which were late (n,), and the store's rows, if any."""

    values: NDArray[np.float64]
    late: NDArray[np.bool_]
    store_rows: StoreRows | None


class EntityStage:
    """State and outputs of one input partition.

    Rows of every source pass; those that have the entity's key move its windows. The chain's first stage lets
    repeated records fall out before they count. Behind the last stage rows keep their partition's number;
    before it they go by the next entity's key.
    """

    def __init__(self, pipeline: Pipeline, entity: Entity, partition: int, output_partitions: int) -> None:
        self.tiles = False
        self.pipeline = pipeline
        self._link = link = pipeline.chain.named(entity.name)
        self._next = pipeline.chain.after(link)
        self.columns: Mapping[int, frozenset[str]] = stage_columns(pipeline, link)
        self._partition = partition
        self._output_partitions = output_partitions
        self._state = EntityState(entity)
        self._definitions = meaning_of(entity).code
        self._read = frozenset(entity.times)
        self._seen = Deduplication() if link is pipeline.chain.first else None

    def __len__(self) -> int:
        return len(self._state)

    @property
    def used_bytes(self) -> int:
        """Bytes of state in use."""
        return self._state.used_bytes + (self._seen.used_bytes if self._seen else 0)

    def apply(self, kind: int, rows: Columns) -> Outcome:
        """Return the rows of a source with the entity's values as of each, for the next stage or the log."""
        source = self.pipeline.by_number[kind]
        rows, refused, repeats = self._without_repeats(source, rows)
        keys = key_of(rows, self._link.fields)
        if kind not in self._read:
            values, late, store_rows = self._pass_by(rows)
        elif source.always_has(self._link):
            values, late, store_rows = self._fold(rows, keys, kind)
        else:
            values, late, store_rows = self._fold_some(rows, keys, kind)
        made = self._with_values(rows, values)
        bits = late.astype(np.uint8) * np.uint8(self._link.late_bit)
        made["late"] = rows["late"] | bits if "late" in rows else bits
        return Outcome(
            kind=kind, rows=made, targets=self._targets(source, rows), store_rows=store_rows, refused=refused,
            late=int(late.sum()), repeats=repeats,
        )  # fmt: skip

    def _pass_by(self, rows: Columns) -> _Folded:
        """Let rows pass that the entity has no use for: they move no clock, and their values are null."""
        values = np.full((length(rows), len(self._state.entity.columns)), np.nan)
        return _Folded(values, np.zeros(length(rows), np.bool_), None)

    def _fold(self, rows: Columns, keys: NDArray[np.bytes_], kind: int) -> _Folded:
        """Fold rows that all have a key in."""
        applied = self._state.apply({**rows, KEY: keys}, kind)
        stored = changed_rows(self._state, keys, applied, rows["pos"], self.tiles)
        return _Folded(applied.values, applied.late, stored)

    def _fold_some(self, rows: Columns, keys: NDArray[np.bytes_], kind: int) -> _Folded:
        """Fold the rows that have a key in; the values of the others are null, and they move no clock."""
        which = np.flatnonzero(keys != b"")
        values, late, _ = self._pass_by(rows)
        if not len(which):
            return _Folded(values, late, None)
        folded = self._fold(take(rows, which), keys[which], kind)
        values[which], late[which] = folded.values, folded.late
        return _Folded(values, late, folded.store_rows)

    def take_dirty(self) -> list[Entry]:
        """Return the changed keys, and the chunks of remembered ids that came or went."""
        chunks: list[Entry] = []
        if self._seen is not None:
            chunks = [(CHUNK + b"%020d" % number, blob) for number, blob in self._seen.take_dirty()]
            chunks.append((SEEN_CLOCK, self._seen.clock.pack()))
        return entity_entries(self._state) + chunks

    def loaded_bytes(self, entries: Mapping[bytes, bytes]) -> int:
        """Return how many bytes the entries take at least, once loaded."""
        chunks = sum(len(blob) for key, blob in entries.items() if key[:1] == CHUNK)
        return entity_bytes(self._state, entries) + chunks

    def load(self, entries: Mapping[bytes, bytes], extra: Mapping[str, int]) -> None:
        """Take over keys, remembered ids and the clock that they age by."""
        load_entities(self._state, entries)
        if self._seen is not None:
            chunks = {int(key[1:]): blob for key, blob in entries.items() if key[:1] == CHUNK}
            self._seen.load(chunks, entries.get(SEEN_CLOCK, entries.get(CLOCK, b"")))

    def extra(self) -> dict[str, int]:
        """Return nothing: the clock has an entry of its own."""
        return {}

    def latest(self) -> StoreRows:
        """Return the store's row of every key."""
        return latest_rows(self._state, self.tiles)

    def _without_repeats(self, source: SourceStream, rows: Columns) -> tuple[Columns, list[Refusal], int]:
        """Return the rows that count, what is refused of the others, and how many only came again."""
        if self._seen is None or "content_hash" not in rows:
            return rows, [], 0
        keys, ids = key_of(rows, self._link.fields), key_of(rows, source.ids)
        arrived = Arrivals(keys, ids, rows["content_hash"], rows[source.time])
        found = self._seen.check(arrived, source.number)
        refused = [self._refusal(source, rows, row) for row in np.flatnonzero(found.conflict).tolist()]
        first = rows if found.first.all() else take(rows, found.first)
        return first, refused, int(found.repeat.sum())

    def _refusal(self, source: SourceStream, rows: Columns, row: int) -> Refusal:
        """Return code, reason and columns of a row whose id its key used within 24 h for other content."""
        values = {name: column[row].item() for name, column in rows.items() if name != "content_hash"}
        why = f"this {self._link.name} used this {'/'.join(source.ids)} within 24 h for other content"
        return (CONFLICT, why, values)

    def _with_values(self, rows: Columns, values: NDArray[np.float64]) -> Columns:
        made = {name: column for name, column in rows.items() if name != "content_hash"}
        made[self._link.partition] = np.full(length(rows), self._partition, np.int32)
        made[self._link.position] = rows["pos"]
        made[self._link.values] = values
        made[self._link.definitions] = np.full(length(rows), self._definitions, np.uint64)
        return made

    def _targets(self, source: SourceStream, rows: Columns) -> NDArray[np.int32]:
        if self._next is None:
            return np.full(length(rows), self._partition, np.int32)
        return targets_of(rows, self._next, source, self._output_partitions)
