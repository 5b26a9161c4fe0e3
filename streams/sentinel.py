"""How a stage notices that the online store lost its rows: a field a partition that says who filled it.

The field holds the run's epoch and the server's own id, so a flush, an empty restart, an older snapshot and
a replica that took over all show as a field that is gone or different. A refill first puts a mark of its
own there and at the end exchanges it only if it is still there: a flush in the middle begins another.
"""

import itertools

from contracts import store_sentinel
from streams.redis_socket import RedisSocket

_EXCHANGE = (
    "if redis.call('HGET',KEYS[1],ARGV[1])==ARGV[2] then"
    " redis.call('HSET',KEYS[1],ARGV[1],ARGV[3]) return 1 end return 0"
)


class Sentinel:
    """The fields of one stage's partitions on one server."""

    def __init__(self, project: str, stage: str, epoch: int) -> None:
        self._key = store_sentinel.key(project)
        self._stage = stage
        self._epoch = epoch
        self._server = ""
        self._marks = itertools.count()

    def meet(self, connection: RedisSocket) -> None:
        """Learn which server this is; wanted once a connection."""
        info = connection.command("INFO", "server")
        lines = bytes(info).decode(errors="replace").splitlines()
        found = [line.partition(":")[2] for line in lines if line.startswith("run_id:")]
        self._server = found[0] if found else ""

    def lost(self, connection: RedisSocket, partitions: set[int]) -> set[int]:
        """Return the partitions whose rows this server may not have."""
        if not partitions:
            return set()
        order = sorted(partitions)
        values = connection.command("HMGET", self._key, *[self._field(p) for p in order])
        whole = self._whole()
        return {p for p, value in zip(order, values, strict=True) if value != whole}

    def begin(self, connection: RedisSocket, partition: int) -> bytes:
        """Put a refill's mark, and return it."""
        mark = b"refill:%d:%s" % (next(self._marks), self._whole())
        connection.command("HSET", self._key, self._field(partition), mark)
        return mark

    def finish(self, connection: RedisSocket, partition: int, mark: bytes) -> bool:
        """Say that the partition's rows are there; False when the store was emptied meanwhile."""
        words = ("EVAL", _EXCHANGE, "1", self._key, self._field(partition), mark, self._whole())
        return bool(connection.command(*words))

    def forget(self, connection: RedisSocket, partition: int) -> None:
        """Take the partition's field away, so that a stage that runs writes all its rows again."""
        connection.command("HDEL", self._key, self._field(partition))

    def _field(self, partition: int) -> str:
        return store_sentinel.field(self._stage, partition)

    def _whole(self) -> bytes:
        return store_sentinel.whole(self._epoch, self._server)
