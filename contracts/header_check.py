"""What headers of an input record may be, and what is taken from them: the trace it belongs to."""

import re
from typing import NamedTuple

from contracts.contract_version import Limits
from contracts.document import Refused
from contracts.raw import Headers, Unreadable

RESERVED = "headrace."
_TRACE = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class HeadersRead(NamedTuple):
    """`traceparent` is empty when absent, malformed or given twice; `forged` counts our reserved names."""

    traceparent: str
    forged: int


def read_headers(headers: Headers, limits: Limits) -> HeadersRead:
    """Return what a record's headers say; unknown headers are nobody's business.

    Raises:
        Refused: E_HEADER_NAME or E_HEADER_SIZE.

    >>> trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    >>> read_headers([("traceparent", trace), ("headrace.dlq.code", b"x")], Limits()).forged
    1
    """
    if not headers:
        return HeadersRead("", 0)
    if isinstance(headers, Unreadable):
        raise Refused("E_HEADER_NAME", "a header's name is not UTF-8")
    if len(headers) > limits.headers_max:
        raise Refused("E_HEADER_SIZE", f"more than {limits.headers_max} headers")
    size, forged = 0, 0
    traces = []
    for name, value in headers:
        size += len(name.encode()) + len(value or b"")
        if name == "traceparent":
            traces.append(value)
        elif name.startswith(RESERVED):
            forged += 1
    if size > limits.headers_bytes_max:
        raise Refused("E_HEADER_SIZE", f"headers of more than {limits.headers_bytes_max} bytes")
    return HeadersRead(_trace(traces), forged)


def _trace(traces: list[bytes | None]) -> str:
    """Return the one well-formed trace context; a malformed one begins a new trace and is no fault."""
    if len(traces) != 1 or traces[0] is None or not _TRACE.fullmatch(traces[0]):
        return ""
    return traces[0].decode("ascii")
