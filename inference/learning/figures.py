"""Figures of decisions whose labels are due: counts exact, ratios of counts, ranking, calibration and money.

All are exact over the events that are kept; nothing is sketched. Figures that cannot be told, such as a
precision where nothing was flagged, are left out.

Labels are not missing at random: what was stopped has no consequence that could be seen, so only people who
look find out. So next to the figures of labelled events stand estimates (`estimated_...`) in which each
labelled event stands for all events of its decision: weight = events / labelled events of that
decision (post-stratification; Horvitz and Thompson 1952, with the response rate of the stratum as the chance
of being seen). They are without bias as far as labels are missing at random *within* a decision;
`coverage_...` says how much is seen of each. A decision with fewer than a declared number of labels is not
estimated, and neither is the whole then.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.events import CalibrationBin
from features.project.decisions import Decisions
from inference.learning.ledger import UNKNOWN
from inference.models.manifest import Thresholds, bands
from inference.offline.training.metrics_offline import average_precision, brier, roc_auc

BINS = 10
MILDEST = 0
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Scored(NamedTuple):
    """Events of one series, shape (n,) each: `positive` is 0, 1 or -1 (no label), amounts -1 where unknown.

    `decision` is what was decided of the event, whoever scored; `verdict` what this series decides.
    """

    score: Floats
    positive: Ints
    decision: Ints
    verdict: Ints
    amount_minor: Ints


class Told(NamedTuple):
    """What a report says."""

    counts: dict[str, int]
    figures: dict[str, float]
    calibration: list[CalibrationBin]


def verdicts(score: Floats, thresholds: Thresholds, decisions: Decisions) -> Ints:
    """Return what thresholds alone decide of scores (n,).

    >>> from features.project.running import project_at
    >>> decisions = project_at("examples/logins").decisions
    >>> verdicts(np.array([0.1, 0.6, 0.95]), Thresholds(challenge=0.5, deny=0.9), decisions).tolist()
    [0, 1, 2]
    """
    return bands(score, thresholds.limits(decisions.names)).astype(np.int64)


def tell(
    rows: Scored, thresholds: Thresholds | None, review_cost_minor: int, stratum_labels_min: int,
    decisions: Decisions,
) -> Told:  # fmt: skip
    """Return the counts and figures of n events.

    Args:
        thresholds: the series' own; without them there are no figures `..._by_score`.
        review_cost_minor: what a person's look costs.
        stratum_labels_min: so many labels of a decision are needed to speak for its events.
        decisions: the project's.

    >>> from features.project.running import project_at
    >>> decisions = project_at("examples/logins").decisions
    >>> rows = Scored(np.array([0.9, 0.2, 0.8]), np.array([1, 0, -1]), *[np.array([2, 0, 2])] * 2,
    ...     np.array([500, 100, 50]))
    >>> told = tell(rows, Thresholds(challenge=0.5, deny=0.7), 10, 1, decisions)
    >>> told.counts["caught_minor"], told.figures["precision"], told.figures["coverage"]
    (500, 1.0, 0.6666666666666666)
    """
    known = rows.positive != UNKNOWN
    counts = _counts(rows, known, decisions.names)
    figures = _ratios(counts, decisions.names)
    counts |= money(rows, known, review_cost_minor, decisions)
    positive, score = rows.positive[known], rows.score[known]
    usable = np.isfinite(score)
    positive, score = positive[usable], score[usable]
    if thresholds is not None and len(score):
        figures |= _by_score(positive, verdicts(score, thresholds, decisions) > MILDEST)
    bins = calibration(positive, score)
    figures |= {
        "average_precision": average_precision(positive, score), "auc": roc_auc(positive, score),
        "brier": brier(positive, score), "ece": expected_calibration_error(bins),
    }  # fmt: skip
    weight = weights(rows, known, stratum_labels_min, len(decisions.names))
    if weight is not None:
        figures |= _estimates(rows, known, weight)
    return Told(counts, {name: value for name, value in figures.items() if np.isfinite(value)}, bins)


def money(rows: Scored, known: Mask, review_cost_minor: int, decisions: Decisions) -> dict[str, int]:
    """Return sums of minor units over labelled events, by this series' verdict.

    `caught_minor` is positives that were reviewed or declined, `missed_minor` positives that passed,
    `blocked_good_minor` good events that were declined; `review_cost_minor` is of all reviewed events,
    labelled or not, and `saved_minor` what was caught less that.
    """
    priced = known & (rows.amount_minor != UNKNOWN)
    positive, flagged = priced & (rows.positive == 1), rows.verdict > MILDEST
    caught = int(rows.amount_minor[positive & flagged].sum())
    cost = int(np.isin(rows.verdict, decisions.queued).sum()) * review_cost_minor
    return {
        "caught_minor": caught,
        "missed_minor": int(rows.amount_minor[positive & ~flagged].sum()),
        "blocked_good_minor": int(
            rows.amount_minor[priced & (rows.positive == 0) & np.isin(rows.verdict, decisions.stopping)].sum()
        ),
        "review_cost_minor": cost,
        "saved_minor": caught - cost,
        "amount_unknown": int((rows.amount_minor == UNKNOWN).sum()),
    }


def calibration(positive: Ints, score: Floats) -> list[CalibrationBin]:
    """Return the filled bins of ten of equal width; a score of 1 is in the last.

    >>> [bin.rows for bin in calibration(np.array([0, 1]), np.array([0.05, 1.0]))]
    [1, 1]
    """
    which = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    found = []
    for number in range(BINS):
        mine = which == number
        if mine.any():
            share, mean = float(positive[mine].mean()), float(score[mine].mean())
            found.append(CalibrationBin(rows=int(mine.sum()), score_mean=mean, positive_share=share))
    return found


def expected_calibration_error(bins: list[CalibrationBin]) -> float:
    """Return the mean gap between score and share of positives, by rows (Naeini et al., AAAI 2015)."""
    rows = sum(each.rows for each in bins)
    if not rows:
        return float("nan")
    return sum(each.rows * abs(each.score_mean - each.positive_share) for each in bins) / rows


def weights(rows: Scored, known: Mask, labels_min: int, decisions: int) -> Floats | None:
    """Return how many events each labelled one stands for, shape (labelled,); None when that is unknown.

    >>> rows = Scored(*[np.zeros(3)] * 2, *[np.array([0, 0, 2])] * 2, np.zeros(3, np.int64))
    >>> weights(rows, np.array([True, False, True]), 1, 3).tolist()
    [2.0, 1.0]
    """
    weight = np.zeros(len(known))
    for decision in range(decisions):
        mine = rows.decision == decision
        seen = int((mine & known).sum())
        if mine.any() and seen < min(labels_min, int(mine.sum())):
            return None
        if seen:
            weight[mine] = int(mine.sum()) / seen
    return weight[known]


def weighted_average_precision(positive: Ints, score: Floats, weight: Floats) -> float:
    """Return average precision in which a row counts `weight` times; equal scores are one step.

    >>> weighted_average_precision(np.array([1, 0, 1]), np.array([0.9, 0.8, 0.7]), np.ones(3))
    0.8333333333333333
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))[: len(order)]
    found, seen = np.cumsum((weight * positive)[order]), np.cumsum(weight[order])
    if not len(order) or not found[-1]:
        return float("nan")
    gained = np.diff(np.append(0.0, found[ends])) / found[-1]
    return float(np.sum(found[ends] / seen[ends] * gained))


def _counts(rows: Scored, known: Mask, decisions: Sequence[str]) -> dict[str, int]:
    flagged, positive, good = rows.verdict > MILDEST, rows.positive == 1, rows.positive == 0
    counts = {
        "events": len(known), "labelled": int(known.sum()), "positives": int(positive.sum()),
        "true_positives": int((flagged & positive).sum()), "false_positives": int((flagged & good).sum()),
        "false_negatives": int((~flagged & positive).sum()), "true_negatives": int((~flagged & good).sum()),
    }  # fmt: skip
    for code, name in enumerate(decisions):
        mine = rows.decision == code
        counts |= {
            f"{name}_events": int(mine.sum()), f"{name}_labelled": int((mine & known).sum()),
            f"{name}_positives": int((mine & positive).sum()),
        }  # fmt: skip
    return counts


def _ratios(counts: dict[str, int], decisions: Sequence[str]) -> dict[str, float]:
    tp, fp = counts["true_positives"], counts["false_positives"]
    fn, tn = counts["false_negatives"], counts["true_negatives"]
    found = {
        "precision": _ratio(tp, tp + fp), "recall": _ratio(tp, tp + fn),
        "false_positive_rate": _ratio(fp, fp + tn), "false_negative_rate": _ratio(fn, fn + tp),
        "coverage": _ratio(counts["labelled"], counts["events"]),
    }  # fmt: skip
    for name in decisions:
        found[f"coverage_{name}"] = _ratio(counts[f"{name}_labelled"], counts[f"{name}_events"])
    return found


def _by_score(positive: Ints, flagged: Mask) -> dict[str, float]:
    hit = int((flagged & (positive == 1)).sum())
    return {
        "precision_by_score": _ratio(hit, int(flagged.sum())),
        "recall_by_score": _ratio(hit, int((positive == 1).sum())),
    }


def _estimates(rows: Scored, known: Mask, weight: Floats) -> dict[str, float]:
    positive, flagged, score = rows.positive[known] == 1, rows.verdict[known] > MILDEST, rows.score[known]
    hit = float(weight[positive & flagged].sum())
    usable = np.isfinite(score)
    return {
        "estimated_positives": float(weight[positive].sum()),
        "estimated_precision": _ratio(hit, float(weight[flagged].sum())),
        "estimated_recall": _ratio(hit, float(weight[positive].sum())),
        "estimated_average_precision": weighted_average_precision(
            positive[usable].astype(np.int64), score[usable], weight[usable]
        ),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
