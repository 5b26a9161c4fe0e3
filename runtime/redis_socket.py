"""One connection to Redis with hard time limits and no retries: bytes out, parsed replies back.

Every connection of ours to Redis is one of these, but for those that Feast makes. A client library would wait
without limit by default, take seven seconds to give up a wait of 50 ms, and send a command again after a lost
connection; whoever asks decides both by itself.
"""

import socket
import ssl
from typing import Any

from contracts.connections import RedisConnection
from contracts.errors import ClusterError
from runtime.redis_reply import WAITING, ErrorReply, MalformedReplyError, ReplyReader

READ_BYTES = 1 << 16
NOT_REDIS = "is it Redis that listens there, and no proxy in between?"


class StoreDown(ClusterError):
    """Redis did not answer in time, or refused; what was sent may or may not be applied."""


class RedisSocket:
    """A connected, authenticated socket; any failure closes it and raises `StoreDown`.

    Args:
        connect_timeout_s: how long the network may take.
        reply_timeout_s: how long each wait for bytes may take, those of TLS and of the greeting included.

    Raises:
        StoreDown: E_STORE_DOWN, it cannot be made; E_STORE_REFUSED, Redis does not take user or database;
            E_STORE_REPLY, no Redis listens there.
    """

    def __init__(self, redis: RedisConnection, connect_timeout_s: float, reply_timeout_s: float) -> None:
        self._where = repr(redis)
        self._reader = ReplyReader()
        try:
            self._socket = _connected(redis, connect_timeout_s, reply_timeout_s)
        except OSError as error:
            what = str(error) or type(error).__name__
            raise StoreDown("E_STORE_DOWN", what, self._where, "is Redis running?") from error
        if greeting := _greeting(redis):
            self.exchange(b"".join(greeting), len(greeting))

    def __enter__(self) -> "RedisSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def command(self, *words: str | bytes) -> Any:
        """Send one command and return its reply.

        Raises:
            StoreDown: E_STORE_DOWN, E_STORE_REPLY, or E_STORE_REFUSED with Redis's own words.
        """
        return self.exchange(command(*words), 1)[0]

    def exchange(self, data: bytes, replies: int) -> list[Any]:
        """Send commands and return their replies; the time limit holds for each wait on the socket.

        Raises:
            StoreDown: E_STORE_DOWN, E_STORE_REPLY when the bytes are no replies, or E_STORE_REFUSED when a
                reply is an error.
        """
        try:
            self._socket.sendall(data)
            found = [self._reply() for _ in range(replies)]
            if not self._reader.is_empty:
                raise MalformedReplyError("more bytes than replies were asked for")
        except OSError as error:
            raise self._down(error) from error
        except MalformedReplyError as error:
            self.close()
            raise StoreDown("E_STORE_REPLY", str(error), self._where, NOT_REDIS) from error
        for reply in found:
            if isinstance(reply, ErrorReply):
                self.close()
                raise StoreDown("E_STORE_REFUSED", reply.text, self._where, "see Redis's log")
        return found

    def send(self, data: bytes) -> None:
        """Send commands whose replies somebody else reads: see `receive`.

        Raises:
            StoreDown: E_STORE_DOWN.
        """
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._down(error) from error

    def receive(self, most: int) -> bytes:
        """Return the bytes that are there next, at least one and at most so many, for a parser of one's own.

        Raises:
            StoreDown: E_STORE_DOWN.
        """
        try:
            data = self._socket.recv(most)
            if not data:
                raise ConnectionResetError("Redis closed the connection")
        except OSError as error:
            raise self._down(error) from error
        return data

    def wait_at_most(self, timeout_s: float) -> None:
        """Give each wait for bytes another time limit from now on."""
        self._socket.settimeout(timeout_s)

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self._socket.close()

    def _down(self, error: OSError) -> StoreDown:
        self.close()
        what = str(error) or type(error).__name__
        return StoreDown("E_STORE_DOWN", what, self._where, "what was sent may have been done; ask again")

    def _reply(self) -> Any:
        while (reply := self._reader.next()) is WAITING:
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise ConnectionResetError("Redis closed the connection")
            self._reader.feed(data)
        return reply


def text_of(reply: Any) -> bytes:
    """Return a reply that must be a string.

    Raises:
        StoreDown: E_STORE_REPLY.
    """
    if not isinstance(reply, bytes):
        raise StoreDown("E_STORE_REPLY", f"{reply!r:.60} is no string", "redis", NOT_REDIS)
    return reply


def row_of(reply: Any, items: int) -> list[bytes | None]:
    """Return a reply that must be so many strings, each of which may be missing.

    Raises:
        StoreDown: E_STORE_REPLY.
    """
    good = isinstance(reply, list) and len(reply) == items
    if not good or any(not isinstance(item, bytes | None) for item in reply):
        raise StoreDown("E_STORE_REPLY", f"{reply!r:.60} is no row of {items}", "redis", NOT_REDIS)
    return list(reply)


def command(*words: str | bytes) -> bytes:
    """Return one command in Redis's protocol.

    >>> command("GET", b"k")
    b'*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\nk\\r\\n'
    """
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word.encode() if isinstance(word, str) else word
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def _connected(redis: RedisConnection, connect_timeout_s: float, reply_timeout_s: float) -> socket.socket:
    plain = socket.create_connection((redis.host, redis.port), connect_timeout_s)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(reply_timeout_s)
        if not redis.tls:
            return plain
        context = ssl.create_default_context(cafile=redis.tls_ca_location or None)
        return context.wrap_socket(plain, server_hostname=redis.host)
    except BaseException:
        plain.close()
        raise


def _greeting(redis: RedisConnection) -> list[bytes]:
    """Return the commands by which a connection becomes a user's, and of one database."""
    words: list[bytes] = []
    if redis.password:
        words.append(command("AUTH", *([redis.username] if redis.username else []), redis.password))
    if redis.db:
        words.append(command("SELECT", str(redis.db)))
    return words
