"""How two sets of values of the same rows differ: by feature and by day, and how far apart they are."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.definition import DAY_MS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Difference(msgspec.Struct, kw_only=True):
    """What became of one feature's values, over all rows or those of one day.

    `missing` are values that only the recomputation has, `extra` those that only the other side has,
    `mismatch` two values of different bits. `symmetric_error` is the mean, over the rows where both have a
    value, of 2|a - b| / (|a| + |b|): 0 where they are equal, 2 at most.
    """

    rows: int = 0
    missing: int = 0
    extra: int = 0
    mismatch: int = 0
    both: int = 0
    error_sum: float = 0.0

    @property
    def wrong(self) -> int:
        """Return how many values differ in any way."""
        return self.missing + self.extra + self.mismatch

    @property
    def symmetric_error(self) -> float:
        """Return the mean symmetric error, 0 when no row has both values."""
        return self.error_sum / self.both if self.both else 0.0

    def add(self, other: "Difference") -> None:
        """Take in what was counted elsewhere."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_dict(self) -> dict[str, float]:
        """Return the counts and the mean error, for a report."""
        counts = {name: getattr(self, name) for name in ("rows", "missing", "extra", "mismatch")}
        return {**counts, "symmetric_error": self.symmetric_error}


class Differences(msgspec.Struct, kw_only=True):
    """The differences of many rows, by feature, and of each by day."""

    rows: int = 0
    rows_wrong: int = 0
    features: dict[str, Difference] = {}
    days: dict[str, dict[str, Difference]] = {}

    def add(self, other: "Differences") -> None:
        """Take in the differences of other rows."""
        self.rows += other.rows
        self.rows_wrong += other.rows_wrong
        for name, found in other.features.items():
            self.features.setdefault(name, Difference()).add(found)
        for name, by_day in other.days.items():
            mine = self.days.setdefault(name, {})
            for day, found in by_day.items():
                mine.setdefault(day, Difference()).add(found)

    def differing(self) -> dict[str, dict[str, object]]:
        """Return the features that differ: their counts, and the same of the days on which they do."""
        return {
            name: {
                **found.as_dict(),
                "days": {day: part.as_dict() for day, part in sorted(self.days[name].items()) if part.wrong},
            }
            for name, found in self.features.items()
            if found.wrong
        }


def wrong_bits(ours: Floats, theirs: Floats) -> Mask:
    """Return where two values are not the same bits; any null equals any other.

    >>> wrong_bits(np.array([1.0, np.nan, 0.0]), np.array([1.0, np.nan, -0.0])).tolist()
    [False, False, True]
    """
    differ = np.ascontiguousarray(ours).view(np.uint64) != np.ascontiguousarray(theirs).view(np.uint64)
    return np.asarray(differ & ~(np.isnan(ours) & np.isnan(theirs)))


def differences(columns: Sequence[str], again: Floats, found: Floats, at_ms: Ints) -> Differences:
    """Return how `found` differs from the recomputation `again`.

    Args:
        columns: k names; again, found: shape (n, k).
        at_ms: shape (n,), the time whose day (UTC) a row is counted under.

    >>> told = differences(["a"], np.array([[1.0], [3.0]]), np.array([[1.0], [1.0]]), np.array([0, 0]))
    >>> told.rows_wrong, told.features["a"].symmetric_error, told.days["a"]["1970-01-01"].mismatch
    (1, 0.5, 1)
    """
    wrong = wrong_bits(again, found)
    bad_rows = wrong.any(axis=1)
    result = Differences(rows=len(again), rows_wrong=int(bad_rows.sum()), features={}, days={})
    numbers, day = np.unique(at_ms // DAY_MS, return_inverse=True)
    names = [str(np.datetime64(number, "D")) for number in numbers.tolist()]
    for i, name in enumerate(columns):
        parts = _by_day(again[:, i], found[:, i], wrong[:, i], day, len(names))
        result.days[name] = dict(zip(names, parts, strict=True))
        result.features[name] = Difference()
        for part in parts:
            result.features[name].add(part)
    return result


def _by_day(again: Floats, found: Floats, wrong: Mask, day: Ints, days: int) -> list[Difference]:
    """Return what became of one feature's values on each day.

    Args:
        day: shape (n,), the number of each row's day, below `days`.
    """
    there = ~np.isnan(again)
    rows = np.bincount(day, minlength=days).tolist()
    if not wrong.any():
        both = np.bincount(day[there], minlength=days).tolist()
        return [Difference(rows=n, both=m) for n, m in zip(rows, both, strict=True)]
    found_there = ~np.isnan(found)
    masks = (there & ~found_there, ~there & found_there, wrong & there & found_there, there & found_there)
    apart = np.abs(again - found)
    size = np.abs(again) + np.abs(found)
    error = 2.0 * apart / np.where(size == 0.0, 1.0, size)
    counts = [np.bincount(day[mask], minlength=days).tolist() for mask in masks]
    errors = np.bincount(day[masks[-1]], error[masks[-1]], minlength=days).tolist()
    return [
        Difference(rows=n, missing=missing, extra=extra, mismatch=mismatch, both=both, error_sum=error_sum)
        for n, missing, extra, mismatch, both, error_sum in zip(rows, *counts, errors, strict=True)
    ]
