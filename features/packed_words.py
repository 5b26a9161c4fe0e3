"""Runs of words as bytes and back: how the parts of a view are packed behind its tiles.

A run is its length, then each word, zig-zag and as a varint (see `features.packing`).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.packing import get, get_signed, put, put_signed

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
VARINT_BYTES = 10  # of the longest


@njit(cache=True)
def put_words(words: Ints, counts: Ints, data: Bytes, offsets: Ints) -> None:
    """Write runs of `counts` words, one after another in `words`, each at its offset, moving it behind."""
    w = 0
    for i in range(len(counts)):
        o = put(data, offsets[i], counts[i])
        for _ in range(counts[i]):
            o = put_signed(data, o, words[w])
            w += 1
        offsets[i] = o


@njit(cache=True)
def get_counts(data: Bytes, offsets: Ints, counts: Ints) -> None:
    """Read how many words each run has; the offsets stay."""
    for i in range(len(offsets)):
        counts[i] = get(data, offsets[i])[0]


@njit(cache=True)
def get_words(words: Ints, counts: Ints, data: Bytes, offsets: Ints) -> None:
    """Read the runs, one after another, into `words`, moving the offsets behind them."""
    w = 0
    for i in range(len(counts)):
        _, o = get(data, offsets[i])
        for _ in range(counts[i]):
            words[w], o = get_signed(data, o)
            w += 1
        offsets[i] = o
