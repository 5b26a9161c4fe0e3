"""The online store in memory, for the goldens: what the service's codecs write is what they read back.

Takes the calls of `features.feast_row.RowWriterCodec` as its script would (a row is set unless a newer one is
there) and answers those of `RowReaderCodec`. A part of the adapter: it knows how a row's bytes are cut.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import hiredis
import numpy as np
from numpy.typing import NDArray

from features import feast_format as fmt
from features.definition import Entity
from features.feast_row import RowReaderCodec, RowsRead, RowWriterCodec
from features.feast_tiles import INT64_BYTES, TilesView
from inference.reading.online_reader import StoreUnavailable
from load.this_project import CUSTOMER, CUSTOMER_PROFILE, ENTITIES, TERMINAL
from streams.store.rows import StoreRows

PROJECT = "headrace"


class MemoryStore:
    """Hashes by key, as Redis would hold them.

    Args:
        epoch: of the run whose rows it holds.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch, self.down = epoch, False
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.keys: dict[str, set[bytes]] = {entity.name: set() for entity in ENTITIES}
        self._cells = {entity.name: _cells(entity) for entity in ENTITIES}
        self._writers = {
            entity.name: RowWriterCodec(PROJECT, entity.join_key, _views(entity), TilesView.of(entity))
            for entity in ENTITIES
        }
        self._readers = {
            tiles: [
                RowReaderCodec(
                    PROJECT, entity.join_key, [*_views(entity), *_profile(entity)],
                    TilesView.of(entity) if tiles else None,
                )
                for entity in (CUSTOMER, TERMINAL)
            ]
            for tiles in (False, True)
        }  # fmt: skip

    def write(self, entity: Entity, rows: StoreRows) -> None:
        """Take rows as a stage hands them to the store's writer."""
        data = self._writers[entity.name].encode(*rows[:4], self.epoch, rows.tiles)
        self.keys[entity.name].update(rows.keys.tolist())
        for call in _commands(data):
            count = int(call[2])
            for key, row in zip(call[3 : 3 + count], call[3 + count :], strict=True):
                self._set(entity, key, row)

    def put_profile(self, customer: bytes, time_ms: int, values: Sequence[float | None]) -> None:
        """Write a customer's profile as `feast materialize` would: no stamp, nulls left empty."""
        key = fmt.entity_key(PROJECT, CUSTOMER.join_key, customer)
        row = self.hashes.setdefault(key, {})
        row[fmt.timestamp_field(CUSTOMER_PROFILE.name)] = fmt.timestamps(np.array([time_ms]))[0].tobytes()
        for name, value in zip(CUSTOMER_PROFILE.columns, values, strict=True):
            data = b"" if value is None else bytes([fmt.DOUBLE_TAG]) + struct.pack("<d", value)
            row[fmt.field_name(CUSTOMER_PROFILE.name, name)] = data

    def reader(self, tiles: bool = False) -> "Reader":
        """Return what reads rows, with the keys' tiles or without."""
        return Reader(self, self._readers[tiles])

    def answers(self, data: bytes) -> bytes:
        """Return the replies to a pipeline of HMGETs."""
        return b"".join(self._answer(*call[1:]) for call in _commands(data))

    def _answer(self, key: bytes, *fields: bytes) -> bytes:
        row = self.hashes.get(key, {})
        found = [row.get(field) for field in fields]
        parts = [b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value) for value in found]
        return b"*%d\r\n" % len(fields) + b"".join(parts)

    def _set(self, entity: Entity, key: bytes, row: bytes) -> None:
        stamp, time = row[: fmt.STAMP_BYTES], row[fmt.STAMP_BYTES :][: fmt.TIMESTAMP_BYTES]
        there = self.hashes.setdefault(key, {})
        if there.get(fmt.stamp_field(entity.views[0].name), b"") > stamp:
            return
        cells = self._cells[entity.name]
        there |= dict.fromkeys(cells.stamps, stamp) | dict.fromkeys(cells.times, time)
        at = fmt.STAMP_BYTES + fmt.TIMESTAMP_BYTES
        for name in cells.values:
            there[name] = row[at : at + fmt.VALUE_BYTES]
            at += fmt.VALUE_BYTES
        there[cells.valid_until_ms] = row[at : at + INT64_BYTES]
        there[cells.packed] = row[at + INT64_BYTES :]


class _Cells(NamedTuple):
    """The hash fields of one entity's rows, in the order of a row's bytes."""

    stamps: list[bytes]
    times: list[bytes]
    values: list[bytes]
    valid_until_ms: bytes
    packed: bytes


def _cells(entity: Entity) -> _Cells:
    tiles = TilesView.of(entity)
    views = [*(view.name for view in entity.views), tiles.name]
    return _Cells(
        [fmt.stamp_field(view) for view in views], [fmt.timestamp_field(view) for view in views],
        [fmt.field_name(view, name) for view, names in _views(entity) for name in names],
        fmt.field_name(tiles.name, tiles.valid_until_ms), fmt.field_name(tiles.name, tiles.packed),
    )  # fmt: skip


class Reader:
    """`inference.reading.online_reader.FeatureReader` over the store in memory."""

    def __init__(self, store: MemoryStore, codecs: Sequence[RowReaderCodec]) -> None:
        self._store, self._codecs = store, codecs

    def read(self, *keys: NDArray[np.bytes_]) -> tuple[RowsRead, ...]:
        """Return the rows of these keys."""
        if self._store.down:
            raise StoreUnavailable("E_STORE_UNAVAILABLE", "no answer", "memory")
        found = []
        for codec, some in zip(self._codecs, keys, strict=True):
            rows = codec.decode(self._store.answers(codec.encode(some)), len(some))
            assert rows is not None, "all replies are there"
            found.append(rows)
        return tuple(found)


def _views(entity: Entity) -> list[tuple[str, tuple[str, ...]]]:
    return [(view.name, view.columns) for view in entity.views]


def _profile(entity: Entity) -> list[tuple[str, tuple[str, ...]]]:
    return [(CUSTOMER_PROFILE.name, CUSTOMER_PROFILE.columns)] if entity == CUSTOMER else []


def _commands(data: bytes) -> list[Any]:
    """Return commands as lists of words; Redis's requests have the form of its replies."""
    parser, found = hiredis.Reader(), []
    parser.feed(data)
    while (call := parser.gets()) is not False:
        found.append(call)
    return found
