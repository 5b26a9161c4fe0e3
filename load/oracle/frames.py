"""Reading the topics between the stages a second time, after the pages of frames and lanes.

A frame is `HRF1`, kind u8, claim u8, length of src u8, length of schema u16, from i64, to i64, rows u32, all
little endian, then src, schema and the columns one after the other. A reader of a lane keeps the next
position it has not seen: what lies below is a copy, a frame that begins beyond it is a hole, and the first
frame of a writer says that all below its `from` is there already.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

PAYMENT, LABEL = 1, 2  # of which source the rows are
HEAD = struct.Struct("<4sBBBHqqI")
ROW_BITS = 20

Row = dict[str, Any]


class Frame(NamedTuple):
    """One record between stages."""

    src: str
    frm: int
    to: int
    claim: bool
    kind: int
    rows: list[Row]


class Placed(NamedTuple):
    """A row as a reader takes it: its lane's source, its kind, and its position in the topic read."""

    src: str
    kind: int
    pos: int
    row: Row


def read_frame(data: bytes) -> Frame:
    """Return the frame; a row is a mapping of column to Python value.

    Raises:
        ValueError: the bytes are no frame.
    """
    magic, kind, claim, src_bytes, schema_bytes, frm, to, count = HEAD.unpack_from(data)
    if magic != b"HRF1":
        raise ValueError(f"no frame: {data[:8]!r}")
    at = HEAD.size
    src = data[at : at + src_bytes].decode("ascii", "replace")
    schema = data[at + src_bytes : at + src_bytes + schema_bytes].decode()
    at += src_bytes + schema_bytes
    names, columns = [], []
    for part in schema.split(";"):
        name, _, kind_text = part.partition(":")
        width, _, dtype = kind_text.rpartition("*")
        items = count * int(width or 1)
        column = np.frombuffer(data, np.dtype(dtype), items, at)
        at += column.nbytes
        names.append(name)
        columns.append((column.reshape(count, int(width)) if width else column).tolist())
    if at != len(data):
        raise ValueError(f"{len(data)} bytes for a frame of {at}")
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return Frame(src, frm, to, bool(claim), kind, rows)


class LaneReader:
    """One reader of one partition of a topic between stages; `holes` counts frames beyond their lane."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self.holes = 0

    def fold(self, records: Iterable[tuple[int, bytes]]) -> Iterator[Placed]:
        """Yield each row of records (offset, bytes) once, in the log's order."""
        for offset, data in records:
            frame = read_frame(data)
            for number, row in enumerate(self._fresh(frame)):
                yield Placed(frame.src, frame.kind, (offset << ROW_BITS) + number, row)

    def _fresh(self, frame: Frame) -> list[Row]:
        expected = self._next.get(frame.src, 0)
        if frame.claim and frame.frm > expected:
            expected = frame.frm
        if frame.frm > expected:
            self.holes += 1
            return []
        self._next[frame.src] = max(expected, frame.to)
        return [row for row in frame.rows if row["pos"] >= expected]
