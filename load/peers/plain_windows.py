"""Windowed features as they are first written: hourly tiles in a dictionary, summed when asked."""

import math
from typing import Any

HOUR_MS = 3_600_000
WINDOWS_HOURS = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}

FEATURES = (
    *(f"count_{label}" for label in WINDOWS_HOURS),
    *(f"mean_{label}" for label in WINDOWS_HOURS),
    "sum_24h", "max_24h", "max_30d", "min_30d", "mean_30d_before", "std_30d_before",
    "distinct_24h", "distinct_30d", "last_amount", "ms_since_last",
)  # fmt: skip


def update(state: dict[str, Any], event_ms: int, amount: int, other: str) -> dict[str, float]:
    """Fold one payment into a key's state, in place, and return its features.

    >>> features = update({}, 3_600_000, 500, "m1")
    >>> features["count_1h"], features["distinct_24h"]
    (1.0, 1.0)
    """
    tiles: dict[str, list[Any]] = state.setdefault("tiles", {})
    hour = event_ms // HOUR_MS
    before = _combined(tiles, hour - 720)
    last_ms, last_amount = state.get("last_ms"), state.get("last_amount")
    tile = tiles.setdefault(str(hour), [0, 0, 0, amount, amount, {}])
    tile[0] += 1
    tile[1] += amount
    tile[2] += amount * amount
    tile[3], tile[4] = min(tile[3], amount), max(tile[4], amount)
    tile[5][other] = 1
    for old in [key for key in tiles if int(key) < hour - 720]:
        del tiles[old]
    state["last_ms"], state["last_amount"] = event_ms, amount
    return _features(tiles, hour, before, amount) | {
        "last_amount": float(last_amount or 0),
        "ms_since_last": float(event_ms - last_ms) if last_ms is not None else 0.0,
    }


def _features(
    tiles: dict[str, list[Any]], hour: int, before: tuple[int, int, int, int, int, set[str]], amount: int
) -> dict[str, float]:
    seen = {label: _combined(tiles, hour - hours) for label, hours in WINDOWS_HOURS.items()}
    features = {f"count_{label}": float(window[0]) for label, window in seen.items()}
    features |= {f"mean_{label}": window[1] / max(1, window[0]) for label, window in seen.items()}
    mean = before[1] / before[0] if before[0] else 0.0
    return features | {
        "sum_24h": float(seen["24h"][1]),
        "max_24h": float(seen["24h"][4]),
        "max_30d": float(before[4] or amount),
        "min_30d": float(before[3] or amount),
        "mean_30d_before": mean,
        "std_30d_before": math.sqrt(max(0.0, before[2] / before[0] - mean * mean)) if before[0] else 0.0,
        "distinct_24h": float(len(seen["24h"][5])),
        "distinct_30d": float(len(seen["30d"][5])),
    }


def _combined(tiles: dict[str, list[Any]], first_hour: int) -> tuple[int, int, int, int, int, set[str]]:
    count = total = squares = smallest = largest = 0
    others: set[str] = set()
    for hour, (n, amount, square, low, high, items) in tiles.items():
        if int(hour) >= first_hour:
            smallest = low if count == 0 else min(smallest, low)
            count, total, squares = count + n, total + amount, squares + square
            largest = max(largest, high)
            others.update(items)
    return count, total, squares, smallest, largest, others
