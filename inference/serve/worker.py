"""The HTTP door put together: store, champion, core, queues, server. What `headrace serve` runs."""

import asyncio
import ipaddress
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from aiohttp import web

from contracts.connections import LOOPBACK
from contracts.errors import ClusterError, ConfigError
from contracts.frame import Columns
from inference.clock import SystemClock
from inference.policy.watch import PolicyWatch
from inference.reading.breaker import Breaker
from inference.reading.moment_reader import MomentReader
from inference.reading.online_reader import RedisFeatureReader
from inference.reading.pending import PendingServer
from inference.reading.store_whole import StoreWhole
from inference.release.champion import ChampionWatch, load_champion, our_definitions
from inference.scorer.core import ScorerCore
from inference.serve.answers import Asked, Decisions, Moments
from inference.serve.http import Door, Queues
from inference.serve.metrics import ServeMetrics
from inference.serve.queue import AnswerQueue
from inference.serve.request import Question, payments_of
from inference.serve.settings import ServeSettings

TOKEN_CHARS_MIN = 16
LOOK_S = 0.05
SHUTDOWN_S = 3.0
_NOBODY = (
    b'{"transaction_id":"-","event_time":%d,"customer_id":"-","terminal_id":"-","amount_minor":0,'
    b'"currency":"EUR"}'
)


class ServeWorker:
    """The door of a run, from settings to a clean end.

    Raises:
        ConfigError: E_SERVE_TOKEN, E_SERVE_REMOTE; E_POLICY_*, the policy is refused and none was live.
    """

    def __init__(self, settings: ServeSettings, metrics: ServeMetrics) -> None:
        refuse_unsafe(settings)
        self._settings, self._metrics, self._clock = settings, metrics, SystemClock()
        store = settings.redis, settings.project
        self._rows = RedisFeatureReader(*store, settings.reader, tiles=True)
        self._whole = StoreWhole(*store, settings.epoch, settings.partitions, settings.reader)
        breaker = Breaker(settings.reader.probe_interval_ms)
        self._reader = MomentReader(self._rows, breaker, self._whole, settings.epoch)
        self._models = ChampionWatch(
            settings.models,
            partial(load_champion, settings.models, definitions=our_definitions()),
            metrics,
            settings.model_look_ms / 1000,
            settings.models_secret,
        )
        look_s = settings.policy.look_ms / 1000
        self._policies = PolicyWatch(settings.models, settings.policy.file, metrics, look_s, keeping=False)
        self._policies.start()  # a core decides by some policy from its first row on
        core = ScorerCore(
            PendingServer(self._reader), self._models, self._clock, settings.epoch, self._policies,
            watching=False,
        )  # fmt: skip
        self._decisions = Decisions(core, self._clock)
        self._moments = Moments(self._reader, self._clock)
        self._queues: Queues | None = None

    def run(self, stopping: Callable[[], bool], ready: Callable[[int], None] = lambda _: None) -> None:
        """Answer until `stopping()`; `ready` is called with the port once the door is open.

        Raises:
            ClusterError: E_SERVE_PORT, the port is taken.
        """
        self._models.start()
        try:
            asyncio.run(self._serve(stopping, ready))
        finally:
            self._models.close()
            self._policies.close()
            self._rows.close()
            self._whole.close()

    async def _serve(self, stopping: Callable[[], bool], ready: Callable[[int], None]) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="answers") as thread:
            await asyncio.get_running_loop().run_in_executor(thread, self._warm)
            self._queues = self._open_queues(thread)
            answering = [asyncio.create_task(queue.run()) for queue in self._queues]
            door = Door(self._settings, self._queues, self._metrics, self._clock, self.health)
            runner = web.AppRunner(
                door.application(), access_log=None, auto_decompress=False, shutdown_timeout=SHUTDOWN_S
            )
            await runner.setup()
            try:
                ready(await self._listen(runner))
                while not stopping():
                    await asyncio.sleep(LOOK_S)
            finally:
                await runner.cleanup()
                for task in answering:
                    task.cancel()

    async def _listen(self, runner: web.AppRunner) -> int:
        host, port = self._settings.host, self._settings.port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ClusterError(
                "E_SERVE_PORT", f"the door cannot be opened: {error}", f"{host}:{port}",
                "choose another port, or 0 for a free one",
            ) from error  # fmt: skip
        return int(runner.addresses[0][1])

    def health(self) -> dict[str, Any]:
        """Return what /health says: `degraded` while answers are made without the store or a model."""
        model = self._models.current()
        store = self._reader.available
        self._metrics.store_away.set(not store)
        return {
            "status": "ok" if store and model else "degraded",
            "store": "ok" if store else "away",
            "model": f"{model.identity.name}/{model.identity.version}" if model else None,
            "waiting_rows": sum(queue.rows for queue in self._queues or ()),
        }

    def _open_queues(self, thread: ThreadPoolExecutor) -> Queues:
        settings, rows = self._settings, self._metrics.batch_rows

        def scores(asked: list[Columns]) -> list[dict[str, Any]]:
            return self._told(self._decisions.answer(asked))

        def moments(asked: list[Asked]) -> list[dict[str, Any]]:
            return self._told(self._moments.answer(asked))

        limits = settings.rows_waiting_max, settings.rows_a_batch
        return Queues(
            AnswerQueue(scores, thread, *limits, rows.labels("/score").observe),
            AnswerQueue(moments, thread, *limits, rows.labels("/features").observe),
        )

    def _told(self, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self._metrics.store_away.set(not self._reader.available)
        return answers

    def _warm(self) -> None:
        """Compile and connect before the first caller waits for it."""
        now_ms = int(self._clock.now_ms())
        payments = payments_of([_NOBODY % now_ms], now_ms)
        if payments.rows is not None:
            self._decisions.answer([payments.rows])
        self._moments.answer([Asked(Question(customer_id="-", terminal_id="-"), now_ms)])


def refuse_unsafe(settings: ServeSettings) -> None:
    """Check that only who should can ask.

    Raises:
        ConfigError: E_SERVE_TOKEN, a short token or none; E_SERVE_REMOTE, an address that others reach.

    >>> from pathlib import Path
    >>> from contracts.connections import RedisConnection
    >>> here = RedisConnection(host="127.0.0.1", port=1)
    >>> refuse_unsafe(ServeSettings(redis=here, models=Path(), token="0" * 32))
    """
    if len(settings.token) < TOKEN_CHARS_MIN:
        raise ConfigError(
            "E_SERVE_TOKEN", f"a token of less than {TOKEN_CHARS_MIN} characters", "HEADRACE_SERVE_TOKEN",
            "leave it unset to have one made, or set a long random one",
        )  # fmt: skip
    if not settings.allow_remote and not _is_loopback(settings.host):
        raise ConfigError(
            "E_SERVE_REMOTE", "others than this machine would reach the door, unencrypted", settings.host,
            "bind 127.0.0.1 behind a proxy that does TLS, or give --allow-remote",
        )  # fmt: skip


def _is_loopback(host: str) -> bool:
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
