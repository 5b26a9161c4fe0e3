"""Whether the online store has all rows of every stage: asked only when a key is not found.

A key that is not there has no past, or the store has lost it: after a flush or an empty restart it takes
the stages a moment to notice and to write their rows again. The fields by which they notice tell readers too.
"""

from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contracts import store_sentinel
from contracts.connections import RedisConnection
from features.catalog import ENTITIES
from inference.reading.settings import ReaderSettings


class StoreWhole:
    """Asks one server about one run's rows; a question costs a round trip.

    >>> StoreWhole(RedisConnection(host="127.0.0.1", port=9), "headrace", 1, 1, ReaderSettings())()
    False
    """

    def __init__(
        self, to: RedisConnection, project: str, epoch: int, partitions: int, settings: ReaderSettings
    ) -> None:
        self._key, self._epoch = store_sentinel.key(project), epoch
        self._fields = [
            store_sentinel.field(entity.name, partition)
            for entity in ENTITIES
            for partition in range(partitions)
        ]
        self._client = redis.Redis(
            host=to.host, port=to.port, db=to.db, username=to.username or None, password=to.password or None,
            ssl=to.tls, ssl_ca_certs=to.tls_ca_location or None,
            socket_connect_timeout=settings.connect_timeout_ms / 1000,
            socket_timeout=settings.reply_timeout_ms / 1000, retry=Retry(NoBackoff(), 0),
        )  # fmt: skip

    def __call__(self) -> bool:
        """Return whether each stage says that all its rows are on this server; False without an answer."""
        try:
            values = cast(Any, self._client.hmget(self._key, self._fields))
            if None in values:
                return False
            server = cast(dict[str, Any], self._client.info("server"))["run_id"]
        except redis.RedisError:
            return False
        place = store_sentinel.place(self._epoch, server)
        return all(store_sentinel.says_whole(value, place) for value in values)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
