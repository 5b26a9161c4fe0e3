"""The 64-bit hash by which a repeated payment is told from a conflicting one.

It is taken of what the event says, not of its bytes: the order of the keys, white space and unknown fields
do not matter, and an absent field equals a null one. Fields tagged personal are left out, since nothing
made from them leaves the gate. Written down because stored state depends on it:

    h = 0; for each field, in `FIELDS` order: h = mix(h * 0x100000001B3 + x)      (all modulo 2**64)

where x is `keys.hash64` of a string's UTF-8 bytes (of no bytes when absent) or an integer as it is, and
mix is the SplitMix64 finaliser.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length
from contracts.keys import hash64

FIELDS = (
    "transaction_id",
    "event_time",
    "customer_id",
    "terminal_id",
    "amount_minor",
    "currency",
    "channel",
    "country",
)
_PRIME = np.uint64(0x100000001B3)


def content_hash(rows: Columns) -> NDArray[np.uint64]:
    """Return the hash of each payment, shape (n,).

    >>> from contracts.frame import strings
    >>> ids = {name: strings(["a", "a", "b"]) for name in FIELDS}
    >>> hashes = content_hash(ids | {"event_time": np.zeros(3, "i8"), "amount_minor": np.ones(3, "i8")})
    >>> bool(hashes[0] == hashes[1]), bool(hashes[1] == hashes[2])
    (True, False)
    """
    state = np.zeros(length(rows), np.uint64)
    for name in FIELDS:
        state = _mix(state * _PRIME + _word(rows[name]))
    return state


def _word(column: NDArray[Any]) -> NDArray[np.uint64]:
    if column.dtype.kind == "S":
        return np.asarray(hash64(column), np.uint64)
    return column.astype(np.int64).view(np.uint64)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
