"""Feast's Redis store, in the run's Redis, with streamed views left to the stream.

Feast reads a row's timestamp and then writes the row, in two round trips: beside a stream that writes the
same rows, the older value can win. So what Feast would write to a view with a stream source is dropped here
(the stream has written it already, with a compare-and-set). A batch view is written by Feast's own code, but
for one thing: Feast passes over a row whose timestamp is the stored one's, so a snapshot that was computed
again would never arrive. Here only older rows are passed over. Reading is Feast's own.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from feast import FeatureView, RepoConfig
from feast.infra.online_stores.helpers import _redis_key
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig, _versioned_fv_name
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.utils import make_tzaware
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]
from redis import Redis
from redis import asyncio as redis_asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from runtime.environment import current_run, redis_connection
from runtime.run import Run

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0  # Feast sends up to 10,000 rows at once; the event path has its own, shorter limits

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
Progress = Callable[[int], Any] | None


class RunOnlineStoreConfig(RedisOnlineStoreConfig):
    """Settings of the store; empty means what the environment and the run say."""

    # Feast finds the class by this name; the base class allows only its own
    type: Literal["headrace.feast.RunOnlineStore"] = "headrace.feast.RunOnlineStore"  # type: ignore[assignment]
    home: str = ""
    full_scan_for_deletion: bool = False  # it scans all keys and takes a project by the end of its name
    skip_dedup: bool = True  # which rows are written is decided below; Feast's own check drops equal times


class RunOnlineStore(RedisOnlineStore):
    """Redis of the run; counts, by view, the rows written to Redis and those left to the stream."""

    def __init__(self) -> None:
        self.handed_over: Counter[str] = Counter()
        self.left_to_stream: Counter[str] = Counter()

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Progress
    ) -> None:
        """Write the rows of a batch view; leave those of a streamed view alone."""
        if self._is_streamed(table, len(data)):
            return
        with self._get_client(config.online_store).pipeline(transaction=False) as pipe:
            _ask_times(pipe, config, table, data)
            fresh = _not_older(data, pipe.execute())
        super().online_write_batch(config, table, fresh, progress)
        self.handed_over[table.name] += len(fresh)

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Progress
    ) -> None:
        """Do the same as `online_write_batch`."""
        if self._is_streamed(table, len(data)):
            return
        client = await self._get_client_async(config.online_store)
        async with client.pipeline(transaction=False) as pipe:
            _ask_times(pipe, config, table, data)
            fresh = _not_older(data, await pipe.execute())
        await super().online_write_batch_async(config, table, fresh, progress)
        self.handed_over[table.name] += len(fresh)

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


def _ask_times(pipe: Any, config: RepoConfig, table: FeatureView, data: list[Row]) -> None:
    """Queue, for each row, the question for the timestamp that is stored of its key."""
    field = f"_ts:{_versioned_fv_name(table, config)}"
    version = config.entity_key_serialization_version
    for key, *_ in data:
        pipe.hget(_redis_key(config.project, key, entity_key_serialization_version=version), field)


def _not_older(data: list[Row], stored: list[bytes | None]) -> list[Row]:
    """Return the rows that are not older than what is stored, oldest first, so that the newest stays."""
    kept = [
        row for row, known in zip(data, stored, strict=True) if known is None or _ns(row[2]) >= _read(known)
    ]
    return sorted(kept, key=lambda row: _ns(row[2]))


def _ns(moment: datetime) -> int:
    stamp = Timestamp()
    stamp.FromDatetime(make_tzaware(moment))
    return int(stamp.ToNanoseconds())


def _read(stored: bytes) -> int:
    stamp = Timestamp()
    stamp.ParseFromString(stored)
    return int(stamp.ToNanoseconds())


def _arguments(settings: RedisOnlineStoreConfig) -> dict[str, Any]:
    """Return redis-py's arguments; with its defaults it waits without limit, and sends commands again."""
    assert isinstance(settings, RunOnlineStoreConfig)
    to = redis_connection(Run.load(Path(settings.home)) if settings.home else current_run())
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
