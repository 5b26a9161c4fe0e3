"""The model's vector: event fields, stored features and what is derived from both, in the service's order.

The same function serves the scorer, the training set, a request and an explanation, so a derived feature
has one meaning. All arithmetic is float64; NaN is null and goes through.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalog import CUSTOMER, CUSTOMER_PROFILE, SERVICE, TERMINAL
from features.definition import DAY_MS, HOUR_MS

Floats = NDArray[np.float64]

FORMULAS = 1  # grows when a formula below changes: models that were trained on the old one are refused
DERIVED_FROM = {
    "customer_amount_ratio_30d": ("customer_amount_mean_30d_before",),
    "customer_amount_zscore_30d": ("customer_amount_mean_30d_before", "customer_amount_std_30d_before"),
    "customer_frequency_ratio_24h": ("customer_count_24h", "customer_count_30d"),
    "terminal_amount_ratio_30d": ("terminal_amount_mean_30d",),
    "terminal_frequency_ratio_24h": ("terminal_count_24h", "terminal_count_30d"),
    "terminal_fraud_ratio_1d": ("terminal_frauds_1d", "terminal_labels_1d"),
    "terminal_fraud_ratio_7d": ("terminal_frauds_7d", "terminal_labels_7d"),
    "terminal_fraud_ratio_30d": ("terminal_frauds_30d", "terminal_labels_30d"),
}


def assemble(
    event: Mapping[str, NDArray[Any]], customer: Floats, terminal: Floats, profile: Floats
) -> Floats:
    """Return the vectors of n events.

    Args:
        event: columns `amount_minor` (minor units) and `event_time` (epoch ms), shape (n,).
        customer: shape (n, kc), columns `CUSTOMER.columns`, as of each event.
        terminal: shape (n, kt), columns `TERMINAL.columns`, as of each event.
        profile: shape (n, kp), columns `CUSTOMER_PROFILE.columns`.

    Returns:
        Shape (n, f), columns `SERVICE.columns`.

    >>> empty = [np.full((1, len(c)), np.nan) for c in (CUSTOMER.columns, TERMINAL.columns, SERVICE.profile)]
    >>> event = {"amount_minor": np.array([1999]), "event_time": np.array([1_522_540_831_000])}
    >>> assemble(event, *empty)[0, :4].tolist()
    [1999.0, 0.0, 1.0, 1.0]
    """
    amount = event["amount_minor"].astype(np.float64)
    named = {name: customer[:, i] for i, name in enumerate(CUSTOMER.columns)}
    named |= {name: terminal[:, i] for i, name in enumerate(TERMINAL.columns)}
    named |= {name: profile[:, i] for i, name in enumerate(CUSTOMER_PROFILE.columns)}
    named |= event_features(amount, event["event_time"])
    named |= derived_features(amount, named)
    return np.column_stack([named[name] for name in SERVICE.columns])


def event_features(amount: Floats, event_ms: NDArray[np.int64]) -> dict[str, Floats]:
    """Return what the event alone says; hours and days are UTC, night is 00:00 to 06:00."""
    hour = event_ms % DAY_MS // HOUR_MS
    weekday = (event_ms // DAY_MS + 3) % 7  # 1 January 1970 was a Thursday; Monday is 0
    return {
        "amount_minor": amount,
        "hour_of_day": hour.astype(np.float64),
        "is_night": (hour < 6).astype(np.float64),
        "is_weekend": (weekday >= 5).astype(np.float64),
    }


def derived_features(amount: Floats, stored: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return ratios and z-scores against the key's own history; a ratio to nothing is null."""
    mean, std = stored["customer_amount_mean_30d_before"], stored["customer_amount_std_30d_before"]
    return {
        "customer_amount_ratio_30d": ratio(amount, mean),
        "customer_amount_zscore_30d": ratio(amount - mean, std),
        "customer_frequency_ratio_24h": ratio(
            stored["customer_count_24h"] * 30.0, stored["customer_count_30d"]
        ),
        "terminal_amount_ratio_30d": ratio(amount, stored["terminal_amount_mean_30d"]),
        "terminal_frequency_ratio_24h": ratio(
            stored["terminal_count_24h"] * 30.0, stored["terminal_count_30d"]
        ),
        "terminal_fraud_ratio_1d": ratio(stored["terminal_frauds_1d"], stored["terminal_labels_1d"]),
        "terminal_fraud_ratio_7d": ratio(stored["terminal_frauds_7d"], stored["terminal_labels_7d"]),
        "terminal_fraud_ratio_30d": ratio(stored["terminal_frauds_30d"], stored["terminal_labels_30d"]),
    }


def ratio(above: Floats, below: Floats) -> Floats:
    """Return above / below, null where `below` is 0 or null.

    >>> ratio(np.array([1.0, 1.0]), np.array([4.0, 0.0])).tolist()
    [0.25, nan]
    """
    safe = np.where(below == 0.0, np.nan, below)
    return np.asarray(above / safe, dtype=np.float64)
