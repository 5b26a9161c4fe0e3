"""Any entity's stage: rows move the entity's windows, and go on with its values as of each."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, interleaved, length, take
from contracts.keys import key_of, targets_of
from contracts.pipeline import Pipeline, SourceStream
from contracts.row_columns import stage_columns
from features.definition import Entity
from features.meaning import meaning_of
from features.state import KEY, EntityState
from streams.stage.core import Entry, Made, Outcome
from streams.stage.deduplication import Arrivals, Deduplication, Duplicates
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
HOUR_MS = 3_600_000
CHUNK = b"i"
SEEN_CLOCK = b"d"  # by which ids are forgotten: rows of labels do not move it, and those of others that do

Refusal = tuple[str, str, dict[str, Any]]
Where = NDArray[np.intp] | slice


class _Arrived(NamedTuple):
    """Rows of a source that count, in order; what is refused of the others, and how many only came again."""

    source: SourceStream
    rows: Columns
    refused: list[Refusal]
    repeats: int


class _Folded(NamedTuple):
    """What n rows became: values (n, features), and which were late (n,).

    Rows of a source that nothing of the entity reads have no values.
    """

    values: NDArray[np.float64] | None
    late: NDArray[np.bool_]


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
        self._seen = Deduplication(pipeline.horizons_ms) if link is pipeline.chain.first else None

    def __len__(self) -> int:
        return len(self._state)

    @property
    def used_bytes(self) -> int:
        """Bytes of state in use."""
        return self._state.used_bytes + (self._seen.used_bytes if self._seen else 0)

    def apply(self, parts: Sequence[tuple[int, Columns]]) -> Made:
        """Return each source's rows with the entity's values as of each, for the next stage or the log."""
        arrived = self._without_repeats([(self.pipeline.by_number[kind], rows) for kind, rows in parts])
        folded, store_rows = self._fold(arrived)
        outcomes = [self._outcome(one, became) for one, became in zip(arrived, folded, strict=True)]
        return Made(outcomes, store_rows)

    def _outcome(self, arrived: _Arrived, folded: _Folded) -> Outcome:
        source, rows = arrived.source, arrived.rows
        made = self._with_values(rows, folded.values)
        bits = folded.late.astype(np.uint8) * np.uint8(self._link.late_bit)
        made["late"] = rows["late"] | bits if "late" in rows else bits
        return Outcome(
            kind=source.number, rows=made, targets=self._targets(source, rows), refused=arrived.refused,
            late=int(folded.late.sum()), repeats=arrived.repeats,
        )  # fmt: skip

    def _fold(self, arrived: Sequence[_Arrived]) -> tuple[list[_Folded], StoreRows | None]:
        """Fold the rows that have a key in, all in one order; the others pass, and move no clock."""
        folded = [self._unfolded(one.source, one.rows) for one in arrived]
        parts, where = list[tuple[int, Columns]](), list[tuple[_Folded, Where]]()
        for one, into in zip(arrived, folded, strict=True):
            if one.source.number not in self._read:
                continue
            keys = key_of(one.rows, self._link.fields)
            which = self._keyed(one.source, keys)
            if len(keys[which]):
                rows = one.rows if isinstance(which, slice) else take(one.rows, which)
                parts.append((one.source.number, {**rows, KEY: keys[which]}))
                where.append((into, which))
        if not parts:
            return folded, None
        batch = self._state.merged(parts)
        applied = self._state.fold(batch)
        for (into, which), part in zip(where, batch.parts, strict=True):
            at = slice(None) if part.at is None else part.at
            assert into.values is not None
            into.values[which], into.late[which] = applied.values[at], applied.late[at]
        return folded, changed_rows(self._state, batch.keys, applied, batch.position, self.tiles)

    def _keyed(self, source: SourceStream, keys: NDArray[np.bytes_]) -> Where:
        """Return which rows have the entity's key."""
        return slice(None) if source.always_has(self._link) else np.flatnonzero(keys != b"")

    def _unfolded(self, source: SourceStream, rows: Columns) -> _Folded:
        """Return what rows become that the entity has no use for; scored ones always have values: nulls."""
        values, count = None, length(rows)
        if source.is_scored or source.number in self._read:
            values = np.full((count, len(self._state.entity.columns)), np.nan)
        return _Folded(values, np.zeros(count, np.bool_))

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

    def _without_repeats(self, parts: Sequence[tuple[SourceStream, Columns]]) -> list[_Arrived]:
        """Return the rows that count, what is refused of the others, and how many only came again."""
        asked = [part for part in parts if self._seen is not None and "content_hash" in part[1]]
        judged = iter(self._judged(asked) if asked else ())
        return [
            self._first(*part, next(judged)) if part in asked else _Arrived(*part, [], 0) for part in parts
        ]

    def _judged(self, parts: Sequence[tuple[SourceStream, Columns]]) -> list[Duplicates]:
        """Return what each row of each part is; all are judged in one order."""
        assert self._seen is not None
        arrivals = [
            Arrivals(
                key_of(rows, self._link.fields), key_of(rows, source.ids), rows["content_hash"],
                rows[source.time],
            )
            for source, rows in parts
        ]  # fmt: skip
        if len(parts) == 1:
            return [self._seen.check(arrivals[0], parts[0][0].number)]
        order, places = interleaved([rows["pos"] for _, rows in parts])
        columns = (np.concatenate(column)[order] for column in zip(*arrivals, strict=True))
        numbers = np.repeat([source.number for source, _ in parts], [length(rows) for _, rows in parts])
        found = self._seen.check(Arrivals(*columns), numbers[order])
        return [Duplicates(*(mask[at] for mask in found)) for at in places]

    def _first(self, source: SourceStream, rows: Columns, found: Duplicates) -> _Arrived:
        refused = [self._refusal(source, rows, row) for row in np.flatnonzero(found.conflict).tolist()]
        first = rows if found.first.all() else take(rows, found.first)
        return _Arrived(source, first, refused, int(found.repeat.sum()))

    def _refusal(self, source: SourceStream, rows: Columns, row: int) -> Refusal:
        """Return code, reason and columns of a row whose id its key used of late for other content."""
        values = {name: column[row].item() for name, column in rows.items() if name != "content_hash"}
        within = f"{source.deduplicate_ms / HOUR_MS:g} h"
        why = f"this {self._link.name} used this {'/'.join(source.ids)} within {within} for other content"
        return (CONFLICT, why, values)

    def _with_values(self, rows: Columns, values: NDArray[np.float64] | None) -> Columns:
        made = {name: column for name, column in rows.items() if name != "content_hash"}
        made[self._link.partition] = np.full(length(rows), self._partition, np.int32)
        made[self._link.position] = rows["pos"]
        if values is None:
            return made
        made[self._link.values] = values
        made[self._link.definitions] = np.full(length(rows), self._definitions, np.uint64)
        return made

    def _targets(self, source: SourceStream, rows: Columns) -> NDArray[np.int32]:
        if self._next is None:
            return np.full(length(rows), self._partition, np.int32)
        return targets_of(rows, self._next, source, self._output_partitions)
