"""The model's vector, column by column from the written formulas; None is null.

A ratio to nothing is null; hours and days are UTC, night is 00:00 to 06:00, Monday is the first day.
"""

from collections.abc import Callable, Mapping
from typing import Any

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
Value = float | None
Formula = Callable[[dict[str, Any], Mapping[str, Value]], Value]


def ratio(above: Value, below: Value) -> Value:
    """Return above / below.

    >>> ratio(1.0, 4.0), ratio(1.0, 0.0), ratio(None, 1.0)
    (0.25, None, None)
    """
    return None if above is None or below is None or below == 0.0 else above / below


def times(value: Value, factor: float) -> Value:
    """Return the product; null stays null."""
    return None if value is None else value * factor


def minus(left: Value, right: Value) -> Value:
    """Return the difference; null if either is."""
    return None if left is None or right is None else left - right


def frauds(window: str) -> Formula:
    """Return the share of frauds among a terminal's labels of a window."""
    return lambda _, known: ratio(known[f"terminal_frauds_{window}"], known[f"terminal_labels_{window}"])


FORMULAS: dict[str, Formula] = {
    "amount_minor": lambda event, _: float(event["amount_minor"]),
    "hour_of_day": lambda event, _: float(event["event_time"] % DAY_MS // HOUR_MS),
    "is_night": lambda event, _: float(event["event_time"] % DAY_MS // HOUR_MS < 6),
    "is_weekend": lambda event, _: float((event["event_time"] // DAY_MS + 3) % 7 >= 5),
    "customer_amount_ratio_30d": lambda event, known: ratio(
        float(event["amount_minor"]), known["customer_amount_mean_30d_before"]
    ),
    "customer_amount_zscore_30d": lambda event, known: ratio(
        minus(float(event["amount_minor"]), known["customer_amount_mean_30d_before"]),
        known["customer_amount_std_30d_before"],
    ),
    "customer_frequency_ratio_24h": lambda _, known: ratio(
        times(known["customer_count_24h"], 30.0), known["customer_count_30d"]
    ),
    "terminal_amount_ratio_30d": lambda event, known: ratio(
        float(event["amount_minor"]), known["terminal_amount_mean_30d"]
    ),
    "terminal_frequency_ratio_24h": lambda _, known: ratio(
        times(known["terminal_count_24h"], 30.0), known["terminal_count_30d"]
    ),
    "terminal_fraud_ratio_1d": frauds("1d"),
    "terminal_fraud_ratio_7d": frauds("7d"),
    "terminal_fraud_ratio_30d": frauds("30d"),
}


def vector(columns: list[str], event: dict[str, Any], known: Mapping[str, Value]) -> list[Value]:
    """Return the vector of an event whose stored features are `known`."""
    clean = {name: None if value is None or value != value else value for name, value in known.items()}
    return [clean[name] if name in clean else FORMULAS[name](event, clean) for name in columns]
