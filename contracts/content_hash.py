"""The 64-bit hash by which a repeated record is told from one that uses its id for other content.

It is taken of what the event says, not of its bytes: the order of the keys, white space and unknown fields
do not matter, and an absent field equals a null one. Fields tagged personal are left out, also those that
leave the gate as a keyed hash, so that a new key makes no repeat into other content. Written down because
stored state depends on it, and so on the order of the fields in the contract:

    h = 0; for each field, in the contract's order: h = mix(h * 0x100000001B3 + x)      (all modulo 2**64)

where x is `keys.hash64` of a string's UTF-8 bytes (of no bytes when absent), an integer as it is or the bits
of a float64, and mix is the SplitMix64 finaliser.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length
from contracts.keys import hash64, mix
from contracts.pipeline import SourceStream

_PRIME = np.uint64(0x100000001B3)


def hashed_fields(source: SourceStream) -> tuple[str, ...]:
    """Return the fields that the hash is taken of, in order."""
    return tuple(name for name in source.names if name not in source.hashed)


def content_hash(rows: Columns, fields: tuple[str, ...]) -> NDArray[np.uint64]:
    """Return the hash of each record's fields, shape (n,).

    >>> from contracts.frame import strings
    >>> rows = {"id": strings(["a", "a", "b"]), "amount_minor": np.ones(3, np.int64)}
    >>> hashes = content_hash(rows, ("id", "amount_minor"))
    >>> bool(hashes[0] == hashes[1]), bool(hashes[1] == hashes[2])
    (True, False)
    """
    state = np.zeros(length(rows), np.uint64)
    for name in fields:
        state = mix(state * _PRIME + _word(rows[name]))
    return state


def _word(column: NDArray[Any]) -> NDArray[np.uint64]:
    if column.dtype.kind == "S":
        return np.asarray(hash64(column), np.uint64)
    if column.dtype.kind == "f":
        return np.where(np.isnan(column), np.nan, column + 0.0).view(np.uint64)  # one NaN, and one zero
    return column.astype(np.int64).view(np.uint64)
