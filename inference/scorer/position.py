"""Where a scorer stands in a partition: the next offset and its lanes, committed together as one offset.

The lanes ride in the committed offset's metadata, so they can never disagree with it, and they commit in
the same transaction as the predictions made up to there. So does what is spent of each day's review samples,
and when the stream began, by which drift knows which windows are full.
"""

from types import MappingProxyType
from typing import NamedTuple

import msgspec

from contracts.errors import StateError
from contracts.lanes import Lanes
from inference.drift.full_windows import UNKNOWN, Began
from inference.review.desk import Sampled

METADATA_BYTES_MAX = 4096  # the broker's offset.metadata.max.bytes
VERSION = 1


class _Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    v: int
    lanes: dict[str, int]
    sampled: dict[int, tuple[int, int]] = {}
    began: Began = UNKNOWN
    joined: list[str] | None = None


class Position(NamedTuple):
    """The next offset to read and the lanes as of there.

    `joined` are the lanes met since the log's beginning, or a part of it, was found to be gone: the first
    record of any other then says where the lane goes on. None where nothing is gone, or all lanes were met.
    `began` says when the partition's events and labels began.
    """

    offset: int
    lanes: Lanes
    joined: frozenset[str] | None = None
    sampled: Sampled = MappingProxyType({})
    began: Began = UNKNOWN


def encode_lanes(
    lanes: Lanes,
    where: str,
    sampled: Sampled = MappingProxyType({}),
    began: Began = UNKNOWN,
    joined: frozenset[str] | None = None,
) -> str:
    """Return the metadata of a committed offset.

    Raises:
        StateError: E_SCORER_LANES, more lanes than an offset's metadata can hold.

    >>> decode_lanes(encode_lanes({"events.device/0": 7}, "features.log/0"), "features.log/0")
    {'events.device/0': 7}
    """
    kept = None if joined is None else sorted(joined)
    text = msgspec.json.encode(_Metadata(VERSION, lanes, dict(sampled), began, kept)).decode()
    if len(text) > METADATA_BYTES_MAX:
        raise StateError("E_SCORER_LANES", f"{len(lanes)} lanes need {len(text)} bytes", where)
    return text


def decode_lanes(text: str | None, where: str) -> Lanes:
    """Return the lanes of a committed offset.

    Raises:
        StateError: E_SCORER_LANES.
    """
    return decode_position(text, where).lanes


def decode_position(text: str | None, where: str, offset: int = 0) -> Position:
    """Return the position that a committed offset and its metadata are.

    Raises:
        StateError: E_SCORER_LANES, the offset was committed by something else than a scorer.
    """
    try:
        metadata = msgspec.json.decode(text or "", type=_Metadata)
    except msgspec.MsgspecError as error:
        raise StateError(
            "E_SCORER_LANES", f"the committed offset says nothing of lanes: {error}", where,
            "something else committed offsets in the scorer's group; see docs/guides for starting again",
        ) from error  # fmt: skip
    if metadata.v != VERSION:
        raise StateError("E_SCORER_LANES", f"lanes of version {metadata.v}, not {VERSION}", where)
    joined = None if metadata.joined is None else frozenset(metadata.joined)
    return Position(offset, metadata.lanes, joined, metadata.sampled, metadata.began)
