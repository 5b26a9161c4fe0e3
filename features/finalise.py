"""From a key's tiles to its values: as of a moment, or as of a payment that is not in the log yet.

The tiles are what the stage packed, and they are loaded into a state like the stage's own, so a value read
later is computed by the very code that computes it in the stream. The state is scratch: it is filled anew by
each call and keeps its arrays between calls.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.frame import Columns, Kind
from features.definition import Entity
from features.state import EntityState

Floats = NDArray[np.float64]


class Finalised(NamedTuple):
    """Values of n keys: (n, columns of the entity); of `unreadable` keys all are null."""

    values: Floats
    unreadable: NDArray[np.bool_]


class Finaliser:
    """Reads the tiles of one entity; not safe for use by two threads.

    >>> from features.catalog import CUSTOMER
    >>> state, payment = EntityState(CUSTOMER), {
    ...     "pos": np.array([0]), "customer_id": np.array([b"c1"]), "terminal_id": np.array([b"m1"]),
    ...     "event_time": np.array([1_000]), "amount_minor": np.array([500]),
    ... }
    >>> _ = state.apply(payment, Kind.PAYMENT)
    >>> tiles = state.export(payment["customer_id"])
    >>> hour = 3_600_000
    >>> Finaliser(CUSTOMER).at([*tiles, b""], np.array([hour, hour])).values[:, 0].tolist()
    [1.0, 0.0]
    """

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._state = EntityState(entity, forgets=False)

    def at(self, packed: Sequence[bytes], now_ms: NDArray[np.int64]) -> Finalised:
        """Return the values of n keys as of the moments (n,), every row so far counted.

        Windows end at the moment, or at the key's newest event time when that is later. b"" is a key
        without a past.
        """
        names, unreadable = self._load(packed)
        return self._told(self._state.at(names, now_ms), unreadable)

    def at_until(
        self, packed: Sequence[bytes], now_ms: NDArray[np.int64]
    ) -> tuple[Finalised, NDArray[np.int64]]:
        """Return as `at`, and (n,) the first moment from which each key's values may be others.

        The moments are those of `EntityState.valid_until_ms`; largest int64: never without a new row.
        """
        names, unreadable = self._load(packed)
        until_ms = self._state.valid_until_ms(names, now_ms)
        return self._told(self._state.at(names, now_ms), unreadable), until_ms

    def with_pending(self, packed: Sequence[bytes], rows: Columns, kind: Kind) -> Finalised:
        """Return what the stream would answer for each of n rows if it came next, each alone.

        Args:
            packed: of each row's key.
            rows: as `EntityState.peek` takes them; the join key is not read.
        """
        names, unreadable = self._load(packed)
        applied = self._state.peek({**rows, self._entity.join_key: names}, kind)
        return self._told(applied.values, unreadable)

    def _told(self, values: Floats, unreadable: NDArray[np.bool_]) -> Finalised:
        values[unreadable] = np.nan
        return Finalised(values, unreadable)

    def _load(self, packed: Sequence[bytes]) -> tuple[NDArray[np.bytes_], NDArray[np.bool_]]:
        """Fill the scratch keys; return the name that stands for each key, and which cannot be read."""
        names = np.array([b"%d" % i for i in range(len(packed))], "S12")
        names[[i for i, state in enumerate(packed) if not state]] = b"nobody"
        unreadable = np.zeros(len(packed), np.bool_)
        try:
            self._state.load(names.tolist(), packed)
        except StateError:
            for i, state in enumerate(packed):
                unreadable[i] = not self._loads(names[i : i + 1].tolist(), state)
            names[unreadable] = b"nobody"
        return names, unreadable

    def _loads(self, name: list[bytes], state: bytes) -> bool:
        try:
            self._state.load(name, [state])
        except StateError:
            return False
        return True
