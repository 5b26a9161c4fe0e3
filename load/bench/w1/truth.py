"""W1 by its definition: for each payment, the key's payments so far that each window holds, one by one.

Shares no code with the kernel or the peers' tiles; money is summed as integers, so equality means bits.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SPANS_MS = ((3_600_000, 60_000), (86_400_000, 1_800_000), (604_800_000, 10_800_000))  # length, hop
Expected = dict[str, NDArray[np.float64]]  # values by transaction id
NAMES = tuple(f"{what}_{label}" for label in ("1h", "24h", "7d") for what in ("count", "sum", "mean", "max"))


class Truth:
    """The expected values of payments by transaction id.

    Args:
        payments: all payments of the run, in delivery order.
    """

    def __init__(self, payments: pa.Table) -> None:
        self._ids = payments["transaction_id"].to_pylist()
        self._times = np.asarray(payments["event_time"])
        self._amounts = np.asarray(payments["amount_minor"])
        self._keys = np.asarray(payments["customer_id"].to_pylist())

    def first(self, count: int) -> Expected:
        """Return the values of the first payments delivered."""
        return self._of_rows(np.arange(min(count, len(self._ids))))

    def of_some_keys(self, keys: int, seed: int) -> Expected:
        """Return the values of every payment of a seeded sample of customers."""
        every = np.unique(self._keys)
        chosen = np.random.default_rng(seed).choice(every, min(keys, len(every)), replace=False)
        return self._of_rows(np.flatnonzero(np.isin(self._keys, chosen)))

    def _of_rows(self, rows: NDArray[np.int64]) -> Expected:
        found: Expected = {}
        order = rows[np.argsort(self._keys[rows], kind="stable")]
        breaks = np.flatnonzero(np.diff(np.unique(self._keys[order], return_inverse=True)[1])) + 1
        for own in np.split(order, breaks):
            values = as_of(self._times[own], self._amounts[own])
            found.update(zip((self._ids[row] for row in own.tolist()), values, strict=True))
        return found


def as_of(times_ms: NDArray[np.int64], amounts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return shape (n, 12): one key's values as of each of its payments, in log order.

    >>> as_of(np.array([0, 3_600_000, 3_660_000]), np.array([5, 7, 9]))[:, 1].tolist()
    [5.0, 12.0, 16.0]
    """
    out = np.empty((len(times_ms), len(NAMES)))
    now = np.maximum.accumulate(times_ms)
    for row in range(len(times_ms)):
        seen, spent = times_ms[: row + 1], amounts[: row + 1]
        for number, (length_ms, hop_ms) in enumerate(SPANS_MS):
            held = spent[(seen >= (now[row] - length_ms) // hop_ms * hop_ms) & (seen <= now[row])]
            count, total = len(held), int(held.sum())
            out[row, 4 * number : 4 * number + 4] = (
                count, total, total / count if count else np.nan, held.max() if count else np.nan,
            )  # fmt: skip
    return out


def differences(
    expected: Expected,
    answers: Iterable[tuple[str, Sequence[float]]],
    tolerance: float = 0.0,
) -> tuple[int, list[str]]:
    """Return how many answers were expected ones, and the ids whose values differ.

    With no tolerance values must be the same bits, but for the kind of a null.
    """
    seen, wrong = 0, []
    for name, values in answers:
        if name in expected:
            seen += 1
            if not np.allclose(
                np.asarray(values, np.float64), expected[name], rtol=tolerance, atol=tolerance, equal_nan=True
            ):
                wrong.append(name)
    return seen, wrong
