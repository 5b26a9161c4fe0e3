"""Replies of Redis's protocol out of bytes as they come, with a bound on everything that a server may say.

A client library believes a length that a reply names: a proxy's page, half a reply or one damaged digit then
takes the process's memory or ends it. What this service asks is answered by short replies, so whatever is
larger, deeper or of another form than the protocol is malformed, and the connection is of no more use.
"""

from typing import Any, Final, NamedTuple

REPLY_BYTES_MAX = 16 << 20
LINE_BYTES_MAX = 64 << 10
ITEMS_MAX = 1 << 16
DEPTH_MAX = 4
_DIGITS_MAX = 19


class MalformedReplyError(ValueError):
    """Bytes that are no reply of Redis's, or one beyond all bounds."""


class ErrorReply(NamedTuple):
    """An error that the server answered with."""

    text: str


class _Waiting:
    """The reply is not all there."""


WAITING: Final = _Waiting()


class ReplyReader:
    r"""Takes bytes in and gives replies out: bytes, int, None, a list of them, or an `ErrorReply`.

    >>> reader = ReplyReader()
    >>> reader.feed(b":7\r\n*2\r\n$2\r\nab\r\n$-1\r")
    >>> reader.next(), reader.next() is WAITING
    (7, True)
    >>> reader.feed(b"\n-ERR no\r\n")
    >>> reader.next(), reader.next()
    ([b'ab', None], ErrorReply(text='ERR no'))
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes in.

        Raises:
            MalformedReplyError: more than any reply may have, and still no end.
        """
        self._buffer += data
        if len(self._buffer) > REPLY_BYTES_MAX:
            raise MalformedReplyError(f"a reply of more than {REPLY_BYTES_MAX} bytes")

    def next(self) -> Any:
        """Return the next reply, `WAITING` while it is not all there.

        Raises:
            MalformedReplyError: the bytes are no reply.
        """
        found = self._reply(0, 0)
        if found is None:
            return WAITING
        reply, end = found
        del self._buffer[:end]
        return reply

    @property
    def is_empty(self) -> bool:
        """Return whether every byte taken in was part of a reply."""
        return not self._buffer

    def _reply(self, at: int, depth: int) -> tuple[Any, int] | None:
        end = self._buffer.find(b"\r\n", at, at + LINE_BYTES_MAX)
        if end < 0:
            if len(self._buffer) - at >= LINE_BYTES_MAX:
                raise MalformedReplyError("a line without an end")
            self._refuse_type(at)
            return None
        self._refuse_type(at)
        kind, line, after = self._buffer[at : at + 1], bytes(self._buffer[at + 1 : end]), end + 2
        if kind == b"+":
            return line, after
        if kind == b"-":
            return ErrorReply(line.decode(errors="replace")), after
        number = _number(line)
        if kind == b":":
            return number, after
        if number == -1:
            return None, after
        return self._bulk(after, number) if kind == b"$" else self._array(after, number, depth + 1)

    def _bulk(self, at: int, size: int) -> tuple[Any, int] | None:
        if not 0 <= size <= REPLY_BYTES_MAX:
            raise MalformedReplyError(f"a string of {size} bytes")
        end = at + size
        if len(self._buffer) < end + 2:
            return None
        if self._buffer[end : end + 2] != b"\r\n":
            raise MalformedReplyError("a string longer than it says")
        return bytes(self._buffer[at:end]), end + 2

    def _array(self, at: int, items: int, depth: int) -> tuple[Any, int] | None:
        if not 0 <= items <= ITEMS_MAX or depth > DEPTH_MAX:
            raise MalformedReplyError(f"{items} items, {depth} deep")
        found = []
        for _ in range(items):
            reply = self._reply(at, depth)
            if reply is None:
                return None
            found.append(reply[0])
            at = reply[1]
        return found, at

    def _refuse_type(self, at: int) -> None:
        kind = bytes(self._buffer[at : at + 1])
        if kind and kind not in b"+-:$*":
            raise MalformedReplyError(f"a reply begins {bytes(self._buffer[at : at + 16])!r}")


def _number(line: bytes) -> int:
    digits = line[1:] if line[:1] == b"-" else line
    if not digits.isdigit() or len(digits) > _DIGITS_MAX:
        raise MalformedReplyError(f"{line[:32]!r} is no number")
    return int(line)
