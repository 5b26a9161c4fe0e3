"""Reads the online store straight from Redis: one pipelined round trip a batch, short waits, no retry.

The client library takes 7 seconds to give up a 50 ms timeout by default, and decodes replies one field at
a time; here a batch is one write and one parsed buffer a connection.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.connections import RedisConnection
from contracts.errors import ClusterError, ContractError, HeadraceError
from features.definition import Entity
from features.feast_key import key_format
from features.feast_row import RowReaderCodec, RowsRead
from features.feast_tiles import TilesView
from features.project.running import RunningProject
from inference.reading.settings import ReaderSettings
from runtime.redis_socket import RedisSocket

_RECEIVE_BYTES = 1 << 18
_REPLY_BYTES_MAX = 256 << 20
Keys = NDArray[np.bytes_]


class StoreUnavailable(ClusterError):
    """The online store did not answer in time, or answered with an error. Scoring goes on without it."""


class FeatureReader(Protocol):
    """What serves stored rows: Redis, or memory in a simulation."""

    def read(self, *keys: Keys) -> tuple[RowsRead, ...]:
        """Return the rows of the keys of each entity of the chain, each key once.

        An entity's rows have its views, and behind them the batch view of its key.

        Raises:
            StoreUnavailable: nothing was read.
        """


class RedisFeatureReader:
    """The online store in Redis; a connection an entity, so that all rows come in one round trip.

    `keyspace` is the run's. The settings' reply timeout bounds the wait for the next bytes of a pipeline of
    `keys_a_read` keys. With `tiles` the keys' packed states are read too.
    """

    def __init__(
        self,
        project: RunningProject,
        redis: RedisConnection,
        keyspace: str,
        settings: ReaderSettings,
        tiles: bool = False,
    ) -> None:
        beside = project.profile

        def pipeline(entity: Entity) -> _Pipeline:
            views = [(view.name, view.columns) for view in entity.views]
            views += [(beside.name, beside.columns)] if entity == project.profiled else []
            packed = TilesView.of(entity) if tiles else None
            codec = RowReaderCodec(keyspace, key_format(project.pipeline, entity), views, packed)
            return _Pipeline(redis, codec, settings)

        self._pipelines = [pipeline(entity) for entity in project.entities]
        self._settings = settings

    def read(self, *keys: Keys) -> tuple[RowsRead, ...]:
        """Return the rows of these keys; see `FeatureReader`."""
        parts = []
        step = self._settings.keys_a_read
        wait_ms = self._settings.reply_timeout_ms + sum(map(len, keys)) * self._settings.reply_timeout_key_ms
        try:
            for begin in range(0, max(1, *map(len, keys)), step):
                for pipeline, some in zip(self._pipelines, keys, strict=True):
                    pipeline.send(some[begin : begin + step])
                parts.append([pipeline.receive(wait_ms) for pipeline in self._pipelines])
        except HeadraceError as error:  # the socket's, or the codec's
            self.close()
            raise StoreUnavailable("E_STORE_UNAVAILABLE", str(error), "redis") from error
        return tuple(_joined(list(of_entity)) for of_entity in zip(*parts, strict=True))

    def close(self) -> None:
        """Close all connections; the next read opens new ones, since replies may still be under way."""
        for pipeline in self._pipelines:
            pipeline.close()


class _Pipeline:
    """One connection and the codec of what is read over it."""

    def __init__(self, redis: RedisConnection, codec: RowReaderCodec, settings: ReaderSettings) -> None:
        self._redis, self._codec, self._settings = redis, codec, settings
        self._socket: RedisSocket | None = None
        self._keys = 0

    def send(self, keys: Keys) -> None:
        if self._socket is None:
            self._socket = connect(self._redis, self._settings)
        self._keys = len(keys)
        if self._keys:
            self._socket.send(self._codec.encode(keys))

    def receive(self, wait_ms: float) -> RowsRead:
        assert self._socket is not None, "receive follows send"
        self._socket.wait_at_most(wait_ms / 1000)
        buffer = bytearray()
        rows = self._codec.decode(buffer, self._keys)
        while rows is None:
            buffer += self._socket.receive(_RECEIVE_BYTES)
            if len(buffer) > _REPLY_BYTES_MAX:
                what = f"more than {_REPLY_BYTES_MAX} bytes for {self._keys} keys"
                raise ContractError("E_STORE_REPLY", what, "redis", "is it Redis that listens there?")
            if buffer.endswith(b"\r\n"):
                rows = self._codec.decode(buffer, self._keys)
        if rows.failed.all() and buffer.startswith(b"-"):  # refused; a row that is damaged fails alone
            raise ContractError("E_STORE_REPLY", rows.error, "redis", "see the server's log")
        return rows

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def connect(redis: RedisConnection, settings: ReaderSettings) -> RedisSocket:
    """Return a reader's connection, with its time limits.

    Raises:
        StoreDown: as `RedisSocket`.
    """
    return RedisSocket(redis, settings.connect_timeout_ms / 1000, settings.reply_timeout_ms / 1000)


def _joined(parts: list[RowsRead]) -> RowsRead:
    """Return the rows of all parts, in order."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in RowsRead._fields
        if name not in ("error", "packed")
    }
    error = next((part.error for part in parts if part.error), "")
    return RowsRead(**columns, error=error, packed=tuple(state for part in parts for state in part.packed))
