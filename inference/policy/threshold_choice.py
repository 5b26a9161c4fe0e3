"""The two thresholds that cost least for a review capacity, on events whose outcome is known.

An approved positive costs its share of the amount, a review costs a look and finds out the truth, a declined
legitimate event costs somebody's patience. The cost of a pair of thresholds is a sum of a part that only
the lower and a part that only the upper decides, so for each upper one the best lower one within the capacity
is a sliding minimum: all pairs are weighed in one pass. The capacity binds on the mean day.

A event whose outcome is unknown has no part in the choice: it could cost a review, yet never show what a
wrong approval or a wrong decline costs, and would move thresholds by nothing but its number.
"""

from collections import deque
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import StateError
from features.definition import DAY_MS
from features.project.running import RunningProject
from inference.models.manifest import NEVER, bands, from_score
from inference.offline.lake.lake import Lake
from inference.offline.lake.predictions import KnownLabels, parts
from inference.policy.policy import ReviewTerms

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
UNKNOWN = -1
OUTCOMES_MIN = 20  # labels of positives, and of negatives: fewer tell nothing


class Scored(NamedTuple):
    """Scored events: score, amount (minor units), label (1 positive, 0 legitimate, -1 unknown); (n,) each.

    `days` are those that labelled events lie on.
    """

    score: Floats
    amount_minor: Floats
    label: Ints
    days: int


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The choice and what it would have cost and done on the labelled events, which it was made from.

    `reviews_of_all` and `declines_of_all` are shares of all scored events, their outcome known or not.
    """

    review: float
    decline: float
    reviews_a_day: float
    declines_a_day: float
    cost_minor: float
    cost_of_approving_all_minor: float
    events: int
    labelled: int
    days: int
    reviews_of_all: float
    declines_of_all: float


def choose(scored: Scored, terms: ReviewTerms) -> Chosen:
    """Return the cheapest thresholds within the capacity; a threshold of 1 is one that nothing reaches.

    >>> amounts, labels = np.array([100.0, 9000.0, 9000.0]), np.array([0, 1, 1])
    >>> scored = Scored(np.array([0.1, 0.5, 0.9]), amounts, labels, days=1)
    >>> costs = dict(review_cost_minor=500, decline_cost_minor=1000, loss_share=1.0)
    >>> found = choose(scored, ReviewTerms(cases_a_day=1, **costs))
    >>> (found.review, found.decline, found.cost_minor)
    (0.5, 0.5, 0.0)
    """
    known = np.flatnonzero(scored.label != UNKNOWN)
    order = known[np.argsort(scored.score[known], kind="stable")]
    score, label = scored.score[order], scored.label[order]
    lost = np.where(label == 1, scored.amount_minor[order] * terms.loss_share, 0.0)
    annoyed = np.where(label == 0, float(terms.decline_cost_minor), 0.0)
    cuts = np.append(np.flatnonzero(np.diff(score, prepend=-np.inf) > 0), len(score))  # rows below each cut
    approved = np.concatenate(([0.0], np.cumsum(lost)))[cuts]
    declined = np.concatenate((np.cumsum(annoyed[::-1])[::-1], [0.0]))[cuts]
    lower, upper = _cheapest(approved, declined, cuts, terms, terms.cases_a_day * scored.days)
    reviews, days = int(cuts[upper] - cuts[lower]), max(1, scored.days)
    review, decline = (_threshold(score, int(cuts[end])) for end in (lower, upper))
    of_all = bands(scored.score, (review, decline))
    return Chosen(
        review=review, decline=decline,
        reviews_a_day=reviews / days, declines_a_day=(len(score) - int(cuts[upper])) / days,
        cost_minor=float(approved[lower] + terms.review_cost_minor * reviews + declined[upper]),
        cost_of_approving_all_minor=float(lost.sum()), events=len(scored.score),
        labelled=len(known), days=scored.days,
        reviews_of_all=_share(of_all, 1), declines_of_all=_share(of_all, 2),
    )  # fmt: skip


def of_lake(lake: Lake, from_ms: int | None = None, to_ms: int | None = None) -> Scored:
    """Return the lake's scored events in a range of event time.

    Raises:
        StateError: E_LAKE_EMPTY; E_THRESHOLDS_EMPTY, none was scored, or none has a label;
            E_THRESHOLDS_FEW, less than `OUTCOMES_MIN` labels of either outcome.
    """
    labels, amount_at = KnownLabels(lake), money_at(lake.project)
    rows = [
        (one["score"], 0.0 if amount_at is None else one["features"]["values"][amount_at] or 0.0,
         labels.of(one, UNKNOWN), one["event_time"] // DAY_MS)
        for part in parts(lake, from_ms, to_ms) for one in part if "score" in one
    ]  # fmt: skip
    if not any(row[2] != UNKNOWN for row in rows):
        raise StateError(
            "E_THRESHOLDS_EMPTY", f"{len(rows):,} scored events, none with a label", str(lake.folder),
            "wait for labels, or widen --from and --to",
        )  # fmt: skip
    score, amount, label, day = (np.array(column) for column in zip(*rows, strict=True))
    positives, legitimate = int((label == 1).sum()), int((label == 0).sum())
    if min(positives, legitimate) < OUTCOMES_MIN:
        raise StateError(
            "E_THRESHOLDS_FEW", f"labels of {positives:,} positives and {legitimate:,} negatives,"
            f" at least {OUTCOMES_MIN} of each are needed", str(lake.folder),
            "wait for labels, or widen --from and --to",
        )  # fmt: skip
    return Scored(score, amount, label.astype(np.int64), len(np.unique(day[label != UNKNOWN])))


def money_at(project: RunningProject) -> int | None:
    """Return where in the model's vector an event's worth stands; None where the project has no money."""
    columns = project.service.columns
    return columns.index(project.money) if project.money in columns else None


def _cheapest(
    approved: Floats, declined: Floats, cuts: Ints, terms: ReviewTerms, capacity: int
) -> tuple[int, int]:
    """Return the places of the cheapest pair of cuts, the mildest of equally cheap ones."""
    cost = terms.review_cost_minor
    alone = (approved - cost * cuts).tolist()  # what the lower cut adds
    both = (declined + cost * cuts).tolist()  # what the upper cut adds
    rows = cuts.tolist()
    window: deque[int] = deque()  # lower cuts within the capacity, the cheapest first
    best = (float("inf"), 0, 0)
    for upper in range(len(rows)):
        while window and alone[window[-1]] >= alone[upper]:
            window.pop()
        window.append(upper)
        while rows[upper] - rows[window[0]] > capacity:
            window.popleft()
        total = both[upper] + alone[window[0]]
        if total <= best[0]:
            best = (total, window[0], upper)
    return best[1], best[2]


def _threshold(score: Floats, below: int) -> float:
    return from_score(score[below]) if below < len(score) else NEVER


def _share(of: NDArray[np.uint8], band: int) -> float:
    return float((of == band).mean()) if len(of) else 0.0
