"""When the records of other sources go out beside the leading ones: in their time, never sooner.

A label that overtakes the records before it would tell their features what nobody knew then; context that
comes too late would be missing from the features of those after it. So the leading records go in steps; what
falls due with a step goes out with it: labels behind it, context between its records.
"""

import numpy as np
from numpy.typing import NDArray


def due(lead_ms: NDArray[np.int64], other_ms: NDArray[np.int64], start: int, stop: int) -> tuple[int, int]:
    """Return which records of another source fall due with the leading records [start, stop), by their last.

    Those due before `start` went with what was sent before. Those after the last leading record go nowhere:
    nothing says yet that their time has come.

    Args:
        lead_ms: shape (n,), delivery moments of the leading records, ascending.
        other_ms: shape (m,), moments of the others, ascending.

    >>> lead_ms, label_ms = np.array([10, 20, 30, 40]), np.array([5, 20, 25, 99])
    >>> due(lead_ms, label_ms, 0, 2), due(lead_ms, label_ms, 2, 4)
    ((0, 2), (2, 3))
    """
    first = 0 if start == 0 else int(np.searchsorted(other_ms, lead_ms[start - 1], side="right"))
    return first, int(np.searchsorted(other_ms, lead_ms[stop - 1], side="right"))


def places(lead_ms: NDArray[np.int64], other_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return before which leading record each of the others goes: the first that is not earlier, or n.

    >>> places(np.array([10, 20, 30]), np.array([5, 20, 21, 31])).tolist()
    [0, 1, 2, 3]
    """
    return np.searchsorted(lead_ms, other_ms, side="left")
