"""Where a scorer stands in a partition: the next offset and its lanes, committed together as one offset.

The lanes ride in the committed offset's metadata, so they can never disagree with it, and they commit in
the same transaction as the predictions made up to there. So does what is spent of each day's review samples.
"""

from types import MappingProxyType
from typing import NamedTuple

import msgspec

from contracts.errors import StateError
from contracts.lanes import Lanes
from inference.review.desk import Sampled

METADATA_BYTES_MAX = 4096  # the broker's offset.metadata.max.bytes
VERSION = 1


class _Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    v: int
    lanes: dict[str, int]
    sampled: dict[int, tuple[int, int]] = {}


class Position(NamedTuple):
    """The next offset to read and the lanes as of there.

    `cut` says that the log's beginning is gone and nothing was ever committed: the first record of each
    lane then says where the lane begins.
    """

    offset: int
    lanes: Lanes
    cut: bool = False
    sampled: Sampled = MappingProxyType({})


def encode_lanes(lanes: Lanes, where: str, sampled: Sampled = MappingProxyType({})) -> str:
    """Return the metadata of a committed offset.

    Raises:
        StateError: E_SCORER_LANES, more lanes than an offset's metadata can hold.

    >>> decode_lanes(encode_lanes({"events.terminal/0": 7}, "features.log/0"), "features.log/0")
    {'events.terminal/0': 7}
    """
    text = msgspec.json.encode(_Metadata(VERSION, lanes, dict(sampled))).decode()
    if len(text) > METADATA_BYTES_MAX:
        raise StateError("E_SCORER_LANES", f"{len(lanes)} lanes need {len(text)} bytes", where)
    return text


def decode_lanes(text: str | None, where: str) -> Lanes:
    """Return the lanes of a committed offset.

    Raises:
        StateError: E_SCORER_LANES.
    """
    return decode_position(text, where)[0]


def decode_position(text: str | None, where: str) -> tuple[Lanes, Sampled]:
    """Return the lanes of a committed offset, and what was drawn by then.

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
    return metadata.lanes, metadata.sampled
