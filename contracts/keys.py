"""Keys: which partition owns one, and the 64-bit hash that sketches and duplicates use.

`murmur2` is Kafka's Java partitioner, so that every producer and every stage put a key on the same
partition. `hash64` is FNV-1a over the bytes followed by the SplitMix64 finaliser; it is written down here
because stored state depends on it.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from contracts.chain import Link
from contracts.frame import Columns, length
from contracts.pipeline import SourceStream

_M = np.uint32(0x5BD1E995)
_SEED = np.uint32(0x9747B28C)
_PRIME = np.uint64(0x100000001B3)
NULL = np.iinfo(np.int64).min  # of a whole number, time, decimal or truth value


def partition_of(keys: NDArray[np.bytes_], partitions: int) -> NDArray[np.int32]:
    """Return the partition of each key: murmur2 with the sign bit cleared, modulo `partitions`.

    Args:
        keys: shape (n,), dtype S<w>; trailing NUL bytes are not part of a key.

    >>> partition_of(np.array([b"c1", b"c2", b""]), 4).tolist()
    [3, 1, 1]
    """
    return _murmur2_partitions(_bytes_of(keys), partitions)


def hash64(keys: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """Return the 64-bit hash of each key.

    >>> [hex(h) for h in hash64(np.array([b"", b"c1"])).tolist()]
    ['0xf52a15e9a9b5e89b', '0x3dad38d96cd8adb9']
    """
    return _hash64(_bytes_of(keys))


def joined_hash(*columns: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """Return the 64-bit hash of each row of one or more columns of keys; of one it is `hash64`.

    >>> one, other = np.array([b"a", b"b"]), np.array([b"b", b"a"])
    >>> len(set([*joined_hash(one, other).tolist(), *joined_hash(other, one).tolist()]))
    2
    """
    state = hash64(columns[0])
    for column in columns[1:]:
        state = mix(state * _PRIME + hash64(column))
    return state


def mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the SplitMix64 finaliser of each word."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def key_of(rows: Columns, fields: tuple[str, ...]) -> NDArray[np.bytes_]:
    """Return the key that fields make, (n,); empty where a part is missing, or its column is.

    One field's key is its text, a whole number's its digits. Of several each part has its length before it,
    so that no two keys are one: `2:ab1:c`.

    >>> rows = {"shop": np.array([b"ab", b""]), "till": np.array([7, 8])}
    >>> key_of(rows, ("shop",)).tolist(), key_of(rows, ("shop", "till")).tolist()
    ([b'ab', b''], [b'2:ab1:7', b''])
    """
    if any(name not in rows for name in fields):
        return np.zeros(length(rows), "S1")
    parts = [_text(rows[name]) for name in fields]
    if len(parts) == 1:
        return parts[0]
    lengths = [np.char.str_len(part) for part in parts]
    joined: NDArray[np.bytes_] = np.zeros(len(parts[0]), "S1")
    for part, size in zip(parts, lengths, strict=True):
        joined = np.char.add(np.char.add(joined, np.char.mod(b"%d:", size)), part)
    joined[np.logical_or.reduce([size == 0 for size in lengths])] = b""
    return joined


def targets_of(rows: Columns, link: Link, source: SourceStream, partitions: int) -> NDArray[np.int32]:
    """Return the partition of each row of a source at a stage: that of its key's first field.

    A row that has no key goes by its id, and one without an id by its place in its source's log.
    """
    if source.always_has(link):
        return partition_of(key_of(rows, link.fields[:1]), partitions)
    others = key_of(rows, source.ids) if source.ids else _text(rows["raw_offset"])
    missing = key_of(rows, link.fields) == b""
    targets = partition_of(key_of(rows, link.fields[:1]), partitions)
    return np.where(missing, partition_of(others, partitions), targets)


def _text(column: NDArray[Any]) -> NDArray[np.bytes_]:
    """Return a column as text; of whole numbers the smallest is null."""
    if column.dtype.kind == "S":
        return column
    digits = np.char.mod(b"%d", column)
    digits[column == NULL] = b""
    return digits


def _bytes_of(keys: NDArray[Any]) -> NDArray[np.uint8]:
    contiguous = np.ascontiguousarray(keys)
    return contiguous.view(np.uint8).reshape(len(contiguous), contiguous.dtype.itemsize)


@njit(cache=True, nogil=True)
def _width(row: NDArray[np.uint8]) -> int:
    size = len(row)
    while size > 0 and row[size - 1] == 0:
        size -= 1
    return size


@njit(cache=True, nogil=True)
def _murmur2_partitions(keys: NDArray[np.uint8], partitions: int) -> NDArray[np.int32]:
    out = np.empty(len(keys), np.int32)
    for i in range(len(keys)):
        row = keys[i]
        size = _width(row)
        h = _SEED ^ np.uint32(size)
        words = size // 4
        for w in range(words):
            at = w * 4
            k = (
                np.uint32(row[at])
                | np.uint32(row[at + 1]) << np.uint32(8)
                | np.uint32(row[at + 2]) << np.uint32(16)
                | np.uint32(row[at + 3]) << np.uint32(24)
            )
            k = np.uint32(k * _M)
            k = np.uint32(k ^ (k >> np.uint32(24)))
            k = np.uint32(k * _M)
            h = np.uint32(np.uint32(h * _M) ^ k)
        tail = size - words * 4
        if tail >= 3:
            h = np.uint32(h ^ (np.uint32(row[words * 4 + 2]) << np.uint32(16)))
        if tail >= 2:
            h = np.uint32(h ^ (np.uint32(row[words * 4 + 1]) << np.uint32(8)))
        if tail >= 1:
            h = np.uint32(h ^ np.uint32(row[words * 4]))
            h = np.uint32(h * _M)
        h = np.uint32(h ^ (h >> np.uint32(13)))
        h = np.uint32(h * _M)
        h = np.uint32(h ^ (h >> np.uint32(15)))
        out[i] = np.int32(np.int64(h & np.uint32(0x7FFFFFFF)) % partitions)
    return out


@njit(cache=True, nogil=True)
def _hash64(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    out = np.empty(len(keys), np.uint64)
    for i in range(len(keys)):
        row = keys[i]
        h = np.uint64(0xCBF29CE484222325)
        for j in range(_width(row)):
            h = (h ^ np.uint64(row[j])) * np.uint64(0x100000001B3)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        out[i] = h ^ (h >> np.uint64(31))
    return out
