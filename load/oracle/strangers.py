"""Which code a record between the stages is refused with, after the page of frames; none if a stage wrote it.

The questions come in the order in which a reader asks them, and the first that is answered wrongly gives the
code: is it a frame, is its schema one, are its bytes all there, does the topic have rows of that kind, are
its columns the declared ones, are its positions possible, can its cells hold what they hold, is its lane one
of the topic's, and has the lane's input come that far.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from load.oracle.frames import HEAD, LABEL, PAYMENT, ROW_BITS, Frame, read_frame

OFFSET_MAX = 1 << 40
POSITION_MAX = OFFSET_MAX << ROW_BITS
TIME_MAX_MS = 1000 * ((1 << 32) - 1)
PARTITIONS_MAX, COLUMNS_MAX, TEXT_BYTES_MAX = 1000, 64, 256
LANES = {
    "events.customer": {"transactions": {PAYMENT}, "labels": {LABEL}},
    "events.terminal": {"events.customer": {PAYMENT, LABEL}},
    "features.log": {"events.terminal": {PAYMENT, LABEL}},
}
_ORIGIN = {"pos", "raw_partition", "raw_offset", "appended_ms"}
_PAYMENT = _ORIGIN | {
    "transaction_id", "event_time", "customer_id", "terminal_id", "amount_minor", "currency", "channel",
    "country", "traceparent",
}  # fmt: skip
_LABEL = _ORIGIN | {
    "transaction_id",
    "customer_id",
    "terminal_id",
    "event_time",
    "label_time",
    "label",
    "source",
    "positive",
}
_PASSED = {"customer_partition", "customer_pos", "customer_values", "late"}  # beyond the first stage
_LOG = {"pos", "appended_ms", "customer_values", "terminal_values"}
NEEDED: Mapping[str, Mapping[int, set[str]]] = {
    "events.customer": {PAYMENT: _PAYMENT | {"content_hash"}, LABEL: _LABEL},
    "events.terminal": {PAYMENT: _PAYMENT | _PASSED, LABEL: _LABEL | _PASSED},
    "features.log": {PAYMENT: _LOG | {"event_time"}, LABEL: _LOG | {"label_time"}},
}  # fmt: skip
IDS = {"transaction_id", "customer_id", "terminal_id"}
TEXTS = IDS | {"currency", "channel", "country", "source", "label", "traceparent"}
VALUES = {"customer_values", "terminal_values"}
SAME = {"customer_definitions", "terminal_definitions"}  # one figure for all rows of a frame
WHOLE = {
    "raw_partition": (0, (1 << 16) - 1), "raw_offset": (0, OFFSET_MAX), "appended_ms": (-1, 1 << 43),
    "event_time": (0, TIME_MAX_MS), "label_time": (0, TIME_MAX_MS), "amount_minor": (0, 1 << 40),
    "customer_partition": (0, (1 << 16) - 1), "terminal_partition": (0, (1 << 16) - 1),
    "customer_pos": (0, POSITION_MAX), "terminal_pos": (0, POSITION_MAX), "late": (0, 3), "positive": (0, 1),
}  # fmt: skip
TYPES = {
    **dict.fromkeys(("pos", "raw_offset", "appended_ms", "event_time", "label_time", "amount_minor"), "<i8"),
    **dict.fromkeys(("customer_pos", "terminal_pos"), "<i8"),
    **dict.fromkeys(("raw_partition", "customer_partition", "terminal_partition"), "<i4"),
    **dict.fromkeys(("content_hash", *SAME), "<u8"), **dict.fromkeys(("late", "positive"), "|u1"),
}  # fmt: skip
_COLUMN = re.compile(rb"([a-z_]+):(?:([0-9]{1,4})\*)?(<[iu][248]|<f[48]|\|[iu]1|\|b1|\|S[1-9][0-9]{0,4})")


class SchemaPart(NamedTuple):
    """A column as a schema names it; a width of 0 is one value a row."""

    name: str
    width: int
    dtype: str


def is_ours(data: bytes, topic: str, ends: Mapping[str, int]) -> bool:
    """Tell whether a stage could have written a record of a topic between stages."""
    return not code_due(data, topic, ends)


def code_due(data: bytes, topic: str, ends: Mapping[str, int]) -> str:
    """Return the code that a reader of the topic refuses a record with; empty if it may believe it.

    Args:
        ends: by lane, where its input ended when the log was read; 0 where it never had a record.

    >>> code_due(b"<html>", "features.log", {}), code_due(b"HRF1" + bytes(40), "features.log", {})
    ('E_FRAME_MAGIC', 'E_FRAME_SCHEMA')
    """
    return _code(data, topic, tuple(sorted(ends.items())))


@lru_cache(maxsize=1 << 18)
def _code(data: bytes, topic: str, ends: tuple[tuple[str, int], ...]) -> str:
    """Find it once for each record: faults are planted in copies of a run, which share nearly all of them."""
    if len(data) < HEAD.size or data[:4] != b"HRF1":
        return "E_FRAME_MAGIC"
    columns = _columns(data)
    if columns is None:
        return "E_FRAME_SCHEMA"
    if _bytes_due(data, columns) != len(data):
        return "E_FRAME_LENGTH"
    frame = read_frame(data)
    if frame.kind not in NEEDED[topic]:
        return "E_FRAME_KIND"
    if not _good_types(columns, NEEDED[topic][frame.kind]):
        return "E_FRAME_TYPES"
    if not 0 <= frame.frm <= frame.to <= POSITION_MAX:
        return "E_FRAME_JUMP"
    return _code_of_content(frame, topic, dict(ends))


def _columns(data: bytes) -> list[SchemaPart] | None:
    """Return the columns of a schema, None where it is none."""
    begin = HEAD.size + data[6]
    found = [
        _COLUMN.fullmatch(part)
        for part in data[begin : begin + int.from_bytes(data[7:9], "little")].split(b";")
    ]
    columns = [SchemaPart(one[1].decode(), int(one[2] or 0), one[3].decode()) for one in found if one]
    return columns if len(columns) == len(found) else None


def _bytes_due(data: bytes, columns: list[SchemaPart]) -> int:
    rows = int.from_bytes(data[25:29], "little")
    a_row = sum((column.width or 1) * np.dtype(column.dtype).itemsize for column in columns)
    return HEAD.size + data[6] + int.from_bytes(data[7:9], "little") + rows * a_row


def _good_types(columns: list[SchemaPart], needed: set[str]) -> bool:
    names = [column.name for column in columns]
    if len(set(names)) < len(names) or len(names) > COLUMNS_MAX or not needed <= set(names):
        return False
    return all(_good_type(column) for column in columns)


def _good_type(column: SchemaPart) -> bool:
    """Tell whether a column has its type; one that is not declared may have any, but no wider text."""
    if column.name in VALUES:
        return column.width > 0 and column.dtype == "<f8"
    if column.name in TEXTS or (column.name not in TYPES and column.dtype.startswith("|S")):
        return not column.width and column.dtype[:2] == "|S" and int(column.dtype[2:]) <= TEXT_BYTES_MAX
    return (column.width, column.dtype) == (0, TYPES.get(column.name, column.dtype)) or (
        column.name not in TYPES
    )


def _code_of_content(frame: Frame, topic: str, ends: Mapping[str, int]) -> str:
    """Return the code of a whole frame of the right kind, types and span, by its rows and its lane."""
    places = [row["pos"] for row in frame.rows]
    in_order = all(a < b for a, b in zip([frame.frm - 1, *places], [*places, frame.to], strict=True))
    same = all(len({row[name] for row in frame.rows if name in row}) <= 1 for name in SAME)
    cells = all(_good_cell(name, cell) for row in frame.rows for name, cell in row.items())
    if frame.rows and not (in_order and same and cells):
        return "E_FRAME_RANGE"
    source, _, number = frame.src.rpartition("/")
    good_number = number.isdigit() and str(int(number)) == number and int(number) < PARTITIONS_MAX
    if not good_number or frame.kind not in LANES[topic].get(source, set()) or frame.src not in ends:
        return "E_FRAME_LANE"
    end = ends[frame.src]
    return "E_FRAME_JUMP" if end and frame.to > end << ROW_BITS else ""


def _good_cell(name: str, cell: Any) -> bool:
    if name in WHOLE:
        low, high = WHOLE[name]
        return bool(low <= cell <= high)
    if name in TEXTS:
        try:
            text = cell.decode()
        except UnicodeDecodeError:
            return False
        return name not in IDS or (bool(text) and "\0" not in text)
    return True
