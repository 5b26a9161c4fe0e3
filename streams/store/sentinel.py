"""How a stage notices that the online store lost its rows: a field a partition that says who filled it.

The field holds the run's epoch and the server's own id, so a flush, an empty restart, an older snapshot and
a replica that took over all show as a field that is gone or different. A refill first puts a mark of its
own there and at the end exchanges it only if it is still there: a flush in the middle begins another.

It also says which incarnation of the partition's owner filled it, since one that was replaced and does not
know it may be the first to notice a flush and fill the store from old state. An owner believes itself and,
when it takes over, the incarnation whose state it took; it overrules older ones and leaves newer ones alone.
"""

import itertools
from collections.abc import Collection, Mapping

from contracts import store_sentinel
from streams.store.redis_socket import RedisSocket

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

    def lost(
        self, connection: RedisSocket, owners: Mapping[int, int], joined: Collection[int] = ()
    ) -> set[int]:
        """Return the partitions whose rows this server may not have.

        Args:
            owners: our incarnation of each partition.
            joined: partitions of which nothing was written yet since they were taken over: the word of the
                incarnation before ours is believed, and taken over.
        """
        if not owners:
            return set()
        order = sorted(owners)
        values = connection.command("HMGET", self._key, *[self._field(p) for p in order])
        return {
            partition
            for partition, value in zip(order, values, strict=True)
            if not self._holds(connection, partition, value, owners[partition], partition in joined)
        }

    def is_whole(self, connection: RedisSocket, partition: int) -> bool:
        """Return whether some incarnation says that the partition's rows are there."""
        (value,) = connection.command("HMGET", self._key, self._field(partition))
        return store_sentinel.says_whole(value, self._here)

    def begin(self, connection: RedisSocket, partition: int, incarnation: int) -> bytes:
        """Put a refill's mark, and return it."""
        mark = store_sentinel.filling(next(self._marks), incarnation, self._here)
        connection.command("HSET", self._key, self._field(partition), mark)
        return mark

    def finish(self, connection: RedisSocket, partition: int, mark: bytes) -> bool:
        """Say that the partition's rows are there; False when the store was emptied meanwhile."""
        return self._exchange(connection, partition, mark, store_sentinel.filled(mark))

    def forget(self, connection: RedisSocket, partition: int) -> None:
        """Take the partition's field away, so that a stage that runs writes all its rows again."""
        connection.command("HDEL", self._key, self._field(partition))

    def _holds(
        self, connection: RedisSocket, partition: int, value: bytes | None, own: int, joined: bool
    ) -> bool:
        said_by = store_sentinel.said_by(value, self._here)
        if value is None or said_by is None:
            return False
        if said_by > own:  # we were replaced: what is there is our successor's business
            return True
        if store_sentinel.is_filling(value):
            return False
        if said_by == own - 1 and joined:
            return self._exchange(connection, partition, value, store_sentinel.whole(own, self._here))
        return said_by == own

    def _exchange(self, connection: RedisSocket, partition: int, old: bytes, new: bytes) -> bool:
        words = ("EVAL", _EXCHANGE, "1", self._key, self._field(partition), old, new)
        return bool(connection.command(*words))

    def _field(self, partition: int) -> str:
        return store_sentinel.field(self._stage, partition)

    @property
    def _here(self) -> bytes:
        return store_sentinel.place(self._epoch, self._server)
