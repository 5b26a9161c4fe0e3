"""From a key's tiles to its values: as of a moment, or as of an event that is not in the log yet.

The tiles are what the stage packed, and they are loaded into a state like the stage's own, so a value read
later is computed by the very code that computes it in the stream. The state is scratch: it is filled anew by
each call and keeps its arrays between calls.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.frame import Columns
from features.definition import Entity
from features.state import KEY, EntityState

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
DAMAGED = frozenset({"E_STATE_CHECKSUM", "E_STATE_BYTES"})


class Finalised(NamedTuple):
    """Values of n keys: (n, columns of the entity); of `unreadable` keys all are null.

    `damaged` keys are those of the unreadable whose bytes are not what a stage wrote.
    """

    values: Floats
    unreadable: Flags
    damaged: Flags


class Finaliser:
    """Reads the tiles of one entity; not safe for use by two threads.

    >>> from features.project.running import project_at
    >>> device = project_at("examples/logins").entities[1]
    >>> state, login = EntityState(device), {
    ...     "pos": np.array([0]), "device_id": np.array([b"d1"]), "account_id": np.array([b"a1"]),
    ...     "at": np.array([1_000]),
    ... }
    >>> _ = state.apply(login, kind=1)
    >>> tiles = state.export(login["device_id"])
    >>> hour = 3_600_000
    >>> Finaliser(device).at([*tiles, b""], np.array([hour, hour])).values[:, 0].tolist()
    [1.0, 0.0]
    """

    def __init__(self, entity: Entity) -> None:
        self._state = EntityState(entity, forgets=False)

    def at(self, packed: Sequence[bytes], now_ms: NDArray[np.int64]) -> Finalised:
        """Return the values of n keys as of the moments (n,), every row so far counted.

        Windows end at the moment, or at the key's newest event time when that is later. b"" is a key
        without a past.
        """
        names, *failed = self._load(packed)
        return self._told(self._state.at(names, now_ms), *failed)

    def at_until(
        self, packed: Sequence[bytes], now_ms: NDArray[np.int64]
    ) -> tuple[Finalised, NDArray[np.int64]]:
        """Return as `at`, and (n,) the first moment from which each key's values may be others.

        The moments are those of `EntityState.valid_until_ms`; largest int64: never without a new row.
        """
        names, *failed = self._load(packed)
        until_ms = self._state.valid_until_ms(names, now_ms)
        return self._told(self._state.at(names, now_ms), *failed), until_ms

    def with_pending(self, packed: Sequence[bytes], rows: Columns, kind: int) -> Finalised:
        """Return what the stream would answer for each of n rows if it came next, each alone.

        Args:
            packed: of each row's key.
            rows: as `EntityState.peek` takes them; the join key is not read.
        """
        names, *failed = self._load(packed)
        applied = self._state.peek({**rows, KEY: names}, kind)
        return self._told(applied.values, *failed)

    def _told(self, values: Floats, unreadable: Flags, damaged: Flags) -> Finalised:
        values[unreadable] = np.nan
        return Finalised(values, unreadable, damaged)

    def _load(self, packed: Sequence[bytes]) -> tuple[NDArray[np.bytes_], Flags, Flags]:
        """Fill the scratch keys; return what stands for them, which are unreadable, and which damaged."""
        names = np.array([b"%d" % i for i in range(len(packed))], "S12")
        names[[i for i, state in enumerate(packed) if not state]] = b"nobody"
        codes = [""] * len(packed)
        try:
            self._state.load(names.tolist(), packed)
        except StateError:
            codes = [self._refusal(names[i : i + 1].tolist(), state) for i, state in enumerate(packed)]
        unreadable = np.array([bool(code) for code in codes], np.bool_)
        names[unreadable] = b"nobody"
        return names, unreadable, np.array([code in DAMAGED for code in codes], np.bool_)

    def _refusal(self, name: list[bytes], state: bytes) -> str:
        """Return the code with which a state is refused, "" when it is taken."""
        try:
            self._state.load(name, [state])
        except StateError as error:
            return error.code
        return ""
