"""Record batches: many rows in one Kafka record, as plain NumPy columns behind a short header.

Chosen over Arrow IPC because a frame is made and read several times for every few milliseconds of
events, and at ten rows a frame Arrow's fixed cost is most of the work (docs/decisions/0003).

Layout, little endian: `HRF1`, kind u8, claim u8, len(src) u8, len(schema) u16, from i64, to i64, rows u32,
src, schema, then each column's bytes in schema order. The schema is ASCII:
`name:dtype` joined by `;` with NumPy's dtype names, a width for the second dimension in front (`13*<f8`).
Kafka's own record-batch checksum covers the bytes, so the frame has none.
"""

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ContractError

Columns = dict[str, NDArray[Any]]

MAGIC = b"HRF1"
ROW_BITS = 20  # a position is (offset << 20) + row: records of up to a million rows keep their order
_NAME = rb"[A-Za-z_][A-Za-z0-9_]*"  # as contracts name fields and projects entities
_COLUMN = re.compile(
    rb"(" + _NAME + rb"):(?:([0-9]{1,4})\*)?(<[iu][248]|<f[48]|\|[iu]1|\|b1|\|S[1-9][0-9]{0,4})"
)
_HEADER = struct.Struct("<4sBBBHqqI")


class Kind(IntEnum):
    """Of which source the rows of a frame are: its number in the project. The scored source is the first.

    `LABEL` is the number that a project's only source of labels has where no context comes before it.
    """

    SCORED = 1
    LABEL = 2


class FrameError(ContractError):
    """Bytes on an inter-stage topic are not a frame of ours."""


class Frame(NamedTuple):
    """One Kafka record between stages: all rows of lane `src` whose input position is in [`frm`, `to`)."""

    src: str
    frm: int
    to: int
    claim: bool
    kind: int
    rows: Columns


def position(offset: int, row: int = 0) -> int:
    """Return the position of a row: its record's offset and its number in the record.

    >>> position(1), position(1, 3)
    (1048576, 1048579)
    """
    return (offset << ROW_BITS) + row


def length(rows: Mapping[str, NDArray[Any]]) -> int:
    """Return how many rows the columns hold."""
    for column in rows.values():
        return len(column)
    return 0


def take(rows: Mapping[str, NDArray[Any]], which: NDArray[Any] | slice) -> Columns:
    """Return the rows that an index array, a mask or a slice names, in its order."""
    return {name: column[which] for name, column in rows.items()}


def groups_of(numbers: NDArray[Any]) -> list[tuple[int, "NDArray[np.intp] | slice"]]:
    """Return each number there is, smallest first, and the rows that have it; one number has a slice.

    >>> groups_of(np.array([2, 0, 2]))
    [(0, array([1])), (2, array([0, 2]))]
    >>> groups_of(np.array([4, 4]))
    [(4, slice(None, None, None))]
    """
    if len(numbers) and (numbers == numbers[0]).all():
        return [(int(numbers[0]), slice(None))]
    return [(number, np.flatnonzero(numbers == number)) for number in np.unique(numbers).tolist()]


def concat(parts: Sequence[Mapping[str, NDArray[Any]]]) -> Columns:
    """Return the rows of all parts one after the other; every part has the same columns."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interleaved(
    positions: Sequence[NDArray[np.int64]],
) -> tuple[NDArray[np.intp], list[NDArray[np.intp]]]:
    """Return the order by position of rows of several parts, and where in it each part's rows stand.

    >>> order, places = interleaved([np.array([1, 4]), np.array([2, 3])])
    >>> order.tolist(), [place.tolist() for place in places]
    ([0, 2, 3, 1], [[0, 3], [1, 2]])
    """
    order = np.argsort(np.concatenate(positions), kind="stable")
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    return order, np.split(place, np.cumsum([len(part) for part in positions])[:-1])


def form(rows: Mapping[str, NDArray[Any]]) -> tuple[object, ...]:
    """Return what rows must have in common to be joined: columns, widths, types, and their definitions.

    >>> form({"pos": np.arange(2), "account_definitions": np.array([7, 7], np.uint64)})
    ('pos', 'l', 'account_definitions', 7, 'L')
    """
    parts: list[object] = []
    for name, column in rows.items():
        parts.append(name)
        if column.ndim == 2:
            parts.append(column.shape[1])
        elif name.endswith("_definitions") and len(column):
            parts.append(int(column[0]))
        if column.dtype.kind != "S":
            parts.append(column.dtype.char)
    return tuple(parts)


def strings(values: Iterable[str | bytes]) -> NDArray[np.bytes_]:
    """Return a fixed-width UTF-8 column, as wide as its longest value (at least 1 byte).

    >>> strings(["c1", "c22"])
    array([b'c1', b'c22'], dtype='|S3')
    """
    items = list(values)
    try:
        column = np.array(items, dtype=np.bytes_)
    except UnicodeEncodeError:
        column = np.array([v.encode() if isinstance(v, str) else v for v in items], dtype=np.bytes_)
    return column if column.dtype.itemsize else column.astype("S1")


def encode(frame: Frame) -> bytes:
    """Return the record's bytes.

    Raises:
        FrameError: E_FRAME_COLUMNS, columns differ in length or have no `pos`.

    >>> rows = {"pos": np.array([7]), "id": strings(["t1"])}
    >>> decode(encode(Frame("orders/0", 0, 8, True, Kind.SCORED, rows))).rows["id"]
    array([b't1'], dtype='|S2')
    """
    rows = frame.rows
    count = length(rows)
    if "pos" not in rows or any(len(column) != count for column in rows.values()):
        shapes = {name: column.shape for name, column in rows.items()}
        raise FrameError("E_FRAME_COLUMNS", f"columns need one length and a `pos`: {shapes}", frame.src)
    schema = ";".join(f"{name}:{_type_name(column)}" for name, column in rows.items()).encode("ascii")
    src = frame.src.encode("ascii")
    body = b"".join([src, schema, *[np.ascontiguousarray(column).tobytes() for column in rows.values()]])
    head = (MAGIC, frame.kind, frame.claim, len(src), len(schema), frame.frm, frame.to, count)
    return _HEADER.pack(*head) + body


def decode(data: bytes) -> Frame:
    """Return the frame; its columns are read-only views of `data`.

    Raises:
        FrameError: E_FRAME_MAGIC, E_FRAME_SCHEMA or E_FRAME_LENGTH when the bytes are not a whole frame.
    """
    if len(data) < _HEADER.size or data[:4] != MAGIC:
        raise FrameError("E_FRAME_MAGIC", f"{len(data)} bytes do not begin as a frame")
    _, kind, claim, src_bytes, schema_bytes, frm, to, count = _HEADER.unpack_from(data)
    at = _HEADER.size
    src = data[at : at + src_bytes].decode("ascii", "replace")
    at += src_bytes
    schema = _schema(data[at : at + schema_bytes])
    at += schema_bytes
    rows: Columns = {}
    for name, dtype, width in schema:
        items = count * width if width else count
        if at + items * dtype.itemsize > len(data):
            raise FrameError("E_FRAME_LENGTH", f"{len(data)} bytes end inside column {name}", src)
        column = np.frombuffer(data, dtype, items, at) if items else np.empty(0, dtype)
        rows[name] = column.reshape(count, width) if width else column
        at += items * dtype.itemsize
    if at != len(data):
        raise FrameError("E_FRAME_LENGTH", f"{len(data)} bytes for columns that need {at}", src)
    return Frame(src, frm, to, bool(claim), kind, rows)


def schema_of(data: bytes) -> bytes:
    """Return the schema of a frame that `decode` took.

    >>> rows = {"pos": np.array([7])}
    >>> schema_of(encode(Frame("orders/0", 0, 8, True, Kind.SCORED, rows)))
    b'pos:<i8'
    """
    begin = _HEADER.size + data[6]
    return data[begin : begin + int.from_bytes(data[7:9], "little")]


def _type_name(column: NDArray[Any]) -> str:
    return column.dtype.str if column.ndim == 1 else f"{column.shape[1]}*{column.dtype.str}"


@lru_cache(maxsize=4096)
def _schema(text: bytes) -> tuple[tuple[str, np.dtype[Any], int], ...]:
    """Parse a schema once: frames of one lane repeat theirs but for a few string widths."""
    parsed = []
    for part in text.split(b";"):
        found = _COLUMN.fullmatch(part)
        if found is None:
            raise FrameError("E_FRAME_SCHEMA", f"a column reads {part[:40]!r}", "", "see contracts/frame.py")
        name, width, scalar = (group.decode() if group else "" for group in found.groups())
        parsed.append((name, np.dtype(scalar), int(width or 0)))
    return tuple(parsed)
