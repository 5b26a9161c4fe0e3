"""How good scores are when the truth is known: ranking, precision at a review capacity, calibration."""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.definition import DAY_MS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CARDS_A_DAY = 100
BINS = 10


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Scored payments whose outcome is known; all columns have shape (n,).

    `fraud` is 0 or 1, `score` a probability, `event_ms` the payment's own time.
    """

    fraud: Ints
    score: Floats
    event_ms: Ints
    customer: NDArray[np.bytes_]


def roc_auc(fraud: Ints, score: Floats) -> float:
    """Return the chance that a fraud is scored above a good payment, ties as one half; NaN with one class.

    >>> roc_auc(np.array([0, 1, 1]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    _, rank_group, sizes = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(sizes) - (sizes - 1) / 2.0
    frauds = int(fraud.sum())
    good = len(fraud) - frauds
    if not frauds or not good:
        return float("nan")
    ranks = float(mean_rank[rank_group][fraud == 1].sum())
    return (ranks - frauds * (frauds + 1) / 2.0) / (frauds * good)


def average_precision(fraud: Ints, score: Floats) -> float:
    """Return the mean precision over the frauds, going down the scores; equal scores are one step.

    >>> average_precision(np.array([1, 0, 1]), np.array([0.9, 0.8, 0.7]))
    0.8333333333333333
    """
    frauds = int(fraud.sum())
    if not frauds:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(fraud[order])
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    precision = found[ends] / (ends + 1.0)
    gained = np.diff(np.append(0, found[ends])) / frauds
    return float(np.sum(precision * gained))


def precision_at_cards(judged: Judged, cards_a_day: int = CARDS_A_DAY) -> float:
    """Return the share of frauds among the customers a team would call, `cards_a_day` on each UTC day.

    A customer ranks by the highest score of the day and counts as fraud when any payment of that day was
    one; days weigh the same.
    """
    shares = [day.fraud[day.called[:cards_a_day]].mean() for day in _days(judged)]
    return float(np.mean(shares)) if shares else float("nan")


def recall_at_cards(judged: Judged, cards_a_day: int = CARDS_A_DAY) -> float:
    """Return the share of the customers with a fraud that a team would call, day by day, NaN without any.

    A customer with frauds on two days counts twice; days weigh by their frauds.
    """
    days = _days(judged)
    frauds = sum(int(day.fraud.sum()) for day in days)
    called = sum(int(day.fraud[day.called[:cards_a_day]].sum()) for day in days)
    return called / frauds if frauds else float("nan")


class _Day(NamedTuple):
    """The customers of one UTC day: whether each had a fraud, and their numbers, highest score first."""

    fraud: Ints
    called: NDArray[np.intp]


def _days(judged: Judged) -> list[_Day]:
    found = []
    day = judged.event_ms // DAY_MS
    for today in np.unique(day):
        rows = np.flatnonzero(day == today)
        _, who = np.unique(judged.customer[rows], return_inverse=True)
        best = np.full(who.max() + 1, -np.inf)
        fraud = np.zeros(who.max() + 1, dtype=np.int64)
        np.maximum.at(best, who, judged.score[rows])
        np.maximum.at(fraud, who, judged.fraud[rows])
        found.append(_Day(fraud, np.argsort(-best, kind="stable")))
    return found


def brier(fraud: Ints, score: Floats) -> float:
    """Return the mean squared distance of the score from the outcome."""
    return float(np.mean((score - fraud) ** 2)) if len(fraud) else float("nan")


def reliability(fraud: Ints, score: Floats, bins: int = BINS) -> list[dict[str, float]]:
    """Return equally filled bins, lowest scores first: how many, mean score, share of frauds."""
    order = np.argsort(score, kind="stable")
    return [
        {
            "rows": len(part),
            "score_mean": float(score[part].mean()),
            "positive_share": float(fraud[part].mean()),
        }
        for part in np.array_split(order, bins)
        if len(part)
    ]


def calibration_error(fraud: Ints, score: Floats, bins: int = BINS) -> float:
    """Return how far scores are from the share of frauds, on average over equally filled bins (ECE).

    >>> calibration_error(np.array([0, 0, 1, 1]), np.array([0.1, 0.1, 0.6, 0.6]), bins=2)
    0.25
    """
    if not len(fraud):
        return float("nan")
    apart = [
        part["rows"] * abs(part["score_mean"] - part["positive_share"])
        for part in reliability(fraud, score, bins)
    ]
    return float(sum(apart) / len(fraud))


def summary(judged: Judged) -> dict[str, object]:
    """Return every figure of this file, as a manifest and a report hold them."""
    return {
        "rows": len(judged.fraud),
        "frauds": int(judged.fraud.sum()),
        "auc": roc_auc(judged.fraud, judged.score),
        "average_precision": average_precision(judged.fraud, judged.score),
        f"precision_at_{CARDS_A_DAY}_cards_a_day": precision_at_cards(judged),
        f"recall_at_{CARDS_A_DAY}_cards_a_day": recall_at_cards(judged),
        "brier": brier(judged.fraud, judged.score),
        "calibration_error": calibration_error(judged.fraud, judged.score),
        "reliability": reliability(judged.fraud, judged.score),
    }
