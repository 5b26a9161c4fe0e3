"""Whether the online store has all rows of every stage: asked only when a key is not found.

A key that is not there has no past, or the store has lost it: after a flush or an empty restart it takes
the stages a moment to notice and to write their rows again. The fields by which they notice tell readers too,
and a reader that finds a damaged row takes the field of its partition away: the stage then writes all rows
of that partition again.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import store_sentinel
from contracts.connections import RedisConnection
from contracts.keys import partition_of
from inference.reading.online_reader import connect
from inference.reading.settings import ReaderSettings
from runtime.guards import info_fields
from runtime.redis_socket import RedisSocket, StoreDown

REFILL_PAUSE_S = 60.0  # of a partition: one that is damaged again and again must not be filled for ever


class StoreWhole:
    """Asks one server about one run's rows; a question costs a round trip.

    >>> nowhere = RedisConnection(host="127.0.0.1", port=9)
    >>> StoreWhole(nowhere, "headrace", ("account",), 1, 1, ReaderSettings())()
    False
    """

    def __init__(
        self,
        to: RedisConnection,
        keyspace: str,
        entities: Sequence[str],
        epoch: int,
        partitions: int,
        settings: ReaderSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis, self._settings, self._clock = to, settings, clock
        self._key, self._epoch, self._partitions = store_sentinel.key(keyspace), epoch, partitions
        self._fields = [
            store_sentinel.field(entity, partition) for entity in entities for partition in range(partitions)
        ]
        self._socket: RedisSocket | None = None
        self._asked_s: dict[str, float] = {}

    def __call__(self) -> bool:
        """Return whether each stage says that all its rows are on this server; False without an answer."""
        values = self._ask("HMGET", self._key, *self._fields)
        if not isinstance(values, list) or len(values) != len(self._fields):
            return False
        place = store_sentinel.place(self._epoch, self._server())
        return all(isinstance(value, bytes) and store_sentinel.says_whole(value, place) for value in values)

    def refill(self, entity: str, keys: NDArray[np.bytes_]) -> None:
        """Have the stage write all rows of the partitions that these keys are in, once a minute at most."""
        for partition in np.unique(partition_of(keys, self._partitions)).tolist():
            field, now_s = store_sentinel.field(entity, partition), self._clock()
            if now_s - self._asked_s.get(field, -REFILL_PAUSE_S) >= REFILL_PAUSE_S:
                self._asked_s[field] = now_s
                self._ask("HDEL", self._key, field)

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _server(self) -> str:
        info = self._ask("INFO", "server")
        return info_fields(info).get("run_id", "") if isinstance(info, bytes) else ""

    def _ask(self, *words: str) -> Any:
        """Return the reply, None without one; a connection that failed is made again by the next question."""
        try:
            if self._socket is None:
                self._socket = connect(self._redis, self._settings)
            return self._socket.command(*words)
        except StoreDown:
            self.close()
            return None
