"""When people pay: a week with a weekend, a day with lunch, evening and a quiet night."""

import numpy as np
from numpy.typing import NDArray

from feature_repo.generator.plan import DAY_MS, HOUR_MS

DAY_WEIGHTS = np.array([0.95, 0.95, 1.0, 1.05, 1.25, 1.30, 0.85])  # Monday first
HOUR_WEIGHTS = np.array(
    [
        *(0.25, 0.15, 0.10, 0.08, 0.10, 0.25, 0.6, 1.2, 1.8, 2.0, 2.2, 2.6),
        *(3.2, 2.8, 2.2, 2.1, 2.3, 2.8, 3.2, 3.0, 2.4, 1.8, 1.2, 0.6),
    ]
)


def moments(
    count: int,
    days: float,
    shift_hours: NDArray[np.float64] | float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw `count` moments in [0, days), in ms from a Monday's midnight, following the rhythm.

    Args:
        shift_hours: shape (count,) or a number; by how much each payer's day is later than the usual.
    """
    whole = int(np.ceil(days))
    day_edges = np.concatenate(([0.0], np.cumsum(DAY_WEIGHTS[np.arange(whole) % 7])))
    hour_edges = np.concatenate(([0.0], np.cumsum(HOUR_WEIGHTS)))
    span_ms = int(days * DAY_MS)
    day = np.interp(rng.random(count) * day_edges[-1], day_edges, np.arange(whole + 1)).astype(np.int64)
    hour = np.interp(rng.random(count) * hour_edges[-1], hour_edges, np.arange(25.0)) + shift_hours
    moment: NDArray[np.int64] = (day * DAY_MS + (hour % 24.0) * HOUR_MS).astype(np.int64)
    return moment % span_ms
