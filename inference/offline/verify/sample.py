"""Which keys are looked at: those with the smallest hashes, each with all its rows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.keys import hash64

Mask = NDArray[np.bool_]


class Sample(NamedTuple):
    """Keys in the sample and, for the rows given, which are theirs."""

    keys: NDArray[np.bytes_]
    rows: Mask


def whole_keys(keys: NDArray[np.bytes_], rows_min: int) -> Sample:
    """Return as many keys as bring `rows_min` rows, in the order of their hashes.

    >>> sample = whole_keys(np.array([b"c1", b"c2", b"c1"]), rows_min=1)
    >>> len(sample.keys), bool((np.isin([b"c1", b"c2", b"c1"], sample.keys) == sample.rows).all())
    (1, True)
    """
    names, of_row, rows = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(hash64(names), kind="stable")
    enough = int(np.searchsorted(np.cumsum(rows[order]), rows_min)) + 1
    chosen = np.zeros(len(names), np.bool_)
    chosen[order[:enough]] = True
    return Sample(names[chosen], chosen[of_row])
