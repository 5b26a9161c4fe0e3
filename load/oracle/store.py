"""The online store's rows, read from Feast's byte format by a reader of its own, against what they must be.

A row's key is the number of join keys, type and text of the join key's name, type and text of its value, each
number 4 bytes little endian, then the project. A feature is a field of 4 bytes, murmur3 of `view:feature`,
and holds byte 0x29 and a double; `_ts:view` is a Timestamp of protobuf, `_o:view` 10 digits of the run's
epoch and 20 of the position.
"""

import struct
from collections.abc import Mapping
from typing import Any

from load.oracle import declared as declarations
from load.oracle.bits import same, where
from load.oracle.dump import Declared, Dump
from load.oracle.findings import Findings
from load.oracle.hashes import murmur3
from load.oracle.stages import Stages, StoreRow

STRING = 2


def check_store(dump: Dump, known: Stages, found: Findings) -> None:
    """Compare every row of the store with the last row of its key."""
    wanted: dict[bytes, tuple[Any, StoreRow]] = {}
    for stage in known.made:
        entity = declarations.entity(dump.declared, stage.link.name)
        for value, row in stage.store.items():
            wanted[entity_key(dump.declared.project, entity.join_key, value)] = (entity, row)
    for key, (entity, row) in wanted.items():
        fields = dump.store.get(key)
        if fields is None:
            found.add("store_mismatch", f"no row of {key!r}")
        elif wrong := differences(fields, entity, row, dump.declared):
            found.add("store_mismatch", f"{key!r}: {wrong}")
    for key in dump.store.keys() - wanted.keys():
        if not key.startswith(b"headrace:"):
            found.add("store_mismatch", f"a row that nothing wrote: {key!r}")


def differences(fields: Mapping[bytes, bytes], entity: Any, row: StoreRow, declared: Declared) -> str:
    """Return what is wrong in a row, for people; empty when nothing is."""
    wrong = []
    names = declarations.columns(entity)
    columns = [(view.name, name) for view in entity.views for name in declarations.view_columns(view)]
    cells = [fields.get(_field(view, name)) for view, name in columns]
    try:
        values = [number(cell) for cell in cells]
    except ValueError as error:
        return str(error)
    if not same(values, row.values):
        wrong.append(where(values, row.values, names))
    for view in entity.views:
        stamp, moment = fields.get(b"_o:" + view.name.encode()), fields.get(b"_ts:" + view.name.encode())
        if stamp != b"%010d%020d" % (declared.epoch, row.pos):
            wrong.append(f"{view.name} is as of {stamp!r}, not {row.pos}")
        if moment is None or timestamp_ms(moment) != row.as_of_ms:
            wrong.append(f"{view.name} is of {moment!r}, not {row.as_of_ms}")
    return "; ".join(wrong)


def cells_of(declared: Declared) -> set[bytes]:
    """Return the names of the fields that hold the declared features of every entity."""
    return {_field(view.name, name) for view in _views(declared) for name in declarations.view_columns(view)}


def orders_of(declared: Declared) -> set[bytes]:
    """Return the names of the fields that say as of which position the views of every entity are."""
    return {b"_o:" + view.name.encode() for view in _views(declared)}


def _views(declared: Declared) -> list[Any]:
    entities = [declarations.entity(declared, one["name"]) for one in declared.entities]
    return [view for entity in entities for view in entity.views]


def entity_key(project: str, join_key: str, value: bytes) -> bytes:
    """Return the key of an entity's row."""
    name = join_key.encode()
    head = struct.pack("<III", 1, STRING, len(name)) + name
    return head + struct.pack("<II", STRING, len(value)) + value + project.encode()


def number(cell: bytes | None) -> float | None:
    """Return the double that a feature's field holds.

    Raises:
        ValueError: it holds something else.
    """
    if not cell:
        return None
    if len(cell) != 9 or cell[0] != 0x29:
        raise ValueError(f"no double: {cell!r}")
    value: float = struct.unpack("<d", cell[1:])[0]
    return value


def timestamp_ms(data: bytes) -> int:
    """Return a serialized protobuf Timestamp in epoch ms.

    >>> timestamp_ms(b"\\x08\\x01\\x10\\x80\\xca\\xb5\\xee\\x01")
    1500
    """
    fields, at = {1: 0, 2: 0}, 0
    while at < len(data):
        tag, at = _varint(data, at)
        fields[tag >> 3], at = _varint(data, at)
    return fields[1] * 1000 + fields[2] // 1_000_000


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _field(view: str, feature: str) -> bytes:
    name = f"{view}:{feature}"
    if name not in _FIELDS:
        _FIELDS[name] = struct.pack("<I", murmur3(name.encode()))
    return _FIELDS[name]


_FIELDS: dict[str, bytes] = {}
