"""What must keep moving in a scorer: its loop and its transactions; and whether the online store answers."""

import math

from runtime.health import Health

TURN_LIMIT_S = 90.0  # a take-over waits for the coordinator, a transaction for its time limit


class ScorerHealth:
    """The scorer's parts of a worker's health; the watchers have their own.

    >>> health = Health()
    >>> ScorerHealth(health).turned(is_settled=True)
    >>> sorted(health.report()["parts"])
    ['loop', 'online-store', 'transaction']
    """

    def __init__(self, health: Health | None = None) -> None:
        health = health or Health()
        self._loop = health.part("loop", TURN_LIMIT_S)
        self._transaction = health.part("transaction", TURN_LIMIT_S)
        self._store = health.part("online-store", math.inf)  # scoring goes on without it

    def turned(self, *, is_settled: bool) -> None:
        """Say that the loop made a turn; `is_settled` unless rows were read and are not committed."""
        self._loop.moved()
        if is_settled:
            self._transaction.moved()

    def served(self, *, is_available: bool) -> None:
        """Say whether the online store answered for a batch."""
        self._store.moved()
        if is_available:
            self._store.fresh()
        else:
            self._store.stale("the online store does not answer: decisions are made without it")
