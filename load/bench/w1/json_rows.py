"""One JSON record an output row, for readers that are no stages of ours.

A row carries its place in the input, `source`: partition and position, which grow together along a lane, so
that a reader drops what an incarnation sends twice. Lanes and claims are for readers of record batches.

orjson writes the numbers of a whole batch at once (the shortest text that reads back as the same bits); a
kernel then weaves names, ids and numbers into records. A row whose ids need escapes takes the plain way.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import orjson
from numba import njit
from numpy.typing import NDArray

from contracts.frame import Columns, length

WORDS = ("transaction_id", "customer_id", "terminal_id")
INT_CHARS = 20  # of a 64-bit integer with its sign
_COMMA, _CLOSE, _MINUS, _ZERO = 0x2C, 0x5D, 0x2D, 0x30

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


class JsonWriter:
    """Makes JSON records of rows with as-of values; see `streams.stage.core.Writer`.

    Args:
        src: the lane's source, `topic/partition`.
        base: the position from which this incarnation reads its input.
        columns: names of the columns of `customer_values`; a null value is null.

    >>> writer = JsonWriter("events.customer/0", 0, ("count_1h",))
    >>> rows = {"pos": np.array([7]), "event_time": np.array([5]), "customer_values": np.array([[1.0]])}
    >>> rows |= {name: np.array([b"x"]) for name in WORDS}
    >>> writer.emit(2, rows, np.array([0], np.int32), 8)[0][1]
    b'{"source":7,"event_time":5,"transaction_id":"x","customer_id":"x","terminal_id":"x","count_1h":1.0}'
    """

    def __init__(self, src: str, base: int, columns: tuple[str, ...]) -> None:
        self.src, self.base = src, base
        self._names = ("source", "event_time", *WORDS, *columns)
        self._pieces, self._ends = _joined(_texts(columns))

    def emit(
        self, kind: int, rows: Columns, targets: NDArray[np.int32], upto: int
    ) -> list[tuple[int, bytes]]:
        """Return (target partition, record) pairs, one a row, in input order."""
        if not length(rows):
            return []
        values = np.ascontiguousarray(rows["customer_values"])
        numbers = np.frombuffer(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY), np.uint8)
        words = [_bytes_of(rows[name]) for name in WORDS]
        width = len(self._pieces) + 2 * INT_CHARS + sum(word.shape[1] for word in words)
        out = np.empty(len(targets) * width + len(numbers), np.uint8)
        ends = np.empty(len(targets) + 1, np.int64)
        places = (rows["pos"], rows["event_time"])
        _weave(out, ends, *places, words[0], words[1], words[2], numbers, self._pieces, self._ends)
        blob, at = out[: ends[-1]].tobytes(), ends.tolist()
        made = [blob[begin:end] for begin, end in pairwise(at)]
        for row in np.flatnonzero(np.logical_or.reduce([_escapes(word) for word in words])).tolist():
            made[row] = self._plain(rows, row)
        return list(zip(targets.tolist(), made, strict=True))

    def _plain(self, rows: Columns, row: int) -> bytes:
        cells: list[Any] = [int(rows["pos"][row]), int(rows["event_time"][row])]
        cells += [rows[name][row].decode() for name in WORDS]
        cells += rows["customer_values"][row].tolist()
        return orjson.dumps(dict(zip(self._names, cells, strict=True)))


def _texts(columns: tuple[str, ...]) -> list[bytes]:
    """Return what stands before each cell of a record, and what ends it."""
    quote = ""
    texts: list[bytes] = []
    for name in ("source", "event_time", *WORDS, *columns):
        opens = '"' if name in WORDS else ""
        texts.append(f'{quote}{"," if texts else "{"}"{name}":{opens}'.encode())
        quote = opens
    return [*texts, f"{quote}}}".encode()]


def _joined(texts: list[bytes]) -> tuple[Bytes, Ints]:
    """Return texts one behind the other, and where each ends."""
    return np.frombuffer(b"".join(texts), np.uint8), np.cumsum([len(text) for text in texts])


def _bytes_of(column: NDArray[Any]) -> Bytes:
    contiguous = np.ascontiguousarray(column)
    return contiguous.view(np.uint8).reshape(len(contiguous), contiguous.dtype.itemsize)


def _escapes(word: Bytes) -> NDArray[np.bool_]:
    """Tell which rows hold a character that JSON escapes; NUL is the padding."""
    odd = ((word < 0x20) & (word != 0)) | (word == ord('"')) | (word == ord("\\"))
    return np.asarray(odd.any(axis=1))


@njit(cache=True, nogil=True)
def _weave(
    out: Bytes, ends: Ints, source: Ints, times: Ints, first: Bytes, second: Bytes, third: Bytes,
    numbers: Bytes, pieces: Bytes, piece_ends: Ints,
) -> None:  # fmt: skip
    """Fill `out` with n records and `ends` (n + 1,) with where each begins; `numbers` is [[..],[..]]."""
    to, digit = 0, 2  # behind the two brackets
    ends[0] = 0
    cells = len(piece_ends) - 6
    for row in range(len(source)):
        to = _copy(out, to, pieces, 0, piece_ends[0])
        to = _integer(out, to, source[row])
        to = _copy(out, to, pieces, piece_ends[0], piece_ends[1])
        to = _integer(out, to, times[row])
        to = _copy(out, to, pieces, piece_ends[1], piece_ends[2])
        to = _word(out, to, first[row])
        to = _copy(out, to, pieces, piece_ends[2], piece_ends[3])
        to = _word(out, to, second[row])
        to = _copy(out, to, pieces, piece_ends[3], piece_ends[4])
        to = _word(out, to, third[row])
        for cell in range(cells):
            to = _copy(out, to, pieces, piece_ends[4 + cell], piece_ends[5 + cell])
            while numbers[digit] != _COMMA and numbers[digit] != _CLOSE:
                out[to] = numbers[digit]
                to += 1
                digit += 1
            digit += 1
        digit += 2 if cells else 3  # a comma and a bracket
        to = _copy(out, to, pieces, piece_ends[-2], piece_ends[-1])
        ends[row + 1] = to


@njit(cache=True, nogil=True)
def _copy(out: Bytes, to: int, source: Bytes, begin: int, end: int) -> int:
    for at in range(begin, end):
        out[to] = source[at]
        to += 1
    return to


@njit(cache=True, nogil=True)
def _word(out: Bytes, to: int, word: Bytes) -> int:
    for byte in word:
        if byte == 0:
            break
        out[to] = byte
        to += 1
    return to


@njit(cache=True, nogil=True)
def _integer(out: Bytes, to: int, number: int) -> int:
    if number < 0:
        out[to] = _MINUS
        to += 1
        number = -number
    digits, rest = 1, number // 10
    while rest:
        digits += 1
        rest //= 10
    for place in range(digits - 1, -1, -1):
        out[to + place] = _ZERO + number % 10
        number //= 10
    return to + digits
