"""Matured figures worked out from lists of payments and labels, one payment after the other: the definition.

Shares no code with the learner: labels are ruled by a sort of tuples, ranking by a walk down the scores.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.unit.inference.learning.support import DAY_MS, Label, Payment


def matured(
    payments: Sequence[Payment], labels: Sequence[Label], at_ms: int, days: int, maturity_days: float,
    review_cost_minor: int, model: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return counts and figures of the payments of a window, of one serving model or of all."""
    to_ms = at_ms - int(maturity_days * DAY_MS)
    first: dict[str, Payment] = {}
    for payment in sorted(payments, key=lambda p: (p.event_ms, p.partition, p.offset)):
        first.setdefault(payment.id, payment)
    ruling: dict[str, int] = {}
    for label in sorted(labels, key=lambda each: (each.label_ms, each.partition, each.pos)):
        if label.label_ms <= at_ms:
            ruling[label.id] = label.fraud
    rows = [p for p in first.values() if to_ms - days * DAY_MS < p.event_ms <= to_ms]
    if model is not None:
        rows = [p for p in rows if p.score is not None and p.model == model]
    counts = Counter[str]()
    for payment in rows:
        truth = ruling.get(payment.id)
        counts["events"] += 1
        counts[f"{payment.decision}_events"] += 1
        counts["review_cost_minor"] += review_cost_minor * (payment.decision == "review")
        if truth is None:
            continue
        flagged = payment.decision != "approve"
        counts["labelled"] += 1
        counts["positives"] += truth
        counts[f"{payment.decision}_labelled"] += 1
        counts[f"{payment.decision}_positives"] += truth
        counts["true_positives"] += truth and flagged
        counts["false_positives"] += (not truth) and flagged
        counts["false_negatives"] += truth and not flagged
        counts["true_negatives"] += (not truth) and not flagged
        counts["caught_minor"] += payment.amount_minor * bool(truth and flagged)
        counts["missed_minor"] += payment.amount_minor * bool(truth and not flagged)
        counts["blocked_good_minor"] += payment.amount_minor * bool(
            not truth and payment.decision == "decline"
        )
    counts["saved_minor"] = counts["caught_minor"] - counts["review_cost_minor"]
    scored = [(p.score, ruling[p.id]) for p in rows if p.id in ruling and p.score is not None]
    return {"counts": counts, "figures": _figures(counts, scored)}


def _figures(counts: Counter[str], scored: list[tuple[float, int]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, part, of in (
        ("precision", ["true_positives"], ["true_positives", "false_positives"]),
        ("recall", ["true_positives"], ["true_positives", "false_negatives"]),
        ("false_positive_rate", ["false_positives"], ["false_positives", "true_negatives"]),
        ("coverage", ["labelled"], ["events"]),
    ):
        whole = sum(counts[each] for each in of)
        if whole:
            figures[name] = sum(counts[each] for each in part) / whole
    if scored and sum(fraud for _, fraud in scored):
        figures["average_precision"] = average_precision(scored)
    if scored:
        figures["brier"] = sum((score - fraud) ** 2 for score, fraud in scored) / len(scored)
        figures["ece"] = _ece(scored)
    return figures


def average_precision(scored: list[tuple[float, int]]) -> float:
    """Return the area under precision over recall, a step for each distinct score."""
    by_score: dict[float, list[int]] = {}
    for score, fraud in scored:
        by_score.setdefault(score, []).append(fraud)
    frauds = sum(fraud for _, fraud in scored)
    seen = found = 0
    area = 0.0
    for score in sorted(by_score, reverse=True):
        group = by_score[score]
        seen, found = seen + len(group), found + sum(group)
        area += sum(group) / frauds * found / seen
    return area


def _ece(scored: list[tuple[float, int]]) -> float:
    bins: dict[int, list[tuple[float, int]]] = {}
    for score, fraud in scored:
        bins.setdefault(min(int(score * 10), 9), []).append((score, fraud))
    gaps = 0.0
    for group in bins.values():
        gaps += abs(sum(score for score, _ in group) - sum(fraud for _, fraud in group))
    return gaps / len(scored)
