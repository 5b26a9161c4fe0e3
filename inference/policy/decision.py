"""From score and rules to a decision: the severer of the two, and who settled it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.models.manifest import RowLimits, bands

DECIDED_BY = ("model", "rule", "fallback", "override", "default", "gatekeeper")
RISK_BANDS = ("low", "medium", "high", "not_assessed")
MODEL, RULE, FALLBACK, OVERRIDE, UNOPPOSED, GATEKEEPER = range(6)
NOT_ASSESSED = 3

Codes = NDArray[np.uint8]


class Decided(NamedTuple):
    """Codes of n decisions: indices into the project's decisions, `DECIDED_BY` and `RISK_BANDS`."""

    decision: Codes
    decided_by: Codes
    risk_band: Codes


def decide(
    scores: NDArray[np.float64] | None,
    limits: RowLimits,
    by_rules: Codes,
    fallback: int = 1,
) -> Decided:
    """Return the decision of each row.

    Without a model rules decide alone; an event at which none hits is decided mildest by `default`, which is
    what happens where nothing is there to object. Where a model is there and gave no usable score, the
    fallback decides, or a rule that asks for as much.

    Args:
        scores: (n,), NaN where the model failed; None without a model.
        limits: the score from which each decision above the mildest holds, or (n,) each by who decides it.
        by_rules: (n,) codes of what the rules ask for.
        fallback: the code of the decision where a score was due and none came.

    >>> decided = decide(np.array([0.1, 0.6, 0.95, np.nan]), (0.5, 0.9), np.array([1, 0, 0, 0], np.uint8))
    >>> decided.decision.tolist(), [DECIDED_BY[code] for code in decided.decided_by]
    ([1, 1, 2, 1], ['rule', 'model', 'model', 'fallback'])
    """
    if scores is None:
        ruled = np.where(by_rules > 0, RULE, UNOPPOSED).astype(np.uint8)
        return Decided(by_rules, ruled, np.full(len(by_rules), NOT_ASSESSED, np.uint8))
    scored = ~np.isnan(scores)
    band = bands(scores, limits)
    by_model = np.where(scored, band, np.uint8(fallback))
    settled_by_rule = np.where(scored, by_rules > by_model, by_rules >= max(1, fallback))
    decided_by = np.where(settled_by_rule, RULE, np.where(scored, MODEL, FALLBACK)).astype(np.uint8)
    risk_band = np.where(scored, _in_words(band, len(limits)), NOT_ASSESSED).astype(np.uint8)
    return Decided(np.maximum(by_model, by_rules).astype(np.uint8), decided_by, risk_band)


def _in_words(band: Codes, severest: int) -> Codes:
    """Return the place in `RISK_BANDS` of what thresholds come to: low, high where it is the severest.

    >>> two, one = np.array([0, 1, 2], np.uint8), np.array([0, 1], np.uint8)
    >>> _in_words(two, 2).tolist(), _in_words(one, 1).tolist()
    ([0, 1, 2], [0, 2])
    """
    return np.where(band == 0, 0, np.where(band == severest, 2, 1)).astype(np.uint8)
