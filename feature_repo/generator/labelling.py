"""When the truth about a payment becomes known: days later, sometimes wrong at first, seldom at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_repo.generator.plan import DAY_MS, HOUR_MS, LabelPlan

SOURCES = ("chargeback", "analyst", "rule")
CHARGEBACK, ANALYST, RULE = range(3)


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels as columns in order of `label_ms`; `payment` is the index of the labelled payment."""

    payment: NDArray[np.int64]
    fraud: NDArray[np.bool_]
    label_ms: NDArray[np.int64]
    source: NDArray[np.int64]


def label(
    event_ms: NDArray[np.int64],
    fraud: NDArray[np.bool_],
    plan: LabelPlan,
    rng: np.random.Generator,
) -> Labels:
    """Draw each payment's label; frauds and others wait alike, so the delay itself tells nothing."""
    count = len(event_ms)
    delay_days = plan.delay_days * np.exp(plan.delay_spread * rng.standard_normal(count))
    delay_ms = (np.clip(delay_days, 1.0, plan.delay_days_max) * DAY_MS).astype(np.int64)
    source = np.where(fraud, CHARGEBACK, RULE)
    soon = fraud & (rng.random(count) < plan.analyst_ratio)
    delay_ms[soon] = rng.integers(HOUR_MS, DAY_MS, int(soon.sum()))
    source[soon] = ANALYST
    wrong = _called_wrong_first(fraud & ~soon, plan, rng)
    early_ms = event_ms[wrong] + rng.integers(HOUR_MS, DAY_MS, len(wrong))
    payment = np.concatenate((np.arange(count), wrong))
    label_ms = np.concatenate((event_ms + delay_ms, early_ms))
    order = np.argsort(label_ms, kind="stable")
    said = np.concatenate((fraud, ~fraud[wrong]))
    by = np.concatenate((source, np.full(len(wrong), ANALYST)))
    return Labels(payment[order], said[order], label_ms[order], by[order])


def _called_wrong_first(
    fraud: NDArray[np.bool_], plan: LabelPlan, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose frauds that an analyst clears at first, and as many honest payments called fraud at first."""
    count = round(int(fraud.sum()) * plan.corrected_ratio)
    cleared = rng.choice(np.flatnonzero(fraud), count, replace=False)
    accused = rng.choice(np.flatnonzero(~fraud), min(count, int((~fraud).sum())), replace=False)
    return np.concatenate((cleared, accused))
