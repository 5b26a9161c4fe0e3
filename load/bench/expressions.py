"""What expressions cost beside NumPy written by hand: `python -m load.bench.expressions`.

Each pair computes the same over the same batch, by the declared trees and by the code that stood there before
there were trees, in turns in one process; the median of the pairs' ratios counts. Both sides' results are
compared bit by bit before anything is timed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.vector import vectors_of
from inference.policy.policy import read_policy
from inference.policy.rules import Outcome, RuleBook, declared_rules
from load.bench.checks import Pair, paired
from load.bench.outcome import commit, machine, store
from load.this_project import CUSTOMER, CUSTOMER_PROFILE, PROJECT, SERVICE, TERMINAL

Floats = NDArray[np.float64]
ROUNDS = 100  # batches a side of a pair
DAY_MS, HOUR_MS = 86_400_000, 3_600_000


class VectorBatch(NamedTuple):
    """Events, and their vectors' columns by name and side by side, null as NaN."""

    event: dict[str, NDArray[np.int64]]
    named: dict[str, Floats]
    vectors: Floats


def main() -> None:
    """Time the pairs and print and store one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.expressions", description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    asked = parser.parse_args()
    found: dict[str, Any] = {
        "scenario": "expressions", "commit": commit(), "machine": machine(), "pairs": asked.pairs,
    }  # fmt: skip
    for rows in (1, 10, 100, 2_000):
        for name, pair in measured(rows, asked.pairs).items():
            found[f"{name}, {rows} rows a batch"] = pair._asdict()
    store(found)
    sys.stdout.write(json.dumps(found) + "\n")


def measured(rows: int, pairs: int) -> dict[str, Pair]:
    """Return what features and rules cost over batches of so many rows; `with_us` is a row by the trees."""
    batch = batch_of(rows)
    book = RuleBook(
        declared_rules(read_policy(PROJECT.policy_path, PROJECT).policy.rules, PROJECT),
        SERVICE.columns,
        PROJECT,
    )
    sides: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "features": (lambda: _by_trees(batch), lambda: features_by_hand(batch)),
        "rules": (lambda: book.judge(batch.vectors, {}), lambda: rules_by_hand(batch.vectors)),
    }
    for trees, by_hand in sides.values():
        if _bytes(trees()) != _bytes(by_hand()):
            raise AssertionError("the two sides do not compute the same")
    return {
        name: paired(_many(trees, rows), _many(by_hand, rows), pairs)
        for name, (trees, by_hand) in sides.items()
    }


def batch_of(rows: int, seed: int = 3) -> VectorBatch:
    """Return a seeded batch, a tenth of it null, and a tenth zero."""
    rng = np.random.default_rng(seed)
    event = {
        "amount_minor": rng.integers(0, 2_000_000, rows),
        "event_time": rng.integers(1_522_540_800_000, 1_532_540_800_000, rows),
    }
    names = [*CUSTOMER.columns, *TERMINAL.columns, *CUSTOMER_PROFILE.columns]
    values = rng.gamma(2.0, 8.0, (rows, len(names)))
    values[rng.random(values.shape) < 0.1] = np.nan
    values[rng.random(values.shape) < 0.1] = 0.0
    named = {name: values[:, at] for at, name in enumerate(names)} | vectors_of(PROJECT).event_features(event)
    named |= vectors_of(PROJECT).derived_features(named)
    return VectorBatch(event, named, np.column_stack([named[name] for name in SERVICE.columns]))


def features_by_hand(batch: VectorBatch) -> dict[str, Floats]:
    """Return what the event says and what is derived, as NumPy wrote it before there were trees."""
    amount = batch.event["amount_minor"].astype(np.float64)
    hour = batch.event["event_time"] % DAY_MS // HOUR_MS
    weekday = (batch.event["event_time"] // DAY_MS + 3) % 7
    stored = batch.named
    mean, std = stored["customer_amount_mean_30d_before"], stored["customer_amount_std_30d_before"]
    found = {
        "amount_minor": amount,
        "hour_of_day": hour.astype(np.float64),
        "is_night": (hour < 6).astype(np.float64),
        "is_weekend": (weekday >= 5).astype(np.float64),
        "customer_amount_ratio_30d": _ratio(amount, mean),
        "customer_amount_zscore_30d": _ratio(amount - mean, std),
        "customer_frequency_ratio_24h": _ratio(
            stored["customer_count_24h"] * 30.0, stored["customer_count_30d"]
        ),
        "terminal_amount_ratio_30d": _ratio(amount, stored["terminal_amount_mean_30d"]),
        "terminal_frequency_ratio_24h": _ratio(
            stored["terminal_count_24h"] * 30.0, stored["terminal_count_30d"]
        ),
    }
    for window in ("1d", "7d", "30d"):
        found[f"terminal_fraud_ratio_{window}"] = _ratio(
            stored[f"terminal_frauds_{window}"], stored[f"terminal_labels_{window}"]
        )
    return found


def rules_by_hand(vectors: Floats) -> NDArray[np.uint8]:
    """Return the outcomes of the shipped rules, as Python wrote them before they were expressions."""
    outcomes = np.zeros((len(vectors), len(_RULES)), np.uint8)
    for column, (names, hits) in enumerate(_RULES):
        inputs = [vectors[:, at] for at in names]
        outcomes[hits(*inputs), column] = Outcome.HIT
        outcomes[np.logical_or.reduce([np.isinf(values) for values in inputs]), column] = Outcome.ERROR
    return outcomes


def _at(*names: str) -> list[int]:
    return [SERVICE.columns.index(name) for name in names]


_RULES: tuple[tuple[list[int], Callable[..., Any]], ...] = (
    (_at("amount_minor"), lambda amount: amount > 1_000_000),
    (_at("customer_count_1h"), lambda count: count > 10),
    (
        _at("amount_minor", "customer_amount_ratio_30d"),
        lambda amount, ratio: (ratio > 20.0) & (amount > 20_000),
    ),
    (
        _at("terminal_fraud_ratio_7d", "terminal_labels_7d"),
        lambda ratio, labels: (ratio >= 0.5) & (labels >= 4),
    ),
)


def _ratio(above: Floats, below: Floats) -> Floats:
    safe = np.where(below == 0.0, np.nan, below)
    return np.asarray(above / safe, dtype=np.float64)


def _by_trees(batch: VectorBatch) -> dict[str, Floats]:
    return vectors_of(PROJECT).event_features(batch.event) | vectors_of(PROJECT).derived_features(batch.named)


def _bytes(found: Mapping[str, Floats] | NDArray[np.uint8]) -> list[bytes]:
    columns = list(found.values()) if isinstance(found, Mapping) else [found]
    return [np.where(np.isnan(values), np.nan, values).tobytes() for values in columns]


def _many(side: Callable[[], Any], rows: int) -> Callable[[], int]:
    def run() -> int:
        for _ in range(ROUNDS):
            side()
        return ROUNDS * rows

    return run


if __name__ == "__main__":
    main()
