"""When labels go out: behind the payments that came before them in event time, never sooner.

A label that overtakes payments would tell their features what nobody knew then. So payments go in slices, and
the labels of a slice go behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Slice:
    """Payments [start, stop), after which labels [labels_start, labels_stop) have fallen due."""

    start: int
    stop: int
    labels_start: int
    labels_stop: int


def slices(
    moment_ms: NDArray[np.int64],
    label_ms: NDArray[np.int64],
    size: int,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Slice]:
    """Cut payments into slices of `size` with the labels that fall due with each.

    A label belongs to the first slice whose last payment is at or after its label_time: sent after that
    slice, it cannot be early. Labels due before `start` belong to slices before; labels after the last
    payment to none.

    Args:
        moment_ms: shape (n,), delivery moments of the payments, ascending.
        label_ms: shape (m,), label times, ascending.

    >>> cut = slices(np.array([10, 20, 30, 40]), np.array([5, 20, 25, 99]), 2)
    >>> [(s.start, s.stop, s.labels_start, s.labels_stop) for s in cut]
    [(0, 2, 0, 2), (2, 4, 2, 3)]
    """
    stop = len(moment_ms) if stop is None else stop
    due = 0 if start == 0 else int(np.searchsorted(label_ms, moment_ms[start - 1], side="right"))
    for low in range(start, stop, size):
        high = min(low + size, stop)
        until = int(np.searchsorted(label_ms, moment_ms[high - 1], side="right"))
        yield Slice(low, high, due, until)
        due = until
