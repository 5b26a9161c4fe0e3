"""How good scores are when the truth is known: ranking, precision at a review capacity, calibration."""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.definition import DAY_MS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
KEYS_A_DAY = 100
BINS = 10


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Scored events whose outcome is known; all columns have shape (n,).

    `positive` is 0 or 1, `score` a probability, `event_ms` the event's own time.
    """

    positive: Ints
    score: Floats
    event_ms: Ints
    key: NDArray[np.bytes_]


def roc_auc(positive: Ints, score: Floats) -> float:
    """Return the chance that a positive is scored above a good event, ties as one half; NaN with one class.

    >>> roc_auc(np.array([0, 1, 1]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    _, rank_group, sizes = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(sizes) - (sizes - 1) / 2.0
    positives = int(positive.sum())
    good = len(positive) - positives
    if not positives or not good:
        return float("nan")
    ranks = float(mean_rank[rank_group][positive == 1].sum())
    return (ranks - positives * (positives + 1) / 2.0) / (positives * good)


def average_precision(positive: Ints, score: Floats) -> float:
    """Return the mean precision over the positives, going down the scores; equal scores are one step.

    >>> average_precision(np.array([1, 0, 1]), np.array([0.9, 0.8, 0.7]))
    0.8333333333333333
    """
    positives = int(positive.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(positive[order])
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    precision = found[ends] / (ends + 1.0)
    gained = np.diff(np.append(0, found[ends])) / positives
    return float(np.sum(precision * gained))


def precision_at_keys(judged: Judged, keys_a_day: int = KEYS_A_DAY) -> float:
    """Return the share of positives among the keys a team would call, `keys_a_day` on each UTC day.

    A key ranks by the highest score of the day and counts as positive when any event of that day was
    one; days weigh the same.
    """
    shares = [day.positive[day.called[:keys_a_day]].mean() for day in _days(judged)]
    return float(np.mean(shares)) if shares else float("nan")


def recall_at_keys(judged: Judged, keys_a_day: int = KEYS_A_DAY) -> float:
    """Return the share of the keys with a positive that a team would call, day by day, NaN without any.

    A key with positives on two days counts twice; days weigh by their positives.
    """
    days = _days(judged)
    positives = sum(int(day.positive.sum()) for day in days)
    called = sum(int(day.positive[day.called[:keys_a_day]].sum()) for day in days)
    return called / positives if positives else float("nan")


class _Day(NamedTuple):
    """The keys of one UTC day: whether each had a positive, and their numbers, highest score first."""

    positive: Ints
    called: NDArray[np.intp]


def _days(judged: Judged) -> list[_Day]:
    found = []
    day = judged.event_ms // DAY_MS
    for today in np.unique(day):
        rows = np.flatnonzero(day == today)
        _, who = np.unique(judged.key[rows], return_inverse=True)
        best = np.full(who.max() + 1, -np.inf)
        positive = np.zeros(who.max() + 1, dtype=np.int64)
        np.maximum.at(best, who, judged.score[rows])
        np.maximum.at(positive, who, judged.positive[rows])
        found.append(_Day(positive, np.argsort(-best, kind="stable")))
    return found


def brier(positive: Ints, score: Floats) -> float:
    """Return the mean squared distance of the score from the outcome."""
    return float(np.mean((score - positive) ** 2)) if len(positive) else float("nan")


def reliability(positive: Ints, score: Floats, bins: int = BINS) -> list[dict[str, float]]:
    """Return equally filled bins, lowest scores first: how many, mean score, share of positives."""
    order = np.argsort(score, kind="stable")
    return [
        {
            "rows": len(part),
            "score_mean": float(score[part].mean()),
            "positive_share": float(positive[part].mean()),
        }
        for part in np.array_split(order, bins)
        if len(part)
    ]


def calibration_error(positive: Ints, score: Floats, bins: int = BINS) -> float:
    """Return how far scores are from the share of positives, on average over equally filled bins (ECE).

    >>> calibration_error(np.array([0, 0, 1, 1]), np.array([0.1, 0.1, 0.6, 0.6]), bins=2)
    0.25
    """
    if not len(positive):
        return float("nan")
    apart = [
        part["rows"] * abs(part["score_mean"] - part["positive_share"])
        for part in reliability(positive, score, bins)
    ]
    return float(sum(apart) / len(positive))


def summary(judged: Judged) -> dict[str, object]:
    """Return every figure of this file, as a manifest and a report hold them."""
    return {
        "rows": len(judged.positive),
        "positives": int(judged.positive.sum()),
        "auc": roc_auc(judged.positive, judged.score),
        "average_precision": average_precision(judged.positive, judged.score),
        f"precision_at_{KEYS_A_DAY}_keys_a_day": precision_at_keys(judged),
        f"recall_at_{KEYS_A_DAY}_keys_a_day": recall_at_keys(judged),
        "brier": brier(judged.positive, judged.score),
        "calibration_error": calibration_error(judged.positive, judged.score),
        "reliability": reliability(judged.positive, judged.score),
    }
