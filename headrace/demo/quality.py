"""How good the decisions were, on live events alone: against the last label each of them ever gets.

The model has learned from labels known before the live part began; the labels used here were not sent
when these events were scored, or not yet due.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.demo.summary import MODEL
from headrace.traffic.observed import Observed
from inference.offline.training.metrics_offline import Judged, summary


def truth_by_slot(observed: Observed, ids: list[str], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return 1 for a positive, 0 for none, NaN for unlabelled; a later label replaces an earlier one.

    Args:
        ids: the labels' event ids in the order in which they became known, m of them.
        positive: shape (m,).
    """
    truth = np.full(len(observed.slot_of), np.nan)
    slots = np.array([observed.slot_of.get(i, -1) for i in ids], np.int64)
    known = slots >= 0
    truth[slots[known]] = positive[known]  # in order: the last assignment stands
    return truth


def live_quality(
    observed: Observed, truth: NDArray[np.float64], live: int, keys: NDArray[np.bytes_],
    event_ms: NDArray[np.int64],
) -> dict[str, Any]:  # fmt: skip
    """Return the metrics of the events from row `live` on that a model scored and a label judged.

    Args:
        truth: shape (slots,), from `truth_by_slot`.
        keys: shape (rows,), of each row sent; `event_ms` likewise.
    """
    slots, first = np.unique(observed.slots[live:], return_index=True)
    out = observed.outcomes
    judged = (slots >= 0) & np.isfinite(truth[slots]) & np.isfinite(out.score[slots])
    slots, rows = slots[judged], first[judged] + live
    positive = (truth[slots] > 0.5).astype(np.int64)
    if not len(slots):
        return {"rows": 0, "positives": 0}
    figures = summary(
        Judged(positive=positive, score=out.score[slots], event_ms=event_ms[rows], key=keys[rows])
    )
    figures["live_from_ms"] = int(event_ms[rows].min())
    figures["live_to_ms"] = int(event_ms[rows].max())
    decided = _decision_precision(observed.decisions, out.decision[slots], out.decided_by[slots], positive)
    return figures | {"decisions": decided}


def _decision_precision(
    names: tuple[str, ...],
    decision: NDArray[np.int8],
    decided_by: NDArray[np.int8],
    positive: NDArray[np.int64],
) -> dict[str, Any]:
    """Return for each decision how many, how many by the model alone, and what share were positive."""
    table: dict[str, Any] = {}
    for index, name in enumerate(names):
        chosen = decision == index
        table[name] = {
            "count": int(chosen.sum()),
            "by_model": int((chosen & (decided_by == MODEL)).sum()),
            "positive_ratio": round(float(positive[chosen].mean()), 4) if chosen.any() else None,
        }
    return table
