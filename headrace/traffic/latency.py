"""From the moment an event was due to the moment its prediction could be read."""

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("p999", 99.9))


def latencies_ms(scheduled_s: NDArray[np.float64], readable_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the latency of each event that has a prediction; both shape (n,), NaN where none was read."""
    taken = (readable_s - scheduled_s) * 1000.0
    return taken[np.isfinite(taken)]


def percentiles_ms(latency_ms: NDArray[np.float64]) -> dict[str, float]:
    """Return p50, p95, p99 and p999 in milliseconds, rounded to 0.1; empty when nothing was measured.

    >>> percentiles_ms(np.array([10.0, 20.0, 30.0]))["p50"]
    20.0
    """
    if not len(latency_ms):
        return {}
    return {name: round(float(np.percentile(latency_ms, at)), 1) for name, at in PERCENTILES}
