"""The HTTP door put together: store, champion, core, queues, server. What `headrace serve` runs."""

import asyncio
import ipaddress
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from contracts.connections import LOOPBACK
from contracts.crash_points import reach
from contracts.errors import ConfigError
from contracts.frame import Columns, strings
from contracts.hashed_fields import HashKeys
from contracts.pipeline import SourceStream
from features.project.running import RunningProject
from inference.policy.watch import PolicyWatch
from inference.reading.breaker import Breaker
from inference.reading.moment_reader import MomentReader
from inference.reading.online_reader import RedisFeatureReader
from inference.reading.pending import PendingServer
from inference.reading.store_evicts import StoreEvicts
from inference.reading.store_whole import StoreWhole
from inference.release.champion import ChampionWatch, definitions_of, load_champion
from inference.scorer.core import ScorerCore
from inference.serve.answers import Asked, Moments, PendingDecisions
from inference.serve.connections import Connections, Limits
from inference.serve.http import Door, Queues
from inference.serve.metrics import ServeMetrics
from inference.serve.queue import AnswerQueue
from inference.serve.request import Requests
from inference.serve.server import HttpServer
from inference.serve.settings import ServeSettings
from runtime.clock import SystemClock
from runtime.ending import as_error, end, guard_future
from runtime.health import Health
from runtime.watched import Watched

TOKEN_CHARS_MIN = 16
LOOK_S = 0.05
LAST_ANSWERS_S = 0.2
LOOP_LIMIT_S = 10.0
ANSWERS_LIMIT_S = 30.0
_NOBODY = "-"


class ServeWorker:
    """The door of a run, from settings to a clean end.

    Raises:
        ConfigError: E_SERVE_TOKEN, E_SERVE_REMOTE; E_POLICY_*, the policy is refused and none was live.
    """

    def __init__(
        self, project: RunningProject, settings: ServeSettings, metrics: ServeMetrics,
        health: Health | None = None, secrets: HashKeys | None = None,
    ) -> None:  # fmt: skip
        refuse_unsafe(settings)
        self._project, self._requests, self._secrets = project, Requests(project), secrets
        self._health = health = health or Health()
        self._loop = health.part("loop", LOOP_LIMIT_S)
        self._answers = health.part("answers", ANSWERS_LIMIT_S)
        self._store = health.part("online-store", math.inf)  # without it answers are degraded
        self._settings, self._metrics, self._clock = settings, metrics, SystemClock()
        store = settings.redis, settings.project
        self._rows = RedisFeatureReader(project, *store, settings.reader, tiles=True)
        self._whole = StoreWhole(
            *store, project.pipeline.chain.names, settings.epoch, settings.partitions, settings.reader
        )
        breaker = Breaker(settings.reader.probe_interval_ms)
        self._evicts = StoreEvicts(settings.redis, settings.reader)
        self._reader = MomentReader(
            project, self._rows, breaker, self._has_all, settings.epoch, self._whole.refill
        )
        self._models = ChampionWatch(
            settings.models,
            partial(load_champion, settings.models, definitions=definitions_of(project)),
            metrics,
            settings.model_look_ms / 1000,
            settings.models_secret,
            Watched("champion-watch", health, metrics.watch),
        )
        look_s = settings.policy.look_ms / 1000
        self._policies = PolicyWatch(
            project, settings.models, settings.policy.file, metrics, look_s, keeping=False,
            watched=Watched("policy-watch", health, metrics.watch),
        )  # fmt: skip
        self._policies.start()  # a core decides by some policy from its first row on
        core = ScorerCore(
            project, PendingServer(project, self._reader), self._models, self._clock, settings.epoch,
            self._policies, watching=False,
        )  # fmt: skip
        self._decisions = PendingDecisions(core, self._clock, self._evicts)
        self._moments = Moments(project, self._reader, self._clock, self._evicts, secrets)
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
            self._evicts.close()

    async def _serve(self, stopping: Callable[[], bool], ready: Callable[[int], None]) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="answers") as thread:
            await asyncio.get_running_loop().run_in_executor(thread, self._warm)
            self._queues = self._open_queues(thread)
            answering = [asyncio.create_task(queue.run()) for queue in self._queues]
            for task in answering:
                guard_future(task, "answers of the HTTP API")
            settings, metrics = self._settings, self._metrics
            connections = Connections(Limits.of(settings), metrics, settings.retry_after_s)
            door = Door(
                settings,
                self._requests,
                self._queues,
                metrics,
                self._clock,
                self.health,
                connections,
                end_incarnation,
                self._secrets,
            )
            server = HttpServer(door.application(), connections, settings, metrics)
            try:
                ready(await server.open())
                while not stopping():
                    self._moved()
                    await asyncio.sleep(LOOK_S)
            finally:
                await server.close()
                for task in answering:
                    task.cancel()

    def _moved(self) -> None:
        """Say what works: the loop turns, and answers are made or nobody waits for one."""
        self._loop.moved()
        if not self._waiting_rows():
            self._answers.moved()

    def _waiting_rows(self) -> int:
        return sum(queue.rows for queue in self._queues or ())

    def _has_all(self) -> bool:
        """Return whether a key that is not there has no past: the store is whole and throws none away."""
        return self._whole() and not self._evicts()

    def health(self) -> dict[str, Any]:
        """Return what /health says: `degraded` while answers are made without the store or a model."""
        model = self._models.current()
        store = "away" if not self._reader.available else "evicting" if self._evicts.evicts else "ok"
        self._metrics.store_away.set(not self._reader.available)
        parts = self._health.report()["parts"]
        return {
            "status": "ok" if store == "ok" and model else "degraded",
            "store": store,
            "model": f"{model.identity.name}/{model.identity.version}" if model else None,
            "waiting_rows": self._waiting_rows(),
            "stale": sorted(name for name, part in parts.items() if "stale_s" in part),
        }

    def _open_queues(self, thread: ThreadPoolExecutor) -> Queues:
        settings, rows = self._settings, self._metrics.batch_rows

        def scores(asked: list[Columns]) -> list[dict[str, Any]]:
            return self._told(self._decisions.answer(asked))

        def moments(asked: list[Asked]) -> list[dict[str, Any]]:
            return self._told(self._moments.answer(asked))

        limits = settings.rows_waiting_max, settings.rows_a_batch
        return Queues(
            AnswerQueue(scores, thread, *limits, rows.labels("/score").observe, end_incarnation),
            AnswerQueue(moments, thread, *limits, rows.labels("/features").observe, end_incarnation),
        )

    def _told(self, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        reach("serve.thread")
        self._metrics.store_away.set(not self._reader.available)
        self._answers.moved()
        if not self._reader.available:
            self._store.stale("the online store does not answer: answers are degraded")
        elif self._evicts.evicts:
            self._store.stale("the online store's server evicts keys: answers are degraded")
        else:
            self._store.fresh()
        return answers

    def _warm(self) -> None:
        """Compile and connect before the first caller waits for it."""
        now_ms = int(self._clock.now_ms())
        scored, asks = self._project.pipeline.scored, self._requests
        self._decisions.answer([nobody(scored, now_ms)])
        keys = {field.name: 0 if field.column == "int64" else _NOBODY for field in scored.fields}
        self._moments.answer([Asked(asks.question(**{name: keys[name] for name in asks.keys}), now_ms)])


def nobody(source: SourceStream, now_ms: int) -> Columns:
    """Return the columns of one pending event of nobody, as the gate makes them of a record."""
    fields: Columns = {
        field.name: strings([_NOBODY]) if field.column == "text" else np.zeros(1, field.column)
        for field in source.fields
    }  # fmt: skip
    at = np.full(1, now_ms, np.int64)
    origin: Columns = {"raw_partition": np.zeros(1, np.int32), "raw_offset": np.zeros(1, np.int64), "pos": at}
    return {**fields, **origin, "appended_ms": at, source.time: at, "traceparent": strings([""])}


def end_incarnation(error: Exception) -> None:
    """End the process because of an exception that nobody expected, once who asked has been told.

    What is half broken must not go on answering: its successor begins with what is known to be right.
    """
    asyncio.get_running_loop().call_later(LAST_ANSWERS_S, end, as_error(error, "HTTP API"), error)


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
