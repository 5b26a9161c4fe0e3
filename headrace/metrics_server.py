"""The metrics port of a worker: `/metrics` for Prometheus, `/health` for whoever restarts workers.

It stays small and reachable under abuse: few connections at a time, each for a few seconds; a new one cuts
off the oldest. A caller who goes away is no fault; any other exception in here ends the process.
"""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec
from prometheus_client import CollectorRegistry, make_wsgi_app

from runtime.ending import Fatal, as_error, end
from runtime.health import Health

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CONNECTIONS_MAX = 16
CONNECTION_S = 10.0
SILENCE_S = 5.0


def start(host: str, port: int, registry: CollectorRegistry, health: Health | None) -> "MetricsServer":
    """Serve in a thread of its own; 0 takes a free port.

    Raises:
        OSError: the address cannot be listened on.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    server = MetricsServer(family, (str(address[0]), int(address[1])), application(registry, health))
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def application(registry: CollectorRegistry, health: Health | None) -> "WSGIApplication":
    """Return the paths `/metrics` and `/health`; anything else is 404."""
    metrics = make_wsgi_app(registry)

    def answer(environ: "WSGIEnvironment", respond: "StartResponse") -> Iterable[bytes]:
        with Fatal("metrics port"):  # wsgiref would print an exception and go on
            match environ["PATH_INFO"]:
                case "/metrics":
                    return list(metrics(environ, respond))
                case "/health":
                    report = health.report() if health else {"status": "ok", "parts": {}}
                    status = "503 Service Unavailable" if report["status"] == "stuck" else "200 OK"
                    return _json(respond, status, report)
                case _:
                    return _json(respond, "404 Not Found", {"error": {"paths": ["/metrics", "/health"]}})

    return answer


def _json(respond: "StartResponse", status: str, told: dict[str, Any]) -> list[bytes]:
    body = msgspec.json.encode(told)
    respond(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


class _Request(WSGIRequestHandler):
    """One request a connection; says nothing, as its callers come every few seconds."""

    timeout = SILENCE_S

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """A thread a request, for at most `CONNECTIONS_MAX` connections of at most `CONNECTION_S` seconds.

    One connection more cuts off the oldest, so that those who dawdle never keep others out.
    """

    daemon_threads = True
    request_queue_size = 128  # a burst is taken at once, not left to its callers' retries

    def __init__(self, family: int, address: tuple[str, int], app: "WSGIApplication") -> None:
        self.address_family = family
        self._since_s: dict[socket.socket, float] = {}  # oldest first
        self._lock = threading.Lock()
        super().__init__(address, _Request)
        self.set_app(app)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, and cut off the oldest connection where there are too many."""
        self._cut_off(lambda _: len(self._since_s) >= CONNECTIONS_MAX)
        with self._lock:
            self._since_s[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started: the worker itself goes first
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that is answered."""
        with self._lock:
            self._since_s.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off connections that last too long; called twice a second, and between requests."""
        late_s = time.monotonic() - CONNECTION_S
        self._cut_off(lambda since_s: since_s < late_s)

    def _cut_off(self, due: Callable[[float], bool]) -> None:
        """Cut connections off, oldest first, while they are due; their threads see the end and close them."""
        with self._lock:
            while self._since_s and due(next(iter(self._since_s.values()))):
                oldest = next(iter(self._since_s))
                del self._since_s[oldest]
                with suppress(OSError):  # the caller was quicker
                    oldest.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over callers that go away; anything else is not expected here."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            end(as_error(error, "metrics port"), error)
