"""Seeded card payments and their labels, by the workload's name.

A name never changes meaning: a new idea gets a new name, and a test pins the bytes. Customers have a home,
habits and a skewed activity; weeks and days have a rhythm; terminals are chosen by nearness. There are
three patterns of fraud, with a change on request; labels come about a week later, some corrected, some early;
some deliveries are late and some repeated. Simulated data flatter: never present their figures as real.

    python -m feature_repo.generate demo FOLDER
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from contracts.errors import ConfigError
from feature_repo.generator.payments import generate
from feature_repo.generator.plan import FraudPlan, PaymentPlan

WORKLOADS: dict[str, PaymentPlan] = {
    # The first run of a newcomer: two months of a small bank, a learnable share of fraud.
    "demo": PaymentPlan(
        seed=2025, events=80_000, customers=2_500, terminals=900, days=60.0, fraud=FraudPlan(ratio=0.015)
    ),
    # The same in a few seconds, for tests.
    "small": PaymentPlan(seed=11, events=6_000, customers=300, terminals=120, days=45.0),
    # Small, with enough frauds known in its first 60 % to learn from: the whole in a test.
    "lesson": PaymentPlan(
        seed=12, events=12_000, customers=400, terminals=150, days=60.0, fraud=FraudPlan(ratio=0.05)
    ),
    # The work that stream engines are compared on: short JSON events, skewed, 2.8 hours, 1 % late.
    "w1": PaymentPlan(
        seed=1,
        events=1_000_000,
        customers=50_000,
        terminals=10_000,
        days=2.8 / 24,
        late_ms_max=2_000,
        duplicate_ratio=0.0,
        optional_fields=False,
    ),
    # Payments of the demo's kind, many more: what throughput of the whole is measured on.
    "bank": PaymentPlan(seed=5, events=400_000, customers=20_000, terminals=5_000, days=60.0),
    # Stolen cards behave differently in the last 40 % of the time.
    "changing": PaymentPlan(
        seed=8, events=75_000, customers=2_500, terminals=900, fraud=FraudPlan(changes_at_ratio=0.6)
    ),
}


def workload(name: str) -> PaymentPlan:
    """Return the plan of a workload.

    Raises:
        ConfigError: E_WORKLOAD_NAME, there is none of that name.

    >>> workload("w1").customers
    50000
    """
    try:
        return WORKLOADS[name]
    except KeyError:
        known = ", ".join(WORKLOADS)
        raise ConfigError("E_WORKLOAD_NAME", "no such workload", name, f"choose one of {known}") from None


def records(plan: PaymentPlan, events: int | None = None) -> dict[str, Any]:
    """Return a workload's records by source, payments with their moments of delivery.

    With `events` the same weeks have so many payments.
    """
    made = generate(plan if events is None else replace(plan, events=events))
    return {"transactions": (made.transactions, made.deliver_ms), "labels": made.labels}


def write(name: str, folder: Path) -> tuple[Path, Path]:
    """Write a workload as `transactions.parquet` and `labels.parquet`; return the two paths."""
    made = generate(workload(name))
    folder.mkdir(parents=True, exist_ok=True)
    transactions, labels = folder / "transactions.parquet", folder / "labels.parquet"
    pq.write_table(made.transactions, transactions, compression="zstd")
    pq.write_table(made.labels, labels, compression="zstd")
    return transactions, labels


def main() -> None:
    """Write one workload: `python -m feature_repo.generate demo /tmp/demo`."""
    parser = argparse.ArgumentParser(description="Write a named workload as Parquet files.")
    parser.add_argument("name", choices=sorted(WORKLOADS))
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    for path in write(chosen.name, chosen.folder):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
