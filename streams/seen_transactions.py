"""The transaction ids of the last 24 hours, so that a repeated payment counts once.

An id is remembered by its arrival: the partition's newest event time when it came. That clock is a
function of the log alone, so every replay drops the same rows. Ids are kept in order of arrival, which
makes forgetting a cut at the front, and go to the changelog in chunks that are each written once.
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.topics import DAY_MS

HORIZON_MS = DAY_MS
CHUNK_ROWS = 8192  # ids of up to 64 bytes stay under a record of 1 MB

Mark = tuple[int, int]  # content hash, arrival in ms
Ints = NDArray[np.int64]


class Verdict(NamedTuple):
    """Masks over a batch: the first of its id, a repeat of the same content, or other content."""

    first: NDArray[np.bool_]
    repeat: NDArray[np.bool_]
    conflict: NDArray[np.bool_]


class _Chunk(NamedTuple):
    number: int
    names: list[bytes]
    marks: list[Mark]


class SeenTransactions:
    """Decides first, repeat or conflict for each row of a batch, and remembers the firsts.

    >>> seen = SeenTransactions()
    >>> ids, hashes, times = np.array([b"t1", b"t1"]), np.array([9, 9], np.uint64), np.array([5, 5])
    >>> seen.judge(ids, hashes, times).first.tolist()
    [True, False]
    """

    def __init__(self) -> None:
        self.newest_ms = 0
        self._marks: dict[bytes, Mark] = {}
        self._new = _Chunk(0, [], [])
        self._chunks: deque[_Chunk] = deque()
        self._forgotten: list[int] = []

    def __len__(self) -> int:
        return len(self._marks)

    def judge(self, ids: NDArray[np.bytes_], content: NDArray[np.uint64], event_time_ms: Ints) -> Verdict:
        """Return what each row is; later rows of the batch see earlier ones.

        Args:
            ids: shape (n,), transaction ids in log order.
            content: shape (n,), hash of each row's content.
            event_time_ms: shape (n,).
        """
        clock = np.maximum(np.maximum.accumulate(event_time_ms), self.newest_ms)
        names = ids.tolist()
        marks = list(zip(content.tolist(), clock.tolist(), strict=True))
        known = list(map(self._marks.setdefault, names, marks))
        first = np.ones(len(names), np.bool_)
        conflict = np.zeros(len(names), np.bool_)
        for row, (mark, before) in enumerate(zip(marks, known, strict=True)):
            if mark is before:
                continue
            before = self._marks[names[row]]  # an earlier row of this batch may have replaced it
            if mark[1] - before[1] > HORIZON_MS:
                self._marks[names[row]] = mark
            else:
                first[row], conflict[row] = False, mark[0] != before[0]
        self._remember(names, marks, first)
        self.newest_ms = int(clock[-1]) if len(names) else self.newest_ms
        self._forget()
        return Verdict(first, ~first & ~conflict, conflict)

    def take_dirty(self) -> list[tuple[int, bytes | None]]:
        """Return forgotten chunks (number, nothing) and new ones (number, bytes)."""
        entries: list[tuple[int, bytes | None]] = [(number, None) for number in self._forgotten]
        self._forgotten = []
        number, names, marks = self._new
        for at in range(0, len(names), CHUNK_ROWS):
            chunk = _Chunk(number, names[at : at + CHUNK_ROWS], marks[at : at + CHUNK_ROWS])
            self._chunks.append(chunk)
            entries.append((number, _pack(chunk)))
            number += 1
        self._new = _Chunk(number, [], [])
        return entries

    def load(self, chunks: Mapping[int, bytes], newest_ms: int) -> None:
        """Take over the chunks of a changelog and the clock of its marker."""
        self.newest_ms = newest_ms
        for number in sorted(chunks):
            chunk = _unpack(number, chunks[number])
            self._marks.update(zip(chunk.names, chunk.marks, strict=True))
            self._chunks.append(chunk)
            self._new = _Chunk(number + 1, [], [])
        self._forget()

    def _remember(self, names: list[bytes], marks: list[Mark], first: NDArray[np.bool_]) -> None:
        if first.all():
            self._new.names.extend(names)
            self._new.marks.extend(marks)
            return
        for row in np.flatnonzero(first).tolist():
            self._new.names.append(names[row])
            self._new.marks.append(marks[row])

    def _forget(self) -> None:
        """Drop whole chunks past the horizon; `judge` looks at each id's own arrival."""
        while self._chunks and self.newest_ms - self._chunks[0].marks[-1][1] > HORIZON_MS:
            chunk = self._chunks.popleft()
            self._forgotten.append(chunk.number)
            for name, mark in zip(chunk.names, chunk.marks, strict=True):
                if self._marks.get(name) is mark:
                    del self._marks[name]


def _pack(chunk: _Chunk) -> bytes:
    content = np.array([mark[0] for mark in chunk.marks], np.uint64).tobytes()
    arrivals = np.array([mark[1] for mark in chunk.marks], np.int64).tobytes()
    return len(chunk.names).to_bytes(4, "little") + content + arrivals + b"\0".join(chunk.names)


def _unpack(number: int, blob: bytes) -> _Chunk:
    count = int.from_bytes(blob[:4], "little")
    content = np.frombuffer(blob, np.uint64, count, 4).tolist()
    arrivals = np.frombuffer(blob, np.int64, count, 4 + 8 * count).tolist()
    names = blob[4 + 16 * count :].split(b"\0")
    return _Chunk(number, names, list(zip(content, arrivals, strict=True)))
