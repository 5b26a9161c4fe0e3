"""Where a raw record lies, as one number by which rows of different datasets find each other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_OFFSET_BITS = 40  # partition << 40 | offset


def places(partition: NDArray[Any], offset: NDArray[Any]) -> NDArray[np.int64]:
    """Return (n,) places of raw records.

    >>> places(np.array([0, 1]), np.array([5, 5])).tolist() == [5, (1 << 40) + 5]
    True
    """
    return (partition.astype(np.int64) << _OFFSET_BITS) | offset.astype(np.int64)


def place(partition: int, offset: int) -> int:
    """Return the place of one raw record.

    >>> place(1, 5) == (1 << 40) + 5
    True
    """
    return (partition << _OFFSET_BITS) | offset
