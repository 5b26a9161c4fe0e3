"""Whether the online store's server has thrown keys away to make room: a missing key then says nothing.

A server with another `maxmemory-policy` than `noeviction` deletes rows when memory is short, and nothing that
stages or readers see in the store changes. The server counts what it threw away since it started, so that
count is asked for when a key is not found, once a second at most.
"""

import time
from collections.abc import Callable

from contracts.connections import RedisConnection
from inference.reading.online_reader import connect
from inference.reading.settings import ReaderSettings
from runtime.guards import info_fields
from runtime.redis_socket import RedisSocket, StoreDown, text_of

LOOK_S = 1.0


class StoreEvicts:
    """Asks one server; not safe for use by two threads.

    >>> StoreEvicts(RedisConnection(host="127.0.0.1", port=9), ReaderSettings())()
    False
    """

    def __init__(
        self, to: RedisConnection, settings: ReaderSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._next_s = clock()
        self.evicts = False
        self._redis, self._settings = to, settings
        self._socket: RedisSocket | None = None

    def __call__(self) -> bool:
        """Return whether keys were evicted since the server started; as last known without an answer.

        Who sets `noeviction` and fills the store again resets the count with CONFIG RESETSTAT.
        """
        if self._clock() < self._next_s:
            return self.evicts
        self._next_s = self._clock() + LOOK_S
        try:
            if self._socket is None:
                self._socket = connect(self._redis, self._settings)
            stats = info_fields(text_of(self._socket.command("INFO", "stats")))
        except StoreDown:
            self.close()
            return self.evicts
        self.evicts = stats.get("evicted_keys", "0") != "0"
        return self.evicts

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
