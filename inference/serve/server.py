"""The HTTP server: aiohttp's, with limits on connections, a bounded log and the rule for the unexpected."""

import asyncio
import errno
import logging
from typing import Any

from aiohttp import web

from contracts.errors import ClusterError
from inference.serve.connections import Connections
from inference.serve.metrics import ServeMetrics
from inference.serve.settings import ServeSettings
from runtime.ending import guard_future, guard_loop
from runtime.rare_log import RareLog

SHUTDOWN_S = 3.0
LINGER_S = 1.0  # for the rest of a body that was refused
BACKLOG = 128
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class HttpServer:
    """Serves one application on one address; everything happens in the running event loop.

    Args:
        app: answers requests.
        connections: counts and bounds those who ask.
    """

    def __init__(
        self, app: web.Application, connections: Connections, settings: ServeSettings, metrics: ServeMetrics
    ) -> None:
        self._connections, self._settings, self._metrics = connections, settings, metrics
        self._rare = RareLog()
        self._runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, shutdown_timeout=SHUTDOWN_S,
            keepalive_timeout=settings.idle_timeout_ms / 1000, lingering_time=LINGER_S, logger=_rare_logger(),
        )  # fmt: skip
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def open(self) -> int:
        """Listen, and return the port.

        Raises:
            ClusterError: E_SERVE_PORT, the address cannot be listened on.
        """
        self._guard()
        await self._runner.setup()
        assert self._runner.server is not None, "it was set up"
        host, port = self._settings.host, self._settings.port
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._connections.wrapped(self._runner.server), host, port, backlog=BACKLOG
            )
        except OSError as error:
            raise ClusterError(
                "E_SERVE_PORT", f"the HTTP API cannot listen: {error}", f"{host}:{port}",
                "choose another port, or 0 for a free one",
            ) from error  # fmt: skip
        self._sweeping = asyncio.create_task(self._connections.sweep())
        guard_future(self._sweeping, "limits of connections")
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Answer what is being answered, for a moment, and stop."""
        if self._server is not None:
            self._server.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        await self._runner.cleanup()

    def _guard(self) -> None:
        """Have what the loop would only log end the process, but for the want of files for a caller."""
        loop = asyncio.get_running_loop()
        guard_loop(loop)
        strict = loop.get_exception_handler()
        assert strict is not None, "it was just set"

        def failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception")
            if (
                isinstance(error, OSError)
                and error.errno in _NO_FILES
                and "accept" in str(context["message"])
            ):
                self._metrics.connections_closed.labels("no_files").inc()
                self._rare.warning("connection_not_accepted", error=str(error))
            else:
                strict(loop, context)

        loop.set_exception_handler(failed)


def _rare_logger() -> logging.Logger:
    """Return a logger for what aiohttp says of single connections: malformed requests, callers gone.

    aiohttp closes such a connection itself, and nothing of ours was in it.
    """
    rare = RareLog()

    class Rare(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            rare.warning("connection_failed", error=type(error).__name__, what=str(error)[:200])

    logger = logging.Logger("headrace.serve.http", logging.WARNING)
    logger.addHandler(Rare())
    return logger
