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

import msgspec

from contracts import store_sentinel
from runtime.guards import info_fields
from runtime.redis_socket import RedisSocket, StoreDown, row_of, text_of
from runtime.store_owner import Owner, check_owner, owner_key

_EXCHANGE = (
    "if redis.call('HGET',KEYS[1],ARGV[1])==ARGV[2] then"
    " redis.call('HSET',KEYS[1],ARGV[1],ARGV[3]) return 1 end return 0"
)


class Sentinel:
    """The fields of one stage's partitions on one server.

    Args:
        owner: the run whose keyspace it must be; None where nobody asks.
    """

    def __init__(self, project: str, stage: str, epoch: int, owner: Owner | None = None) -> None:
        self._project, self._owner = project, owner
        self._key = store_sentinel.key(project)
        self._stage = stage
        self._epoch = epoch
        self._server = ""
        self._marks = itertools.count()

    def meet(self, connection: RedisSocket) -> None:
        """Learn which server this is, and whether it is the one to write to; asked at each check.

        Behind one address another server may answer from one moment to the next.

        Raises:
            StoreDown: E_STORE_REPLICA, it is a copy of another.
            StateError: E_STORE_OWNER, the keyspace is another run's.
        """
        about = info_fields(text_of(connection.command("INFO", "default")))
        if about.get("role", "master") != "master":
            raise StoreDown(
                "E_STORE_REPLICA", f"this Redis is a {about['role']}", self._key,
                "rows are kept until the primary answers",
            )  # fmt: skip
        self._server = about.get("run_id", "")
        if self._owner is not None:
            key = owner_key(self._project)
            connection.command("SET", key, msgspec.json.encode(self._owner), "NX")
            check_owner(connection.command("GET", key), self._owner, self._project)

    def probe(self, connection: RedisSocket) -> None:
        """Write a field that nobody reads: a server that only reads, or has no memory left, refuses it.

        Raises:
            StoreDown: E_STORE_REFUSED, or no answer in time.
        """
        connection.command("HSET", self._key, f"{self._stage}/probe", str(self._epoch))

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
        values = row_of(connection.command("HMGET", self._key, *[self._field(p) for p in order]), len(order))
        return {
            partition
            for partition, value in zip(order, values, strict=True)
            if not self._holds(connection, partition, value, owners[partition], partition in joined)
        }

    def is_whole(self, connection: RedisSocket, partition: int) -> bool:
        """Return whether some incarnation says that the partition's rows are there."""
        (value,) = row_of(connection.command("HMGET", self._key, self._field(partition)), 1)
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
        return bool(connection.command(*words) == 1)

    def _field(self, partition: int) -> str:
        return store_sentinel.field(self._stage, partition)

    @property
    def _here(self) -> bytes:
        return store_sentinel.place(self._epoch, self._server)
