"""Reads the online store straight from Redis: one pipelined round trip a batch, short waits, no retry.

The client library takes 7 seconds to give up a 50 ms timeout by default, and decodes replies one field at
a time; here a batch is one write and one parsed buffer a connection.
"""

import socket
import ssl
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.connections import RedisConnection
from contracts.errors import ClusterError, ContractError
from features.catalog import CUSTOMER, CUSTOMER_PROFILE, TERMINAL
from features.definition import Entity
from features.feast_row import RowReaderCodec, RowsRead
from features.feast_tiles import TilesView
from inference.reading.settings import ReaderSettings

_RECEIVE_BYTES = 1 << 18
Keys = NDArray[np.bytes_]


class StoreUnavailable(ClusterError):
    """The online store did not answer in time, or answered with an error. Scoring goes on without it."""


class FeatureReader(Protocol):
    """What serves stored rows: Redis, or memory in a simulation."""

    def read(self, customers: Keys, terminals: Keys) -> tuple[RowsRead, RowsRead]:
        """Return the rows of these keys, each key once.

        Customer rows have the views of `CUSTOMER`, then the profile; terminal rows those of `TERMINAL`.

        Raises:
            StoreUnavailable: nothing was read.
        """


class RedisFeatureReader:
    """The online store in Redis; two connections, so that both entities' rows come in one round trip.

    The settings' reply timeout bounds the wait for the next bytes of a pipeline of `keys_a_read` keys. With
    `tiles` the keys' packed states are read too.
    """

    def __init__(
        self, redis: RedisConnection, project: str, settings: ReaderSettings, tiles: bool = False
    ) -> None:
        profile = (CUSTOMER_PROFILE.name, CUSTOMER_PROFILE.columns)

        def pipeline(entity: Entity, *more: tuple[str, tuple[str, ...]]) -> _Pipeline:
            views = [*((view.name, view.columns) for view in entity.views), *more]
            beside = TilesView.of(entity) if tiles else None
            return _Pipeline(redis, RowReaderCodec(project, entity.join_key, views, beside), settings)

        self._customer, self._terminal = pipeline(CUSTOMER, profile), pipeline(TERMINAL)
        self._settings = settings

    def read(self, customers: Keys, terminals: Keys) -> tuple[RowsRead, RowsRead]:
        """Return the rows of these keys; see `FeatureReader`."""
        parts = []
        step = self._settings.keys_a_read
        keys = len(customers) + len(terminals)
        wait_ms = self._settings.reply_timeout_ms + keys * self._settings.reply_timeout_key_ms
        try:
            for begin in range(0, max(len(customers), len(terminals), 1), step):
                some = slice(begin, begin + step)
                self._customer.send(customers[some])
                self._terminal.send(terminals[some])
                parts.append((self._customer.receive(wait_ms), self._terminal.receive(wait_ms)))
        except (OSError, ContractError) as error:
            self.close()
            raise StoreUnavailable("E_STORE_UNAVAILABLE", str(error) or "no answer", "redis") from error
        return _joined([part[0] for part in parts]), _joined([part[1] for part in parts])

    def close(self) -> None:
        """Close both connections; the next read opens new ones, since replies may still be under way."""
        self._customer.close()
        self._terminal.close()


class _Pipeline:
    """One connection and the codec of what is read over it."""

    def __init__(self, redis: RedisConnection, codec: RowReaderCodec, settings: ReaderSettings) -> None:
        self._redis, self._codec, self._settings = redis, codec, settings
        self._socket: socket.socket | None = None
        self._keys = 0

    def send(self, keys: Keys) -> None:
        if self._socket is None:
            self._socket = _connect(self._redis, self._settings)
        self._keys = len(keys)
        if self._keys:
            self._socket.sendall(self._codec.encode(keys))

    def receive(self, wait_ms: float) -> RowsRead:
        assert self._socket is not None, "receive follows send"
        self._socket.settimeout(wait_ms / 1000)
        buffer = bytearray()
        rows = self._codec.decode(buffer, self._keys)
        while rows is None:
            data = self._socket.recv(_RECEIVE_BYTES)
            if not data:
                raise ConnectionError("closed by the server")
            buffer += data
            if buffer.endswith(b"\r\n"):
                rows = self._codec.decode(buffer, self._keys)
        if rows.failed.all() and buffer.startswith(b"-"):  # refused; a row that is damaged fails alone
            raise ContractError("E_STORE_REPLY", rows.error, "redis", "see the server's log")
        return rows

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _connect(redis: RedisConnection, settings: ReaderSettings) -> socket.socket:
    raw = socket.create_connection((redis.host, redis.port), settings.connect_timeout_ms / 1000)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(settings.reply_timeout_ms / 1000)
        if redis.tls:
            context = ssl.create_default_context(cafile=redis.tls_ca_location or None)
            raw = context.wrap_socket(raw, server_hostname=redis.host)
        _introduce(raw, redis)
    except BaseException:
        raw.close()
        raise
    return raw


def _introduce(raw: socket.socket, redis: RedisConnection) -> None:
    """Authenticate and choose the database; each answers +OK."""
    commands: list[Sequence[str]] = []
    if redis.password:
        commands.append(["AUTH", *([redis.username] if redis.username else []), redis.password])
    if redis.db:
        commands.append(["SELECT", str(redis.db)])
    if not commands:
        return
    raw.sendall(b"".join(_command(words) for words in commands))
    answers = b""
    while answers.count(b"\r\n") < len(commands):
        data = raw.recv(4096)
        if not data:
            raise ConnectionError("closed by the server")
        answers += data
    for answer in answers.split(b"\r\n")[: len(commands)]:
        if answer != b"+OK":
            raise ContractError(
                "E_STORE_REPLY", answer.decode(errors="replace"), "redis", "check its settings"
            )


def _command(words: Sequence[str]) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


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
