"""Ordinary activity of many customers, made in chunks: for state that is too big to keep the payments too.

Every customer pays at least once in thirty days, some often: weights fall with rank as in the workloads. A
customer pays at a handful of terminals.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, position
from feature_repo.generator.plan import START_MS
from features.definition import DAY_MS

SKEW = 0.8
TERMINALS = 50_000
HABITS = 6
CHUNK_EVENTS = 50_000


class Activity(NamedTuple):
    """How many customers make how many payments, over which time."""

    customers: int
    events: int
    days: float = 30.0
    seed: int = 31
    start_ms: int = START_MS

    def chunks(self) -> Iterator[Columns]:
        """Yield the payments in log order, as rows of `events.customer` with unique transaction ids."""
        rng = np.random.default_rng(self.seed)
        names = numbered(b"c", np.arange(self.customers), 7)
        terminals = numbered(b"m", np.arange(TERMINALS), 5)
        weights = np.cumsum(np.arange(1, self.customers + 1) ** -SKEW)
        once = rng.permutation(self.customers)
        share = min(1.0, self.customers / self.events)
        done = met = 0
        while done < self.events:
            count = min(CHUNK_EVENTS, self.events - done)
            first = once[met : met + round(count * share) + 1]
            met += len(first)
            drawn = np.searchsorted(weights, rng.random(count - len(first)) * weights[-1])
            customer = rng.permutation(np.concatenate([first, drawn]))
            time_ms = self.start_ms + np.sort(rng.random(count) + done / CHUNK_EVENTS) * self._chunk_ms
            habit = (customer * 2_654_435_761 + rng.integers(0, HABITS, count) * 40_503) % TERMINALS
            yield _rows(done, names[customer], terminals[habit], time_ms.astype(np.int64), rng)
            done += count

    @property
    def _chunk_ms(self) -> float:
        return self.days * DAY_MS * CHUNK_EVENTS / self.events


def numbered(letter: bytes, numbers: NDArray[np.int64], digits: int) -> NDArray[np.bytes_]:
    """Return a letter and digits for each number.

    >>> numbered(b"c", np.array([7, 12]), 3)
    array([b'c007', b'c012'], dtype='|S4')
    """
    text = np.empty((len(numbers), digits + 1), np.uint8)
    text[:, 0] = letter[0]
    for digit in range(digits):
        text[:, digits - digit] = ord("0") + numbers // 10**digit % 10
    return text.reshape(-1).view(f"S{digits + 1}")


def _rows(
    done: int,
    customers: NDArray[np.bytes_],
    terminals: NDArray[np.bytes_],
    time_ms: NDArray[np.int64],
    rng: np.random.Generator,
) -> Columns:
    count = len(customers)
    empty = np.zeros(count, "S1")
    return {
        "pos": position(done) + np.arange(count, dtype=np.int64),
        "raw_partition": np.zeros(count, np.int32),
        "raw_offset": np.arange(done, done + count),
        "appended_ms": time_ms,
        "transaction_id": numbered(b"t", np.arange(done, done + count), 9),
        "customer_id": customers,
        "terminal_id": terminals,
        "event_time": time_ms,
        "amount_minor": np.exp(rng.normal(8.0, 1.0, count)).astype(np.int64),
        "currency": np.full(count, b"EUR"),
        "channel": empty,
        "country": empty,
        "traceparent": empty,
        "content_hash": rng.integers(0, 1 << 63, count).astype(np.uint64),
    }
