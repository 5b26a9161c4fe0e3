"""Runs of words as bytes and back: how the parts of a view are packed behind its tiles.

A run is its length, then each word, zig-zag and as a varint (see `features.packing`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled_part
from features.packing import get, get_signed, put, put_signed

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
VARINT_BYTES = 10  # of the longest


@compiled_part()
def put_words(words: Ints, counts: Ints, data: Bytes, offsets: Ints) -> None:
    """Write runs of `counts` words, one after another in `words`, each at its offset, moving it behind."""
    w = 0
    for i in range(len(counts)):
        o = put(data, offsets[i], counts[i])
        for _ in range(counts[i]):
            o = put_signed(data, o, words[w])
            w += 1
        offsets[i] = o


@compiled_part()
def get_counts(data: Bytes, offsets: Ints, counts: Ints) -> None:
    """Read how many words each run has, -1 where there are not as many bytes left; the offsets stay."""
    for i in range(len(offsets)):
        counts[i], o = get(data, offsets[i])
        if counts[i] > len(data) - o:
            counts[i] = -1


@compiled_part()
def get_words(words: Ints, counts: Ints, data: Bytes, offsets: Ints) -> None:
    """Read the runs, one after another, into `words`, moving the offsets behind them."""
    w = 0
    for i in range(len(counts)):
        _, o = get(data, offsets[i])
        for _ in range(counts[i]):
            words[w], o = get_signed(data, o)
            w += 1
        offsets[i] = o


class PackedRuns(NamedTuple):
    """How a part lays out its words: so many words, then so many runs of `width` words an entry.

    A run begins with its number of entries, `most` at most.
    """

    fixed: int
    runs: int
    width: int
    most: int


@compiled_part()
def walk(words: Ints, ends: Ints, offsets: Ints, form: PackedRuns) -> bool:
    """Move each offset behind a part's words; say whether all of them end within their record.

    >>> offsets = np.array([0])
    >>> walk(np.array([1, 7, 7]), np.array([3]), offsets, PackedRuns(0, 1, 2, 5)), offsets.tolist()
    (True, [3])
    >>> walk(np.array([2, 7, 7]), np.array([3]), np.array([0]), PackedRuns(0, 1, 2, 5))
    False
    """
    for i in range(len(offsets)):
        o = offsets[i] + form.fixed
        for _ in range(form.runs):
            if o >= ends[i] or words[o] < 0 or words[o] > form.most or words[o] > ends[i] - o:
                return False
            o += 1 + words[o] * form.width
        if o > ends[i]:
            return False
        offsets[i] = o
    return True
