"""Parse Redis's replies to a pipeline of HMGETs into arrays, at machine speed.

One scanner takes every shape of reply: rows of fixed width as the stream writes them, shorter timestamps
and integers as `feast materialize` writes them, missing rows, empty values and error replies. Measured, it
is as fast as slicing a fixed-width reply with NumPy and needs no second, slow parser for the rest.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled_part
from features.feast_format import DOUBLE_TAG
from features.feast_tiles import BYTES_TAG

Bytes = NDArray[np.uint8]

MORE_BYTES = -1  # the buffer ends before the last reply does
NOT_REDIS = -2  # bytes that are no reply to HMGET

OK, ERROR_REPLY, UNREADABLE = 0, 1, 2  # what became of a row

_CR, _LF, _DOLLAR, _MINUS, _STAR, _ZERO, _NINE = 13, 10, 36, 45, 42, 48, 57
_LENGTH_DIGITS = 8  # of the longest string that a row may hold: 99 MB, far beyond any packed state
_LINE_BYTES_MAX = 65_536  # of an error's line
_SECONDS_MAX = 1 << 37  # of a timestamp: the year 6325
_EPOCH_DIGITS, _STAMP_DIGITS = 10, 30


class Scanned(NamedTuple):
    """The arrays that `scan` fills, for n rows of k features in v views."""

    values: NDArray[np.float64]  # (n, k)
    time_ms: NDArray[np.int64]  # (n, v), -1 where the view has no row
    epoch: NDArray[np.int64]  # (n, v), -1 where no stamp was found
    position: NDArray[np.int64]  # (n, v), -1 where no stamp was found
    status: NDArray[np.uint8]  # (n,), OK, ERROR_REPLY or UNREADABLE
    begin: NDArray[np.int64]  # (n,), where the row's reply begins in the buffer
    blobs: NDArray[np.int64]  # (n, b, 2), where bytes begin and end in the buffer


def empty(rows: int, features: int, views: int, blobs: int = 0) -> Scanned:
    """Return arrays that say of every row that it is absent.

    >>> empty(1, 2, 1).values
    array([[nan, nan]])
    """
    return Scanned(
        np.full((rows, features), np.nan),
        np.full((rows, views), -1, np.int64),
        np.full((rows, views), -1, np.int64),
        np.full((rows, views), -1, np.int64),
        np.zeros(rows, np.uint8),
        np.zeros(rows, np.int64),
        np.zeros((rows, blobs, 2), np.int64),
    )


@compiled_part(nogil=True)
def scan(buffer: Bytes, out: Any) -> int:
    """Fill `out` from the buffer; each reply holds features, timestamps, stamps, then fields of bytes.

    Returns:
        The number of bytes read, MORE_BYTES or NOT_REDIS.
    """
    features, views = out.values.shape[1], out.time_ms.shape[1]
    fields = features + 2 * views + out.blobs.shape[1]
    bits = out.values.view(np.uint64)
    at = 0
    for row in range(len(out.values)):
        out.begin[row] = at
        if at >= len(buffer):
            return MORE_BYTES
        first = buffer[at]
        if first == _MINUS:
            at = _line_end(buffer, at)
            if at < 0:
                return at
            out.status[row] = ERROR_REPLY
            continue
        if first != _STAR:
            return NOT_REDIS
        count, at = _length(buffer, at + 1)
        if at < 0:
            return at
        if count != fields:
            return NOT_REDIS
        for field in range(fields):
            if at >= len(buffer):
                return MORE_BYTES
            if _is_double(buffer, at) and field < features:
                bits[row, field] = _bits(buffer, at + 5, 8)
                at += 15
                continue
            if buffer[at] != _DOLLAR:
                return NOT_REDIS
            size, at = _length(buffer, at + 1)
            if at < 0:
                return at
            if size < 0:
                continue
            end = at + size
            if end + 2 > len(buffer):
                return MORE_BYTES
            if buffer[end] != _CR or buffer[end + 1] != _LF:
                return NOT_REDIS
            if field < features:
                good = _value(buffer, at, end, out.values, row, field)
            elif field < features + views:
                good = _timestamp(buffer, at, end, out.time_ms, row, field - features)
            elif field < features + 2 * views:
                good = _stamp(buffer, at, end, out.epoch, out.position, row, field - features - views)
            else:
                good = _bytes(buffer, at, end, out.blobs, row, field - features - 2 * views)
            if not good:
                out.status[row] = UNREADABLE
            at = end + 2
    return at


@compiled_part(nogil=True)
def _int(byte: np.uint8) -> int:
    """Return the byte as a signed 64-bit integer: unsigned ones turn into floats beside signed ones."""
    return int(np.int64(byte))


@compiled_part(nogil=True)
def _is_double(buffer: Bytes, at: int) -> bool:
    """Tell whether `$9\\r\\n`, the tag of a double and the rest of the reply are there: nearly always."""
    return (
        at + 15 <= len(buffer)
        and buffer[at] == _DOLLAR
        and buffer[at + 1] == _NINE
        and buffer[at + 2] == _CR
        and buffer[at + 3] == _LF
        and buffer[at + 4] == DOUBLE_TAG
        and buffer[at + 13] == _CR
        and buffer[at + 14] == _LF
    )


@compiled_part(nogil=True)
def _bits(buffer: Bytes, at: int, size: int) -> np.uint64:
    bits = np.uint64(0)
    for i in range(size):
        bits |= np.uint64(buffer[at + i]) << np.uint64(8 * i)
    return bits


@compiled_part(nogil=True)
def _length(buffer: Bytes, at: int) -> tuple[int, int]:
    """Read a length up to the line's end; return it, -1 for nothing, and where the next line begins.

    In that place stands MORE_BYTES when the buffer ends first, NOT_REDIS when it is no length.
    """
    number, begin = 0, at
    if at < len(buffer) and buffer[at] == _MINUS:
        begin = at + 1
    for i in range(begin, min(len(buffer), begin + _LENGTH_DIGITS + 1)):
        byte = buffer[i]
        if byte == _CR:
            if i == begin or (begin > at and number != 1):  # "-1" is the only negative length
                return 0, NOT_REDIS
            if i + 1 == len(buffer):
                return 0, MORE_BYTES
            if buffer[i + 1] != _LF:
                return 0, NOT_REDIS
            return (-1 if begin > at else number), i + 2
        if byte < _ZERO or byte > _NINE:
            return 0, NOT_REDIS
        number = number * 10 + (_int(byte) - 48)
    return 0, MORE_BYTES if len(buffer) < begin + _LENGTH_DIGITS + 1 else NOT_REDIS


@compiled_part(nogil=True)
def _line_end(buffer: Bytes, at: int) -> int:
    """Return where the next line begins; MORE_BYTES, or NOT_REDIS for a line that is too long."""
    for i in range(at, min(len(buffer) - 1, at + _LINE_BYTES_MAX)):
        if buffer[i] == _CR and buffer[i + 1] == _LF:
            return i + 2
    return MORE_BYTES if len(buffer) - 1 < at + _LINE_BYTES_MAX else NOT_REDIS


@compiled_part(nogil=True)
def _varint(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    number, shift = 0, 0
    while at < end and shift < 64:
        byte = _int(buffer[at])
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at
    return 0, -1


@compiled_part(nogil=True)
def _value(buffer: Bytes, at: int, end: int, values: NDArray[np.float64], row: int, column: int) -> bool:
    """Read a number of any type that Feast writes; an empty value is Feast's null and stays NaN."""
    if at == end:
        return True
    tag = buffer[at]
    if tag == 0x35 and end == at + 5:
        values[row, column] = buffer[at + 1 : end].view(np.float32)[0]
        return True
    if tag == 0x18 or tag == 0x20 or tag == 0x38 or tag == 0x40:  # numba: plain tests
        number, after = _varint(buffer, at + 1, end)
        values[row, column] = number
        return after == end
    return False


@compiled_part(nogil=True)
def _timestamp(buffer: Bytes, at: int, end: int, times: NDArray[np.int64], row: int, view: int) -> bool:
    seconds, nanos = 0, 0
    while at < end:
        tag = buffer[at]
        number, at = _varint(buffer, at + 1, end)
        if at < 0 or (tag != 0x08 and tag != 0x10):
            return False
        if tag == 0x08:
            seconds = number
        else:
            nanos = number
    if not (0 <= seconds < _SECONDS_MAX and 0 <= nanos < 1_000_000_000):
        return False
    times[row, view] = seconds * 1000 + nanos // 1_000_000
    return True


@compiled_part(nogil=True)
def _stamp(
    buffer: Bytes,
    at: int,
    end: int,
    epoch: NDArray[np.int64],
    position: NDArray[np.int64],
    row: int,
    view: int,
) -> bool:
    if end - at != _STAMP_DIGITS:
        return False
    for i in range(at, end):
        if buffer[i] < _ZERO or buffer[i] > _NINE:
            return False
    head, tail = 0, 0
    for i in range(at, at + _EPOCH_DIGITS):
        head = head * 10 + (_int(buffer[i]) - 48)
    for i in range(at + _EPOCH_DIGITS, end):
        tail = tail * 10 + (_int(buffer[i]) - 48)
    epoch[row, view] = head
    position[row, view] = tail
    return True


@compiled_part(nogil=True)
def _bytes(buffer: Bytes, at: int, end: int, blobs: NDArray[np.int64], row: int, blob: int) -> bool:
    """Note where a Value of bytes holds them; an empty value is Feast's null."""
    if at == end:
        return True
    if buffer[at] != BYTES_TAG:
        return False
    size, begin = _varint(buffer, at + 1, end)
    if begin < 0 or size != end - begin:
        return False
    blobs[row, blob, 0], blobs[row, blob, 1] = begin, end
    return True
