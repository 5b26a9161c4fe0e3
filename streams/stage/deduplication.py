"""The ids of late, by source and the first entity's key, so that a repeated record counts once.

A record arrives at what the partition's clock showed when it came, or at its own time when that is later. It
is remembered until the clock (`features.partition_clock`, of first rows alone, and kept apart from the
entity's, which labels may move) is past that by its source's horizon, a day unless the contract says
otherwise. The clock is a function of the log, so every replay drops the same rows; one row dated ahead moves
it by nothing. Ids go to the changelog in chunks that are each written once and forgotten whole.

A chunk says of each record until when it is remembered, less a day: what remembers needs no contract, and
where none names a horizon that is the arrival.
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.keys import hash64, mix
from contracts.pipeline import SCORED, SOURCES_MAX
from contracts.topics import DAY_MS
from features.compiled import compiled
from features.key_table import KeyTable
from features.partition_clock import NOW, Clock, Hashes, Ints, PartitionClock, step

HORIZON_MS = DAY_MS
CHUNK_ROWS = 8192  # ids of up to 64 bytes stay under a record of 1 MB
NEVER = np.iinfo(np.int64).min
_MARK_BYTES = 16  # of an id: hash of its content, until when it is remembered
_CHUNK_ROW_BYTES = 16  # of a remembered record in its chunk: slot, until when
_DIGITS = 10  # of seven bits: a hash as bytes none of which is NUL


class Duplicates(NamedTuple):
    """Masks over a batch: the first of its id, a repeat of the same content, or other content."""

    first: NDArray[np.bool_]
    repeat: NDArray[np.bool_]
    conflict: NDArray[np.bool_]


class _Marks(NamedTuple):
    """What is remembered of an id, by slot: the hash of its content, and up to which moment in ms."""

    content: Hashes
    until_ms: Ints

    def grown(self, capacity: int) -> "_Marks":
        """Return a copy with room for `capacity` slots."""
        more = capacity - len(self.content)
        return _Marks(
            np.concatenate([self.content, np.zeros(more, np.uint64)]),
            np.concatenate([self.until_ms, np.full(more, NEVER)]),
        )


class Arrivals(NamedTuple):
    """Rows of the first stage's topic, (n,) each, in log order: key, id, hash of the content, event time."""

    keys: NDArray[np.bytes_]
    ids: NDArray[np.bytes_]
    content: Hashes
    event_time_ms: Ints


class _Firsts(NamedTuple):
    """Records as they first came, in log order; one may come again after the horizon."""

    slots: Ints
    content: Hashes
    until_ms: Ints

    def part(self, which: "slice | NDArray[np.bool_]") -> "_Firsts":
        """Return the rows that a slice or a mask names."""
        return _Firsts(self.slots[which], self.content[which], self.until_ms[which])


_NONE = _Firsts(np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.int64))


class _Chunk(NamedTuple):
    """A changelog record's records, until when they are remembered, and the latest of that."""

    number: int
    slots: Ints
    until_ms: Ints
    last_ms: int


class Deduplication:
    """Decides first, repeat or conflict for each row of a batch, and remembers the firsts.

    Args:
        horizons_ms: for how long ids are remembered, by the source's number; `HORIZON_MS` else.

    >>> seen, same = Deduplication(), np.array([9, 9, 9], np.uint64)
    >>> keys, ids = np.array([b"c1", b"c1", b"c2"]), np.array([b"t1", b"t1", b"t1"])
    >>> seen.check(Arrivals(keys, ids, same, np.array([5, 5, 5]))).first.tolist()
    [True, False, True]
    """

    def __init__(self, horizons_ms: Mapping[int, int] | None = None) -> None:
        self.clock = PartitionClock()
        self._horizon_ms = _by_source(horizons_ms or {})
        self._ids = KeyTable()
        self._marks = _Marks(np.empty(0, np.uint64), np.empty(0, np.int64))
        self._new: list[_Firsts] = []  # that no chunk holds yet, batch after batch
        self._next_number = 0
        self._chunks: deque[_Chunk] = deque()
        self._forgotten: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def used_bytes(self) -> int:
        """Bytes in use for the remembered records, without the room for more."""
        return self._ids.slots * (self._ids.slot_bytes + _MARK_BYTES) + len(self._ids) * _CHUNK_ROW_BYTES

    def check(self, rows: Arrivals, source: "int | Ints" = SCORED) -> Duplicates:
        """Return what each row is; later rows of the batch see earlier ones, none those of another source.

        Args:
            source: the number of the source that all rows are of, or that of each (n,).
        """
        keys = hash64(rows.keys)
        slots = self._slots(names_of(of_source(keys, source), rows.ids))
        first = np.empty(len(slots), np.bool_)
        conflict = np.empty(len(slots), np.bool_)
        arrived = _Firsts(slots, np.ascontiguousarray(rows.content), rows.event_time_ms.astype(np.int64))
        horizon_ms = self._horizons_of(source, len(slots))
        _judge(self._marks, self.clock.arrays, keys, arrived, horizon_ms, first, conflict)
        self._new.append(arrived.part(first))
        self._forget()
        return Duplicates(first, ~first & ~conflict, conflict)

    def remember(self, rows: Arrivals, source: "int | Ints" = SCORED) -> dict[int, bytes]:
        """Note records, `event_time_ms` being when each arrived, and return the chunks that hold them."""
        slots = self._slots(names_of(of_source(hash64(rows.keys), source), rows.ids))
        until_ms = rows.event_time_ms + self._horizons_of(source, len(slots))
        self._marks.content[slots], self._marks.until_ms[slots] = rows.content, until_ms
        self._new.append(_Firsts(slots, rows.content, until_ms))
        return {number: blob for number, blob in self.take_dirty() if blob is not None}

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

    def load(self, chunks: Mapping[int, bytes], clock: bytes) -> None:
        """Take over the chunks of a changelog and its partition's clock; b"" for none yet.

        Raises:
            StateError: E_STATE_BYTES.
        """
        if clock:
            self.clock.load(clock)
        for number in sorted(chunks):
            names, content, until_ms = _unpack(chunks[number])
            slots = self._slots(np.array(names, np.bytes_))
            self._marks.content[slots], self._marks.until_ms[slots] = content, until_ms
            self._chunk(number, _Firsts(slots, content, until_ms))
        self._forget()

    def _horizons_of(self, source: "int | Ints", rows: int) -> Ints:
        found = self._horizon_ms[source]
        return np.full(rows, found) if isinstance(source, int) else found

    def _slots(self, ids: NDArray[np.bytes_]) -> Ints:
        slots = self._ids.add(ids)
        if self._ids.slots > len(self._marks.content):
            self._marks = self._marks.grown(max(1024, 2 * self._ids.slots))
        return slots

    def _chunk(self, number: int, rows: _Firsts) -> None:
        """Keep the slots of a chunk, the newest so far."""
        self._chunks.append(_Chunk(number, rows.slots, rows.until_ms, int(rows.until_ms.max())))
        self._next_number = number + 1

    def _pack(self, rows: _Firsts) -> bytes:
        names = b"\0".join(self._ids.names(rows.slots))
        count = len(rows.slots).to_bytes(4, "little")
        return count + rows.content.tobytes() + (rows.until_ms - HORIZON_MS).tobytes() + names

    def _forget(self) -> None:
        """Drop whole chunks whose time is over; a record that came again since then is in a later chunk too.

        A chunk with a row dated ahead, or of a source with a longer horizon, stays until its time has come,
        and those after it go before it.
        """
        past = [chunk for chunk in self._chunks if chunk.last_ms < self.clock.now_ms]
        for chunk in past:
            self._chunks.remove(chunk)
            self._forgotten.append(chunk.number)
            gone = chunk.slots[self._marks.until_ms[chunk.slots] == chunk.until_ms]
            self._ids.remove(gone)
            self._marks.until_ms[gone] = NEVER


def _by_source(horizons_ms: Mapping[int, int]) -> Ints:
    """Return the horizon of every number that a source may have."""
    found = np.full(SOURCES_MAX + 1, HORIZON_MS, np.int64)
    for number, horizon_ms in horizons_ms.items():
        found[number] = horizon_ms
    return found


def of_source(keys: Hashes, source: "int | Ints") -> Hashes:
    """Return hashes of keys (n,) that tell sources apart; those of the scored source are as they are.

    >>> keys = np.array([1, 2], np.uint64)
    >>> bool((of_source(keys, 1) == keys).all()), bool((of_source(keys, 2) == keys).any())
    (True, False)
    >>> bool(of_source(keys, np.array([1, 2]))[1] == of_source(keys, 2)[1])
    True
    """
    if isinstance(source, int):
        return keys if source == SCORED else mix(keys + np.uint64(source))
    return np.where(source == SCORED, keys, mix(keys + source.astype(np.uint64)))


def names_of(keys: Hashes, ids: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """Return what names each record: the hash of its key, seven bits a byte, and its id.

    >>> names = names_of(np.array([1, 2], np.uint64), np.array([b"t1", b"t1"]))
    >>> names[0][:3], names[0][-2:], names[0] == names[1]
    (b'\\x81\\x80\\x80', b't1', False)
    """
    letters = np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), ids.dtype.itemsize)
    joined = np.empty((len(ids), _DIGITS + letters.shape[1]), np.uint8)
    _join(keys, letters, joined)
    names: NDArray[np.bytes_] = joined.view(f"S{joined.shape[1]}").ravel()
    return names


def chunks_of(
    rows: Arrivals, source: "int | Ints" = SCORED, horizons_ms: Mapping[int, int] | None = None
) -> dict[int, bytes]:
    """Return the chunks (number -> bytes) that remember these records, for `Deduplication.load`.

    Args:
        rows: a record once within the horizon; `event_time_ms` is when each arrived.
        source: as of `Deduplication.check`. horizons_ms: as of `Deduplication`.

    >>> rows = Arrivals(np.array([b"c1"]), np.array([b"t1"]), np.array([9], np.uint64), np.array([5]))
    >>> list(chunks_of(rows))
    [0]
    """
    return Deduplication(horizons_ms).remember(rows, source)


@compiled
def _join(keys: Hashes, letters: NDArray[np.uint8], joined: NDArray[np.uint8]) -> None:
    for r in range(len(keys)):
        rest = keys[r]
        for digit in range(_DIGITS):
            joined[r, digit] = np.uint8(rest & np.uint64(127)) | np.uint8(128)
            rest >>= np.uint64(7)
        for letter in range(letters.shape[1]):
            joined[r, _DIGITS + letter] = letters[r, letter]


@compiled
def _judge(
    marks: _Marks, clock: Clock, keys: Hashes, rows: _Firsts, horizon_ms: Ints, first: NDArray[np.bool_],
    conflict: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Fill `first` and `conflict`, note each first row, and put its end in place of its time."""
    for r in range(len(rows.slots)):
        slot, now_ms, time_ms = rows.slots[r], clock.marks[NOW], rows.until_ms[r]
        until_ms = marks.until_ms[slot]
        first[r] = until_ms == NEVER or until_ms < now_ms
        conflict[r] = not first[r] and marks.content[slot] != rows.content[r]
        rows.until_ms[r] = max(now_ms, time_ms) + horizon_ms[r]
        if first[r]:
            marks.until_ms[slot], marks.content[slot] = rows.until_ms[r], rows.content[r]
            step(clock, keys[r], time_ms)


def _unpack(blob: bytes) -> tuple[list[bytes], Hashes, Ints]:
    """Return the names, content hashes and ends of a chunk's records.

    Raises:
        StateError: E_STATE_BYTES, it is none that a stage wrote.
    """
    count = int.from_bytes(blob[:4], "little")
    names = blob[4 + 16 * count :].split(b"\0")
    if not count or len(names) != count or len(blob) < 4 + 16 * count:
        raise StateError(
            "E_STATE_BYTES", f"a chunk of {len(blob)} bytes does not hold the {count} ids that it says",
            "remembered ids",
            "find what wrote to the changelog besides the stage; `headrace backfill --warm` rebuilds it",
        )  # fmt: skip
    content = np.frombuffer(blob, np.uint64, count, 4)
    until_ms = np.frombuffer(blob, np.int64, count, 4 + 8 * count) + HORIZON_MS
    return names, content, until_ms
