"""Seeded orders: the same workload makes the same records on every machine. `headrace demo` asks for them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

START = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OrderPlan:
    """How much is made, and from which seed."""

    seed: int
    orders: int
    shops: int
    days: int


WORKLOADS = {"demo": OrderPlan(seed=1, orders=6_000, shops=40, days=14)}


def records(plan: OrderPlan, events: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return the orders in the order in which they are delivered; `events` is how many to make."""
    made = replace(plan, orders=plan.orders if events is None else events)
    random = Random(made.seed)
    seconds = sorted(random.uniform(0, made.days * 86_400) for _ in range(made.orders))
    return {"orders": [_order(random, number, at_s, made) for number, at_s in enumerate(seconds)]}


def _order(random: Random, number: int, at_s: float, plan: OrderPlan) -> dict[str, Any]:
    shop = int(plan.shops * random.random() ** 2)  # some are busier than others
    return {
        "order_id": f"o{number:06d}",
        "at": (START + timedelta(seconds=int(at_s))).isoformat(),
        "shop_id": f"s{shop:03d}",
        "amount": round(random.lognormvariate(3.0, 0.8), 2),
    }
