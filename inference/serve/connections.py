"""The HTTP API's connections: how many there are, and for how long each may keep others waiting.

aiohttp bounds headers and bodies by size, and connections by nothing. So each connection is wrapped here. One
that has not sent the whole of a request's headers or body in time is closed, and where there are too many,
a new one takes the place of the one that has kept its place longest without a whole request: callers who
send what they have to say are answered however many others dawdle.
"""

import asyncio
import ipaddress
import resource
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple, cast

import orjson
from aiohttp import web

from inference.serve.metrics import ServeMetrics
from inference.serve.settings import ServeSettings
from runtime.rare_log import RareLog

SWEEP_S = 0.25
HANDLERS_TURN_S = 1.0  # a late body is refused by its handler first
FILES_RESERVED = 256  # for models, the store, metrics, logs, and what is accepted before it is counted


class State(IntEnum):
    """What a connection is doing; where there are too many, the lowest goes first."""

    HEAD = 0  # some or none of a request's headers came
    BODY = 1  # the headers are there, the body is not
    IDLE = 2  # answered, and kept for another request
    BUSY = 3  # a whole request waits for its answer


class Limits(NamedTuple):
    """Numbers of connections, and seconds that each state may last; BUSY ends by itself."""

    total: int
    a_peer: int
    head_s: float
    body_s: float
    idle_s: float

    @staticmethod
    def of(settings: ServeSettings) -> "Limits":
        """Return the limits of the settings, as far as this process may open files."""
        return Limits(
            _within_open_files(settings.connections_max), settings.connections_a_peer_max,
            settings.head_timeout_ms / 1000, settings.body_timeout_ms / 1000 + HANDLERS_TURN_S,
            settings.idle_timeout_ms / 1000,
        )  # fmt: skip

    def seconds(self, state: State) -> float:
        """Return how long a state may last."""
        return {State.HEAD: self.head_s, State.BODY: self.body_s, State.IDLE: self.idle_s}.get(
            state, float("inf")
        )


class Connections:
    """Every open connection, in one event loop."""

    def __init__(self, limits: Limits, metrics: ServeMetrics, retry_after_s: int = 1) -> None:
        self._limits, self._metrics, self._retry_after_s = limits, metrics, retry_after_s
        self._open: dict[asyncio.BaseTransport, _Connection] = {}  # by age of connection
        self._rare = RareLog()

    def wrapped(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return a factory of protocols whose connections are counted here."""
        return lambda: _Connection(self, make())

    def entered(self, request: web.BaseRequest, state: State) -> None:
        """Say what the connection of a request is doing now."""
        found = self._open.get(cast(asyncio.BaseTransport, request.transport))
        if found is not None:
            found.enter(state)

    async def sweep(self) -> None:
        """Close connections that take too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            for one in list(self._open.values()):
                if loop.time() - one.since_s > self._limits.seconds(one.state):
                    self._close(one, f"slow_{one.state.name.lower()}")

    def opened(self, fresh: "_Connection") -> bool:
        """Count a connection in, at the cost of another where there are too many; return whether it may stay.

        One of the same peer goes where that peer has too many, and the newest itself where all others wait
        for answers.
        """
        of_peer = [one for one in self._open.values() if one.peer == fresh.peer]
        crowd: list[_Connection] | None = None
        if len(of_peer) >= self._limits.a_peer:
            crowd = of_peer
        elif len(self._open) >= self._limits.total:
            crowd = list(self._open.values())
        self._open[fresh.transport] = fresh
        if crowd is not None:
            first = min(crowd, key=lambda one: (one.state, one.since_s))
            self._close(fresh if first.state is State.BUSY else first, "too_many")
        self._metrics.connections.set(len(self._open))
        return fresh.transport in self._open

    def closed(self, gone: "_Connection") -> None:
        """Count a connection out."""
        self._open.pop(gone.transport, None)
        self._metrics.connections.set(len(self._open))

    def _close(self, one: "_Connection", why: str) -> None:
        self._metrics.connections_closed.labels(why).inc()
        self._rare.warning("connection_closed", why=why, open=len(self._open))
        self._open.pop(one.transport, None)
        one.close(_REFUSALS[why], self._retry_after_s)


class _Connection(asyncio.Protocol):
    """One connection: aiohttp's protocol inside, and what it is doing since when."""

    transport: asyncio.Transport

    def __init__(self, all_of_them: Connections, inner: asyncio.Protocol) -> None:
        self._all, self._inner = all_of_them, inner
        self._loop = asyncio.get_running_loop()
        self._is_known = False
        self.peer = ""
        self.enter(State.HEAD)

    def enter(self, state: State) -> None:
        """Take note of a new state."""
        self.state, self.since_s = state, self._loop.time()

    def close(self, refusal: "_Refusal | None", retry_after_s: int) -> None:
        """Say why, to a caller who waits for something, and close."""
        if refusal is not None and self.state is not State.IDLE and not self.transport.is_closing():
            self.transport.write(refusal.response(retry_after_s))
        self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        self.transport = cast(asyncio.Transport, transport)
        self.peer = _peer_of(self.transport)
        self._is_known = self._all.opened(self)
        if self._is_known:
            self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        if self.state is State.IDLE:
            self.enter(State.HEAD)
        if self._is_known:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the end of what the caller sends on."""
        return self._inner.eof_received() if self._is_known else None

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._all.closed(self)
        if self._is_known:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on that the caller reads slowly."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the caller has read."""
        self._inner.resume_writing()


class _Refusal(NamedTuple):
    status: str
    code: str
    what: str
    advice: str

    def response(self, retry_after_s: int) -> bytes:
        """Return a whole response, for a caller whose request was not read."""
        error = {"code": self.code, "what": self.what, "where": "", "next": self.advice}
        body = orjson.dumps({"error": error})
        head = (
            f"HTTP/1.1 {self.status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Retry-After: {retry_after_s}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


_SLOW = "408 Request Timeout", "E_SERVE_SLOW"
_REFUSALS = {
    "too_many": _Refusal(
        "503 Service Unavailable", "E_SERVE_CONNECTIONS", "too many connections",
        "ask again after the time that Retry-After says, and keep connections open for more than one request",
    ),
    "slow_head": _Refusal(*_SLOW, "no whole headers in time", "send the whole request at once"),
    "slow_body": _Refusal(*_SLOW, "no whole body in time", "send the whole request at once"),
    "slow_idle": None,
}  # fmt: skip


def _peer_of(transport: asyncio.Transport) -> str:
    """Return who is connected: an address, or the /64 network of one of IPv6, which is one subscriber's."""
    address = str((transport.get_extra_info("peername") or ("",))[0]).partition("%")[0]
    if ":" in address:
        return str(ipaddress.ip_network(f"{address}/64", strict=False))
    return address


def _within_open_files(connections: int) -> int:
    """Return how many connections there may be, after asking the kernel for the files they need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + FILES_RESERVED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft - FILES_RESERVED))
