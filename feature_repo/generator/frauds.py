"""Patterns of fraud: a compromised terminal, a stolen card, card testing.

The first turns payments that happen anyway into frauds; the other two add payments of their own. Each
added episode is a run of payments of one card, drawn for all episodes at once.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from feature_repo.generator.plan import DAY_MS, MINUTE_MS, PaymentPlan
from feature_repo.generator.population import Population, choose_far, choose_near, clip_minor
from feature_repo.generator.rhythm import moments


class Pattern(IntEnum):
    """What a payment is."""

    HONEST = 0
    COMPROMISED_TERMINAL = 1
    STOLEN_CARD = 2
    CARD_TESTING = 3
    STOLEN_CARD_CHANGED = 4


@dataclass(frozen=True, slots=True)
class Payments:
    """Payments as columns of one length; `moment_ms` counts from the plan's start."""

    who: NDArray[np.int64]
    where: NDArray[np.int64]
    moment_ms: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    pattern: NDArray[np.uint8]


def stolen_cards(plan: PaymentPlan, people: Population, rng: np.random.Generator) -> Payments:
    """Bursts of large payments far from home; past the change, ordinary ones near it, hours apart."""
    goal = round(plan.events * plan.fraud.ratio * plan.fraud.stolen_share)
    episode, step = _runs(rng.integers(2, 7, goal // 2 + 1), goal)
    who = rng.integers(0, plan.customers, len(episode) + 1)[episode]
    start_ms = moments(goal // 2 + 1, plan.days, 0.0, rng)[episode]
    changed = start_ms >= plan.fraud.changes_at_ratio * plan.span_ms
    gap_ms = np.where(changed, plan.fraud.changed_gap_ms, 12 * MINUTE_MS) * rng.exponential(1.0, len(who))
    scale = np.where(
        changed, rng.uniform(*plan.fraud.changed_scale, len(who)), rng.uniform(2.5, 8.0, len(who))
    )
    return Payments(
        who=who,
        where=np.where(changed, choose_near(people, who, rng), choose_far(people, len(who), rng)),
        moment_ms=_in_span(start_ms + _elapsed(gap_ms, step), plan),
        amount_minor=clip_minor(np.exp(people.amount_mu[who]) * scale),
        pattern=np.where(changed, Pattern.STOLEN_CARD_CHANGED, Pattern.STOLEN_CARD).astype(np.uint8),
    )


def card_testing(plan: PaymentPlan, people: Population, rng: np.random.Generator) -> Payments:
    """Three to eight tiny payments at one terminal within minutes, then a large one."""
    goal = round(plan.events * plan.fraud.ratio * plan.fraud.testing_share)
    sizes = rng.integers(4, 10, goal // 4 + 1)
    episode, step = _runs(sizes, goal)
    who = rng.integers(0, plan.customers, len(sizes))[episode]
    start_ms = moments(len(sizes), plan.days, 0.0, rng)[episode]
    last = step == sizes[episode] - 1
    gap_ms = np.where(last, 6 * MINUTE_MS, 45_000) * rng.exponential(1.0, len(who))
    large = np.exp(people.amount_mu[who]) * rng.uniform(5.0, 14.0, len(who))
    return Payments(
        who=who,
        where=choose_far(people, len(sizes), rng)[episode],
        moment_ms=_in_span(start_ms + _elapsed(gap_ms, step), plan),
        amount_minor=clip_minor(np.where(last, large, rng.uniform(50.0, 200.0, len(who)))),
        pattern=np.full(len(who), Pattern.CARD_TESTING, np.uint8),
    )


def compromise_terminals(plan: PaymentPlan, honest: Payments, rng: np.random.Generator) -> Payments:
    """Turn payments at terminals compromised for weeks into frauds, until the plan's share is reached."""
    goal = plan.events * plan.fraud.ratio * plan.fraud.terminal_share
    length_ms = min(plan.fraud.compromised_days * DAY_MS, plan.span_ms)
    start_ms = rng.uniform(-length_ms / 2, plan.span_ms - length_ms / 2, plan.terminals)
    age_ms = honest.moment_ms - start_ms[honest.where]
    hit = (age_ms >= 0) & (age_ms < length_ms)
    hit &= rng.random(len(hit)) < plan.fraud.compromised_hit_ratio
    order = rng.permutation(plan.terminals)
    reached = np.cumsum(np.bincount(honest.where[hit], minlength=plan.terminals)[order])
    chosen = np.zeros(plan.terminals, np.bool_)
    chosen[order[: int(np.searchsorted(reached, goal)) + (goal > 0)]] = True
    pattern = np.where(hit & chosen[honest.where], Pattern.COMPROMISED_TERMINAL, honest.pattern)
    return Payments(
        honest.who,
        honest.where,
        honest.moment_ms,
        honest.amount_minor,
        pattern.astype(np.uint8),
    )


def _runs(sizes: NDArray[np.int64], total: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return episode and step of each payment of runs of these sizes, cut at `total` payments."""
    episode = np.repeat(np.arange(len(sizes)), sizes)[:total]
    first = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    return episode, np.arange(len(episode)) - first[episode]


def _elapsed(gap_ms: NDArray[np.float64], step: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum the gaps inside each run; a run's first payment is at its start."""
    gap_ms = np.where(step == 0, 0.0, gap_ms)
    total = np.cumsum(gap_ms)
    starts = np.flatnonzero(step == 0)
    base = np.repeat(total[starts], np.diff(np.append(starts, len(step))))
    return (total - base).astype(np.int64)


def _in_span(moment_ms: NDArray[np.int64], plan: PaymentPlan) -> NDArray[np.int64]:
    return np.minimum(moment_ms, plan.span_ms - 1)
