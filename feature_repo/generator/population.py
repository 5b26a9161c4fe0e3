"""Who pays where: customers with a home, habits and an own scale of amounts, terminals by nearness.

Places lie on a line that winds through the map (as a space-filling curve does), so "near" is a small
difference of index and drawing a terminal near a home needs no distances.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_repo.generator.plan import PaymentPlan

AMOUNT_MINOR_MAX = 5_000_000
FAR_RATIO = 0.12  # payments made anywhere: travel and the web
NEAR_MEAN = 4.0  # mean rank of the terminal chosen among the nearest


@dataclass(frozen=True, slots=True)
class Population:
    """Customers as columns, shape (customers,); `terminals` is how many places there are."""

    weight: NDArray[np.float64]  # share of the payments, sums to 1
    home: NDArray[np.int64]  # index of the nearest terminal
    amount_mu: NDArray[np.float64]  # logarithm of the median amount in minor units
    amount_sigma: NDArray[np.float64]
    evening: NDArray[np.float64]  # hours by which the customer's day is shifted
    country: NDArray[np.int64]
    terminals: int


def populate(plan: PaymentPlan, rng: np.random.Generator) -> Population:
    """Draw the customers of a plan."""
    count = plan.customers
    weight = np.arange(1, count + 1, dtype=np.float64) ** -plan.activity_skew
    return Population(
        weight=rng.permutation(weight / weight.sum()),
        home=rng.integers(0, plan.terminals, count),
        amount_mu=rng.normal(np.log(3_200.0), 0.55, count),
        amount_sigma=rng.uniform(0.25, 0.65, count),
        evening=rng.normal(0.0, 1.5, count),
        country=np.minimum(rng.geometric(0.6, count) - 1, 4),
        terminals=plan.terminals,
    )


def choose_customers(people: Population, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw `count` customers by their activity."""
    return np.searchsorted(np.cumsum(people.weight)[:-1], rng.random(count), side="right")


def choose_near(people: Population, who: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a terminal near each customer's home: the nearer the likelier."""
    rank = rng.geometric(1.0 / NEAR_MEAN, len(who)) - 1
    step = np.where(rank % 2 == 0, rank // 2, -(rank // 2) - 1)  # 0, -1, 1, -2, 2, ...
    return (people.home[who] + step) % people.terminals


def choose_far(people: Population, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw `count` terminals from anywhere."""
    return rng.integers(0, people.terminals, count)


def choose_usual(
    people: Population, who: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw the terminal of an ordinary payment of each customer, and whether it was a far one."""
    far = rng.random(len(who)) < FAR_RATIO
    return np.where(far, choose_far(people, len(who), rng), choose_near(people, who, rng)), far


def usual_amounts(people: Population, who: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the amount of an ordinary payment of each customer, in minor units."""
    drawn = np.exp(people.amount_mu[who] + people.amount_sigma[who] * rng.standard_normal(len(who)))
    return clip_minor(drawn)


def clip_minor(amounts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round to whole minor units inside the contract's range."""
    return np.clip(np.rint(amounts), 1, AMOUNT_MINOR_MAX).astype(np.int64)
