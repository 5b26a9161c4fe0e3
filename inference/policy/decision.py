"""From score and rules to a decision: the severer of the two, and who settled it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.models.manifest import Thresholds
from inference.policy.rules import Severity
from inference.release.arms import RowThresholds

DECISIONS = ("approve", "review", "decline")  # by Severity
DECIDED_BY = ("model", "rule", "fallback", "override")
RISK_BANDS = ("low", "medium", "high", "not_assessed")
MODEL, RULE, FALLBACK, OVERRIDE = range(4)
NOT_ASSESSED = 3

Codes = NDArray[np.uint8]


class Decided(NamedTuple):
    """Codes of n decisions: indices into `DECISIONS`, `DECIDED_BY` and `RISK_BANDS`."""

    decision: Codes
    decided_by: Codes
    risk_band: Codes


def decide(
    scores: NDArray[np.float64] | None,
    thresholds: Thresholds | RowThresholds,
    by_rules: Codes,
    fallback: Severity = Severity.REVIEW,
) -> Decided:
    """Return the decision of each row.

    Without a model rules decide alone. Where a model is there and gave no usable score, the fallback
    decides, or a rule that asks for as much.

    Args:
        scores: (n,), NaN where the model failed; None without a model.
        thresholds: the model's, or (n,) each of the model that decides the row.
        by_rules: (n,) `Severity` that the rules ask for.
        fallback: the decision where a score was due and none came.

    >>> decided = decide(np.array([0.1, 0.6, 0.95, np.nan]), Thresholds(), np.array([1, 0, 0, 0], np.uint8))
    >>> [DECISIONS[code] for code in decided.decision], [DECIDED_BY[code] for code in decided.decided_by]
    (['review', 'review', 'decline', 'review'], ['rule', 'model', 'model', 'fallback'])
    """
    if scores is None:
        ruled = np.full(len(by_rules), RULE, np.uint8)
        return Decided(by_rules, ruled, np.full(len(by_rules), NOT_ASSESSED, np.uint8))
    scored = ~np.isnan(scores)
    band = (scores >= thresholds.review).astype(np.uint8) + (scores >= thresholds.decline).astype(np.uint8)
    by_model = np.where(scored, band, np.uint8(fallback))
    settled_by_rule = np.where(scored, by_rules > by_model, by_rules >= max(1, fallback))
    decided_by = np.where(settled_by_rule, RULE, np.where(scored, MODEL, FALLBACK)).astype(np.uint8)
    risk_band = np.where(scored, band, NOT_ASSESSED).astype(np.uint8)
    return Decided(np.maximum(by_model, by_rules).astype(np.uint8), decided_by, risk_band)
