"""Feast's byte format on Redis: entity keys, field names, values and timestamps.

Feast calls this format part of its public API. It is written down here, and held against Feast's own
functions by the tests, so that the event path can write and read rows without the SDK, which needs about
100 microseconds a row.

A row is one hash. Its key is the entity key (serialization version 3) followed by the project's name; a
feature is a field named by murmur3 of `view:feature`; its value is a serialized `feast.types.Value`; each
view has the row's event time under `_ts:<view>`. All views of an entity share the one hash. We add
`_o:<view>`: the position in the log of the event that the view's values are as of.
"""

import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError, ContractError
from features.feast_key import text_key

ViewFields = tuple[str, Sequence[str]]  # a view's name and the names of its features

DOUBLE_TAG = 0x29  # field 5 of feast.types.Value, wire type 64 bit
VALUE_BYTES = 9  # the tag and an IEEE double, little endian; zero and NaN are written too
TIMESTAMP_BYTES = 12
STAMP_BYTES = 30  # 10 digits of the topic's epoch, 20 of the position
SECONDS_LIMIT = 1 << 35  # five 7-bit groups: until the year 3058
_STRING = 2  # feast.types.ValueType
_MASK = 0xFFFFFFFF


def key_prefix(join_key: str) -> bytes:
    """Return what stands before the value in the key of an entity with one string join key.

    >>> key_prefix("id").hex(" ", 4)
    '0100 00000200 00000200 00006964 02000000'
    """
    return text_key(join_key).prefix + struct.pack("<I", _STRING)


def entity_key(project: str, join_key: str, value: bytes) -> bytes:
    """Return the Redis key of the row of one entity with one string join key.

    >>> entity_key("hr", "id", b"C1")[-8:]
    b'\\x02\\x00\\x00\\x00C1hr'
    """
    return text_key(join_key).serialized(value) + project.encode()


def field_name(view: str, feature: str) -> bytes:
    """Return the hash field of a feature: murmur3 (32 bit, seed 0), little endian.

    >>> field_name("v", "f").hex()
    'f16cb60a'
    """
    return struct.pack("<I", murmur3(f"{view}:{feature}".encode()))


def timestamp_field(view: str) -> bytes:
    """Return the hash field of a view's event time.

    >>> timestamp_field("v")
    b'_ts:v'
    """
    return b"_ts:" + view.encode()


def stamp_field(view: str) -> bytes:
    """Return the hash field of the log position that a view's values are as of.

    >>> stamp_field("v")
    b'_o:v'
    """
    return b"_o:" + view.encode()


def refuse_collisions(views: Iterable[ViewFields]) -> None:
    """Check that no two features of the views of one entity share a field: names are only 32 bits.

    Raises:
        ConfigError: E_FEATURE_COLLISION; one of the two features needs another name.

    >>> refuse_collisions([("orders", ["count", "sum"]), ("profile", ["count"])])
    """
    taken: dict[bytes, str] = {}
    for view, features in views:
        for feature in features:
            name, field = f"{view}:{feature}", field_name(view, feature)
            if field in taken:
                what = f"{taken[field]} and {name} have the same field {field.hex()} in Feast's format"
                raise ConfigError("E_FEATURE_COLLISION", what, view, "rename one of the two features")
            taken[field] = name


def timestamps(times_ms: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return each time as a serialized protobuf Timestamp of fixed width, shape (n, 12).

    Varints are padded to five bytes, which every protobuf reader takes, so that rows have one width.

    Raises:
        ContractError: E_ROW_TIME, a time before 1970 or after the year 3058.

    >>> timestamps(np.array([1_500]))[0].tobytes().hex(" ", 1)
    '08 81 80 80 80 00 10 80 ca b5 ee 01'
    """
    seconds, millis = np.divmod(times_ms, 1000)
    if len(seconds) and (seconds.min() < 0 or seconds.max() >= SECONDS_LIMIT):
        raise ContractError("E_ROW_TIME", f"times between {times_ms.min()} and {times_ms.max()} ms", "row")
    out = np.empty((len(times_ms), TIMESTAMP_BYTES), np.uint8)
    out[:, 0], out[:, 6] = 0x08, 0x10
    out[:, 1:6] = _padded_varint(seconds)
    out[:, 7:] = _padded_varint(millis * 1_000_000)
    return out


def stamps(positions: NDArray[np.int64], epoch: int) -> NDArray[np.uint8]:
    """Return each position with its topic's epoch as fixed-width digits, shape (n, 30).

    Digits, because Redis compares strings in Lua exactly and its numbers are doubles.

    >>> stamps(np.array([1 << 40]), 1764547200)[0].tobytes()
    b'176454720000000001099511627776'
    """
    if not 0 <= epoch < 10**10 or (len(positions) and positions.min() < 0):
        raise ContractError("E_ROW_STAMP", f"epoch {epoch}, least position {positions.min()}", "row")
    groups = np.empty((len(positions), 5), np.uint32)
    rest = positions
    for at in range(4, -1, -1):
        rest, group = np.divmod(rest, 10_000)
        groups[:, at] = _FOUR_DIGITS[group]
    out = np.empty((len(positions), STAMP_BYTES), np.uint8)
    out[:, :10] = np.frombuffer(b"%010d" % epoch, np.uint8)
    out[:, 10:] = groups.view(np.uint8)
    return out


def murmur3(data: bytes, seed: int = 0) -> int:
    """Return the 32-bit murmur3 hash (x86 variant).

    >>> hex(murmur3(b"hello"))
    '0x248bfa47'
    """
    state = seed
    body = len(data) & ~3
    for (word,) in struct.iter_unpack("<I", data[:body]):
        state ^= _scramble(word)
        state = ((state << 13) | (state >> 19)) & _MASK
        state = (state * 5 + 0xE6546B64) & _MASK
    if len(data) > body:
        state ^= _scramble(int.from_bytes(data[body:], "little"))
    state ^= len(data)
    state = ((state ^ (state >> 16)) * 0x85EBCA6B) & _MASK
    state = ((state ^ (state >> 13)) * 0xC2B2AE35) & _MASK
    return state ^ (state >> 16)


def _scramble(word: int) -> int:
    word = (word * 0xCC9E2D51) & _MASK
    word = ((word << 15) | (word >> 17)) & _MASK
    return (word * 0x1B873593) & _MASK


def _padded_varint(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    out = np.empty((len(numbers), 5), np.uint8)
    for at in range(5):
        more = 0x80 if at < 4 else 0
        out[:, at] = ((numbers >> (7 * at)) & 0x7F) | more
    return out


_FOUR_DIGITS = np.frombuffer(b"".join(b"%04d" % n for n in range(10_000)), np.uint32)
