"""From a model's raw score to a probability: breakpoints that ship with the model, applied with NumPy.

Isotonic regression by pooling adjacent violators (Ayer et al. 1955; Zadrozny and Elkan 2002), then a straight
line between the pools' middles. A plain isotonic step function gives whole ranges of scores one probability
and so loses their order; the lines keep it, since both coordinates of the breakpoints rise strictly.
"""

from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
POOL_ROWS_MIN = 50  # a probability told from fewer rows is chance


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


def fit(fraud: Ints, score: Floats) -> Calibration:
    """Return the calibration of scored payments whose outcome is known.

    Args:
        fraud: shape (n,), 0 or 1.
        score: shape (n,), raw scores in 0..1.

    >>> fraud = np.array([0] * 100 + [1, 0] * 50)
    >>> score = np.array([0.1] * 100 + [0.8] * 100)
    >>> fit(fraud, score).apply(np.array([0.8])).round(3).tolist()
    [0.5]
    """
    if not len(fraud):
        return Calibration(raw=[0.0, 1.0], probability=[0.0, 1.0])
    middles, shares = _pools(fraud, score)
    points = [(0.0, 0.0)]
    for middle, share in zip(middles, shares, strict=True):
        if points[-1][0] < middle < 1.0 and points[-1][1] < share < 1.0:
            points.append((middle, share))
    points.append((1.0, 1.0))
    return Calibration(raw=[raw for raw, _ in points], probability=[share for _, share in points])


def decode(data: bytes, where: str) -> Calibration:
    """Return the calibration that a file holds.

    Raises:
        ModelError: E_MODEL_CALIBRATION.
    """
    try:
        return msgspec.json.decode(data, type=Calibration)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise ModelError("E_MODEL_CALIBRATION", str(error), where, "train the model again") from error


def _pools(fraud: Ints, score: Floats) -> tuple[list[float], list[float]]:
    """Return each pool's mean score and its share of frauds, shares rising."""
    order = np.argsort(score, kind="stable")
    _, first = np.unique(score[order], return_index=True)
    weight = np.diff(np.append(first, len(order))).astype(np.float64)
    frauds = np.add.reduceat(fraud[order].astype(np.float64), first)
    scores = score[order][first] * weight
    stack: list[tuple[float, float, float]] = []  # rows, frauds, sum of scores
    for pool in zip(weight.tolist(), frauds.tolist(), scores.tolist(), strict=True):
        stack.append(pool)
        while len(stack) > 1 and _violates(stack[-2], stack[-1]):
            (rows, bad, total), (more_rows, more_bad, more_total) = stack[-2], stack[-1]
            stack[-2:] = [(rows + more_rows, bad + more_bad, total + more_total)]
    return [total / rows for rows, _, total in stack], [bad / rows for rows, bad, _ in stack]


def _violates(left: tuple[float, float, float], right: tuple[float, float, float]) -> bool:
    return left[1] / left[0] >= right[1] / right[0] or left[0] < POOL_ROWS_MIN


def _rises(line: list[float]) -> bool:
    return all(a < b for a, b in pairwise(line))
