"""One connection to Redis with hard time limits and no retries: bytes out, parsed replies back.

A client library would wait without limit by default and send a command again after a lost connection; the
writer above decides both itself.
"""

import socket
import ssl
from typing import Any

import hiredis

from contracts.connections import RedisConnection
from contracts.errors import ClusterError

READ_BYTES = 1 << 16


class StoreDown(ClusterError):
    """Redis did not answer in time, or refused; what was sent may or may not be applied."""


class RedisSocket:
    """A connected, authenticated socket; any failure closes it and raises `StoreDown`."""

    def __init__(self, redis: RedisConnection, connect_timeout_s: float, reply_timeout_s: float) -> None:
        self._where = repr(redis)
        self._reader = hiredis.Reader()
        try:
            plain = socket.create_connection((redis.host, redis.port), connect_timeout_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = _secured(plain, redis)
        except OSError as error:
            raise StoreDown("E_STORE_DOWN", str(error), self._where, "is Redis running?") from error
        self._socket.settimeout(reply_timeout_s)
        if redis.password:
            user = (redis.username,) if redis.username else ()
            self.command("AUTH", *user, redis.password)
        if redis.db:
            self.command("SELECT", str(redis.db))

    def command(self, *words: str | bytes) -> Any:
        """Send one command and return its reply.

        Raises:
            StoreDown: E_STORE_DOWN, or E_STORE_REFUSED with Redis's own words.
        """
        return self.exchange(command(*words), 1)[0]

    def exchange(self, data: bytes, replies: int) -> list[Any]:
        """Send commands and return their replies; the time limit holds for each wait on the socket.

        Raises:
            StoreDown: E_STORE_DOWN, or E_STORE_REFUSED when a reply is an error.
        """
        try:
            self._socket.sendall(data)
            found = [self._reply() for _ in range(replies)]
        except OSError as error:
            self.close()
            what = str(error) or type(error).__name__
            raise StoreDown("E_STORE_DOWN", what, self._where, "rows are kept and written later") from error
        for reply in found:
            if isinstance(reply, hiredis.ReplyError):
                self.close()
                raise StoreDown("E_STORE_REFUSED", str(reply), self._where, "see Redis's log")
        return found

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self._socket.close()

    def _reply(self) -> Any:
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise ConnectionResetError("Redis closed the connection")
            self._reader.feed(data)
        return reply


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


def _secured(plain: socket.socket, redis: RedisConnection) -> socket.socket:
    if not redis.tls:
        return plain
    context = ssl.create_default_context(cafile=redis.tls_ca_location or None)
    return context.wrap_socket(plain, server_hostname=redis.host)
