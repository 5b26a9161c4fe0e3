"""Record batches and lanes read by their written law alone, with no code of the service."""

import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

EVENT, PAYMENT, LABEL, FEATURE = 1, 2, 3, 4
ROW = 1 << 20  # positions of one record


class Batch(NamedTuple):
    """One record of an inter-stage topic."""

    src: str
    frm: int
    to: int
    claim: bool
    kind: int
    rows: list[dict[str, Any]]


class Placed(NamedTuple):
    """A row that a reader of a partition takes, its kind, and the position it has there."""

    position: int
    src: str
    kind: int
    row: dict[str, Any]


def read_batch(data: bytes) -> Batch:
    """Return what the bytes of a record hold.

    >>> head = struct.pack("<4sBBBHqqI", b"HRF1", 1, 1, 1, 7, 0, 5, 1)
    >>> read_batch(head + b"a" + b"pos:<i8" + struct.pack("<q", 4)).rows
    [{'pos': 4}]
    """
    magic, kind, claim, src_bytes, schema_bytes, frm, to, count = struct.unpack_from("<4sBBBHqqI", data)
    assert magic == b"HRF1", magic
    at = struct.calcsize("<4sBBBHqqI")
    src = data[at : at + src_bytes].decode()
    at += src_bytes
    schema = data[at : at + schema_bytes].decode()
    at += schema_bytes
    columns: dict[str, list[Any]] = {}
    for part in schema.split(";"):
        name, width, code, size = _column(part)
        cells = []
        for _ in range(count):
            cells.append(_cell(data[at : at + size * max(1, width)], code, size, width))
            at += size * max(1, width)
        columns[name] = cells
    assert at == len(data), (at, len(data))
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Batch(src, frm, to, bool(claim), kind, rows)


def taken(log: Sequence[bytes]) -> Iterator[Placed]:
    """Yield the rows of a partition as any right reader takes them, in order."""
    reached: dict[str, int] = {}
    for offset, data in enumerate(log):
        batch = read_batch(data)
        begin = reached.get(batch.src, 0)
        if batch.claim and batch.frm > begin:
            begin = batch.frm
        if batch.frm > begin:
            continue
        fresh = [row for row in batch.rows if row["pos"] >= begin]
        reached[batch.src] = max(begin, batch.to)
        for number, row in enumerate(fresh):
            yield Placed(offset * ROW + number, batch.src, batch.kind, row)


def _column(part: str) -> tuple[str, int, str, int]:
    name, _, kind = part.partition(":")
    found = re.fullmatch(r"(?:(\d+)\*)?[<|]([iufbS])(\d+)", kind)
    assert found is not None, part
    width, code, size = found.groups()
    return name, int(width or 0), code, int(size)


def _cell(data: bytes, code: str, size: int, width: int) -> Any:
    if width:
        return [_scalar(data[i * size : (i + 1) * size], code) for i in range(width)]
    return _scalar(data, code)


def _scalar(data: bytes, code: str) -> Any:
    if code == "S":
        return data.rstrip(b"\0")
    if code == "f":
        return struct.unpack("<d", data)[0]
    return int.from_bytes(data, "little", signed=code == "i")
