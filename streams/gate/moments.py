"""Moments of rows, and the slices of event time into which runs of rows are cut.

A row's moment is the median of its own time and its neighbours' in the log: one row that is dated ahead does
not hold up the partition behind it, and one that comes late does not pull it back.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
NEIGHBOURS = 9  # rows of which a moment is the median, at most


class Fineness(NamedTuple):
    """How finely runs of rows are cut: slices of `slice_ms` at least, and of `rows_min` rows in all."""

    slice_ms: int
    rows_min: int


def moments_of(times_ms: Ints) -> Ints:
    """Return the moment of each row of one partition, in log order (n,).

    >>> moments_of(np.array([1, 2, 3, 4, 9_000, 5, 6, 7, 8, 9, 10])).tolist()
    [3, 3, 3, 4, 5, 6, 7, 8, 9, 8, 8]
    >>> moments_of(np.array([5, 9_000, 6])).tolist()
    [5, 6, 6]
    """
    half = min(NEIGHBOURS, len(times_ms)) - 1 >> 1
    if half < 1:
        return times_ms
    padded = np.pad(times_ms, half, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.partition(windows, half, axis=1)[:, half]


def slices_of(runs: Sequence[Ints], cut: Fineness) -> list[Ints]:
    """Return where each run is cut: (slices + 1,) bounds a run, slice i being rows [bounds[i], bounds[i+1]).

    A slice covers the same stretch of time in every run; stretches with few rows are one slice.

    Args:
        runs: moments of the rows of each run, in its order, which is kept: a row that is earlier than one
            before it belongs to the slice of that one.

    >>> [b.tolist() for b in slices_of([np.array([0, 10, 25]), np.array([5, 12])], Fineness(10, 1))]
    [[0, 1, 2, 3], [0, 1, 2, 2]]
    >>> [b.tolist() for b in slices_of([np.array([0, 10, 25]), np.array([5, 12])], Fineness(10, 2))]
    [[0, 1, 3], [0, 1, 2]]
    """
    reached = [np.maximum.accumulate(run) for run in runs]
    first = min(int(run[0]) for run in reached)
    last = max(int(run[-1]) for run in reached)
    if last - first < cut.slice_ms or sum(map(len, runs)) < 2 * cut.rows_min:
        return [np.array([0, len(run)]) for run in runs]
    stretches = [(run - first) // cut.slice_ms for run in reached]
    begins = _begins(np.concatenate(stretches), cut.rows_min)
    return [np.append(np.searchsorted(run, begins), len(run)) for run in stretches]


def _begins(stretches: Ints, rows_min: int) -> Ints:
    """Return the stretches with which slices begin, so that each has enough rows."""
    numbers, counts = np.unique(stretches, return_counts=True)
    begins, rows = [int(numbers[0])], 0
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        if rows >= rows_min:
            begins.append(number)
            rows = 0
        rows += count
    if rows < rows_min and len(begins) > 1:
        begins.pop()
    return np.array(begins, np.int64)
