"""From a model's raw score to a probability: breakpoints that ship with the model, applied with NumPy.

Isotonic regression by pooling adjacent violators (Ayer et al. 1955; Zadrozny and Elkan 2002), then a straight
line between the pools' middles. A plain isotonic step function gives whole ranges of scores one probability
and so loses their order; the lines keep it, since both coordinates of the breakpoints rise strictly.

A pool of one outcome alone is a pool as well: without a positive its probability is about 0, with nothing
but positives about 1, as near as half an event among so many (Jeffreys' half count), up to its end.
"""

from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
POOL_ROWS_MIN = 50  # a probability told from fewer rows is chance
EDGE = 2.0**-50  # a pool at a score of 0 or 1 stands so far inside


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A rising line from raw scores to probabilities, both from 0 to 1.

    >>> Calibration(raw=[0.0, 0.5, 1.0], probability=[0.0, 0.1, 1.0]).apply(np.array([0.25, 0.75, np.nan]))
    array([0.05, 0.55,  nan])
    """

    raw: list[float]
    probability: list[float]

    def __post_init__(self) -> None:
        for name, line in (("raw", self.raw), ("probability", self.probability)):
            if len(line) < 2 or line[0] != 0.0 or line[-1] != 1.0 or not _rises(line):
                raise ValueError(f"{name} must rise strictly from 0 to 1 in at least two points")
        if len(self.raw) != len(self.probability):
            raise ValueError(f"{len(self.raw)} raw scores for {len(self.probability)} probabilities")

    def apply(self, scores: Floats) -> Floats:
        """Return the probabilities of raw scores, shape (n,); null stays null."""
        return np.asarray(np.interp(scores, self.raw, self.probability), dtype=np.float64)


def fit(positive: Ints, score: Floats) -> Calibration:
    """Return the calibration of scored events whose outcome is known.

    Args:
        positive: shape (n,), 0 or 1.
        score: shape (n,), raw scores in 0..1.

    >>> positive = np.array([0] * 100 + [1, 0] * 50)
    >>> score = np.array([0.1] * 100 + [0.8] * 100)
    >>> fit(positive, score).apply(np.array([0.8])).round(3).tolist()
    [0.5]
    """
    if not len(positive):
        return Calibration(raw=[0.0, 1.0], probability=[0.0, 1.0])
    points = [(0.0, 0.0), *_points(_pools(positive, score)), (1.0, 1.0)]
    rising = points[:1]
    for point in points[1:]:
        if rising[-1][0] < point[0] and rising[-1][1] < point[1]:
            rising.append(point)
    return Calibration(raw=[raw for raw, _ in rising], probability=[share for _, share in rising])


def decode(data: bytes, where: str) -> Calibration:
    """Return the calibration that a file holds.

    Raises:
        ModelError: E_MODEL_CALIBRATION.
    """
    try:
        return msgspec.json.decode(data, type=Calibration)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ModelError("E_MODEL_CALIBRATION", str(error), where, "train the model again") from error


class _Pool(NamedTuple):
    """Events that get one probability: how many, how many positives, the scores' sum, lowest and highest."""

    rows: float
    positives: float
    total: float
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.positives / self.rows

    def plus(self, other: "_Pool") -> "_Pool":
        sums = (self.rows + other.rows, self.positives + other.positives, self.total + other.total)
        return _Pool(*sums, self.low, other.high)


def _pools(positive: Ints, score: Floats) -> list[_Pool]:
    """Return the pools by score, their shares of positives rising."""
    order = np.argsort(score, kind="stable")
    each, first = np.unique(score[order], return_index=True)
    weight = np.diff(np.append(first, len(order))).astype(np.float64)
    positives = np.add.reduceat(positive[order].astype(np.float64), first)
    columns = (weight, positives, each * weight, each, each)
    stack: list[_Pool] = []
    for pool in map(_Pool, *(column.tolist() for column in columns)):
        stack.append(pool)
        while len(stack) > 1 and _violates(stack[-2], stack[-1]):
            stack[-2:] = [stack[-2].plus(stack[-1])]
    return stack


def _points(pools: list[_Pool]) -> list[tuple[float, float]]:
    """Return a breakpoint a pool: its mean score and share, strictly within 0 and 1.

    The half count of a pool of one outcome is kept on its side of the pool beside it.
    """
    points = []
    for at, pool in enumerate(pools):
        half = 0.5 / (pool.rows + 1.0)
        if pool.positives == 0:
            above = pools[at + 1].share if at + 1 < len(pools) else 1.0
            raw, share = pool.high, min(half, above / 2)
        elif pool.positives == pool.rows:
            below = pools[at - 1].share if at else 0.0
            raw, share = pool.low, max(1.0 - half, (1.0 + below) / 2)
        else:
            raw, share = pool.total / pool.rows, pool.share
        points.append((min(max(raw, EDGE), 1.0 - EDGE), share))
    return points


def _violates(left: _Pool, right: _Pool) -> bool:
    return left.share >= right.share or left.rows < POOL_ROWS_MIN


def _rises(line: list[float]) -> bool:
    return all(a < b for a, b in pairwise(line))
