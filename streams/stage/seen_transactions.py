"""The transaction ids of the last 24 hours, so that a repeated payment counts once.

An id is remembered by its arrival: the partition's newest event time when it came. That clock is a
function of the log alone, so every replay drops the same rows. Ids are kept in order of arrival, which
makes forgetting a cut at the front, and go to the changelog in chunks that are each written once.
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from contracts.topics import DAY_MS
from features.key_table import KeyTable

HORIZON_MS = DAY_MS
CHUNK_ROWS = 8192  # ids of up to 64 bytes stay under a record of 1 MB
NEVER = np.iinfo(np.int64).min

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]


class Verdict(NamedTuple):
    """Masks over a batch: the first of its id, a repeat of the same content, or other content."""

    first: NDArray[np.bool_]
    repeat: NDArray[np.bool_]
    conflict: NDArray[np.bool_]


class _Marks(NamedTuple):
    """What is remembered of an id, by slot: the hash of its content, and its arrival in ms."""

    content: Hashes
    arrival_ms: Ints

    def grown(self, capacity: int) -> "_Marks":
        """Return a copy with room for `capacity` slots."""
        more = capacity - len(self.content)
        return _Marks(
            np.concatenate([self.content, np.zeros(more, np.uint64)]),
            np.concatenate([self.arrival_ms, np.full(more, NEVER)]),
        )


class _Firsts(NamedTuple):
    """Ids as they first came, in order of arrival; one may come again after the horizon."""

    slots: Ints
    content: Hashes
    arrival_ms: Ints

    def part(self, which: "slice | NDArray[np.bool_]") -> "_Firsts":
        """Return the rows that a slice or a mask names."""
        return _Firsts(self.slots[which], self.content[which], self.arrival_ms[which])


_NONE = _Firsts(np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.int64))


class _Chunk(NamedTuple):
    """A changelog record's ids and when they came."""

    number: int
    slots: Ints
    arrival_ms: Ints


class SeenTransactions:
    """Decides first, repeat or conflict for each row of a batch, and remembers the firsts.

    >>> seen = SeenTransactions()
    >>> ids, hashes, times = np.array([b"t1", b"t1"]), np.array([9, 9], np.uint64), np.array([5, 5])
    >>> seen.judge(ids, hashes, times).first.tolist()
    [True, False]
    """

    def __init__(self) -> None:
        self.newest_ms = 0
        self._ids = KeyTable()
        self._marks = _Marks(np.empty(0, np.uint64), np.empty(0, np.int64))
        self._new: list[_Firsts] = []  # that no chunk holds yet, batch after batch
        self._next_number = 0
        self._chunks: deque[_Chunk] = deque()
        self._forgotten: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    def judge(self, ids: NDArray[np.bytes_], content: Hashes, event_time_ms: Ints) -> Verdict:
        """Return what each row is; later rows of the batch see earlier ones.

        Args:
            ids: shape (n,), transaction ids in log order.
            content: shape (n,), hash of each row's content.
            event_time_ms: shape (n,).
        """
        clock_ms = np.maximum(np.maximum.accumulate(event_time_ms), self.newest_ms)
        slots = self._slots(ids)
        first = np.empty(len(slots), np.bool_)
        conflict = np.empty(len(slots), np.bool_)
        rows = _Firsts(slots, np.ascontiguousarray(content), clock_ms)
        _judge(self._marks, rows, first, conflict)
        self._new.append(rows.part(first))
        self.newest_ms = int(clock_ms[-1]) if len(slots) else self.newest_ms
        self._forget()
        return Verdict(first, ~first & ~conflict, conflict)

    def take_dirty(self) -> list[tuple[int, bytes | None]]:
        """Return forgotten chunks (number, nothing) and new ones (number, bytes)."""
        entries: list[tuple[int, bytes | None]] = [(number, None) for number in self._forgotten]
        self._forgotten = []
        rows = _Firsts(*map(np.concatenate, zip(_NONE, *self._new, strict=True)))
        self._new = []
        for at in range(0, len(rows.slots), CHUNK_ROWS):
            some = rows.part(slice(at, at + CHUNK_ROWS))
            entries.append((self._next_number, self._pack(some)))
            self._chunk(self._next_number, some)
        return entries

    def load(self, chunks: Mapping[int, bytes], newest_ms: int) -> None:
        """Take over the chunks of a changelog and the clock of its marker."""
        self.newest_ms = newest_ms
        for number in sorted(chunks):
            names, content, arrival_ms = _unpack(chunks[number])
            slots = self._slots(np.array(names, np.bytes_))
            self._marks.content[slots], self._marks.arrival_ms[slots] = content, arrival_ms
            self._chunk(number, _Firsts(slots, content, arrival_ms))
        self._forget()

    def _slots(self, ids: NDArray[np.bytes_]) -> Ints:
        slots = self._ids.add(ids)
        if self._ids.slots > len(self._marks.content):
            self._marks = self._marks.grown(max(1024, 2 * self._ids.slots))
        return slots

    def _chunk(self, number: int, rows: _Firsts) -> None:
        """Keep the slots of a chunk, the newest so far."""
        self._chunks.append(_Chunk(number, rows.slots, rows.arrival_ms))
        self._next_number = number + 1

    def _pack(self, rows: _Firsts) -> bytes:
        names = b"\0".join(self._ids.names(rows.slots))
        count = len(rows.slots).to_bytes(4, "little")
        return count + rows.content.tobytes() + rows.arrival_ms.tobytes() + names

    def _forget(self) -> None:
        """Drop whole chunks past the horizon; an id that came again since then is in a later chunk too."""
        while self._chunks and self.newest_ms - self._chunks[0].arrival_ms[-1] > HORIZON_MS:
            chunk = self._chunks.popleft()
            self._forgotten.append(chunk.number)
            gone = chunk.slots[self._marks.arrival_ms[chunk.slots] == chunk.arrival_ms]
            self._ids.remove(gone)
            self._marks.arrival_ms[gone] = NEVER


def chunks_of(ids: NDArray[np.bytes_], content: Hashes, arrival_ms: Ints) -> dict[int, bytes]:
    """Return the chunks (number -> bytes) that remember these ids, for `SeenTransactions.load`.

    Args:
        ids, content, arrival_ms: shape (n,), in order of arrival; an id once within the horizon.

    >>> list(chunks_of(np.array([b"t1"]), np.array([9], np.uint64), np.array([5])))
    [0]
    """
    seen = SeenTransactions()
    seen.judge(ids, content, arrival_ms)
    return {number: blob for number, blob in seen.take_dirty() if blob is not None}


@njit(cache=True, error_model="numpy", nogil=True)
def _judge(marks: _Marks, rows: _Firsts, first: NDArray[np.bool_], conflict: NDArray[np.bool_]) -> None:
    """Fill `first` and `conflict`, and note each first row."""
    for r in range(len(rows.slots)):
        slot, arrival_ms = rows.slots[r], marks.arrival_ms[rows.slots[r]]
        first[r] = arrival_ms == NEVER or rows.arrival_ms[r] - arrival_ms > HORIZON_MS
        conflict[r] = not first[r] and marks.content[slot] != rows.content[r]
        if first[r]:
            marks.arrival_ms[slot], marks.content[slot] = rows.arrival_ms[r], rows.content[r]


def _unpack(blob: bytes) -> tuple[list[bytes], Hashes, Ints]:
    """Return the names, content hashes and arrivals of a chunk."""
    count = int.from_bytes(blob[:4], "little")
    content = np.frombuffer(blob, np.uint64, count, 4)
    arrival_ms = np.frombuffer(blob, np.int64, count, 4 + 8 * count)
    return blob[4 + 16 * count :].split(b"\0"), content, arrival_ms
