"""Feast's Redis store, in the run's Redis, with streamed views left to the stream.

Feast reads a row's timestamp and then writes the row, in two round trips: beside a stream that writes the
same rows, the older value can win. So what Feast would write to a view with a stream source is dropped here
(the stream has written it already, with a compare-and-set), and batch views are written as Feast does.
Reading is Feast's own.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from feast import FeatureView, RepoConfig
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from redis import Redis
from redis import asyncio as redis_asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from contracts.connections import RedisConnection
from feature_repo.run_home import RunHome

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0  # Feast sends up to 10,000 rows at once; the event path has its own, shorter limits

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
Progress = Callable[[int], Any] | None


class RunOnlineStoreConfig(RedisOnlineStoreConfig):
    """Settings of the store; empty means what the environment and the run say."""

    # Feast finds the class by this name; the base class allows only its own
    type: Literal["feature_repo.online_store.RunOnlineStore"] = "feature_repo.online_store.RunOnlineStore"  # type: ignore[assignment]
    home: str = ""
    full_scan_for_deletion: bool = False  # it scans all keys and takes a project by the end of its name


class RunOnlineStore(RedisOnlineStore):
    """Redis of the run; counts, by view, the rows handed to Redis and those left to the stream."""

    def __init__(self) -> None:
        self.handed_over: Counter[str] = Counter()
        self.left_to_stream: Counter[str] = Counter()

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Progress
    ) -> None:
        """Write the rows of a batch view; leave those of a streamed view alone."""
        if self._is_streamed(table, len(data)):
            return
        super().online_write_batch(config, table, data, progress)
        self.handed_over[table.name] += len(data)

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Progress
    ) -> None:
        """Do the same as `online_write_batch`."""
        if self._is_streamed(table, len(data)):
            return
        await super().online_write_batch_async(config, table, data, progress)
        self.handed_over[table.name] += len(data)

    def _is_streamed(self, table: FeatureView, rows: int) -> bool:
        if table.stream_source is None:
            return False
        if not self.left_to_stream[table.name]:
            structlog.get_logger().info(
                "rows_left_to_stream", view=table.name, why="the stream writes this view"
            )
        self.left_to_stream[table.name] += rows
        return True

    def _get_client(self, online_store_config: RedisOnlineStoreConfig) -> Redis | RedisCluster:
        if self._client is None:
            self._client = Redis(**_arguments(online_store_config), retry=Retry(NoBackoff(), 0))
        return self._client

    async def _get_client_async(
        self, online_store_config: RedisOnlineStoreConfig
    ) -> redis_asyncio.Redis | redis_asyncio.RedisCluster:
        if self._client_async is None:
            arguments = _arguments(online_store_config)
            self._client_async = redis_asyncio.Redis(**arguments, retry=AsyncRetry(NoBackoff(), 0))
        return self._client_async


def _arguments(settings: RedisOnlineStoreConfig) -> dict[str, Any]:
    """Return redis-py's arguments; with its defaults it waits without limit, and sends commands again."""
    assert isinstance(settings, RunOnlineStoreConfig)
    home = RunHome(Path(settings.home)) if settings.home else RunHome.find()
    to: RedisConnection = home.redis()
    tls = {"ssl": True, "ssl_ca_certs": to.tls_ca_location or None} if to.tls else {}
    return {
        "host": to.host,
        "port": to.port,
        "db": to.db,
        "username": to.username or None,
        "password": to.password or None,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        **tls,
    }
