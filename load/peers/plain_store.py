"""A plain Feast repository on Redis: two entities, two push sources, used through the stock SDK alone."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.types import Float64

from contracts.connections import RedisConnection
from load.peers.plain_windows import FEATURES

ENTITIES = {"customer": "customer_id", "terminal": "terminal_id"}


def open_store(folder: Path, redis: RedisConnection, project: str = "plain") -> FeatureStore:
    """Return the store, its registry kept in `folder`."""
    return FeatureStore(
        config=RepoConfig(
            project=project,
            provider="local",
            registry=str(folder / f"{project}.db"),
            online_store={"type": "redis", "connection_string": f"{redis.host}:{redis.port},db={redis.db}"},
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
        )
    )


def apply(
    store: FeatureStore,
    folder: Path,
    entities: Mapping[str, str] = ENTITIES,
    features: Sequence[str] = FEATURES,
) -> None:
    """Register one pushed view an entity; Feast wants a batch source beside each, so an empty file."""
    for name, key in entities.items():
        entity = Entity(name=name, join_keys=[key], value_type=ValueType.STRING)
        path = folder / f"{name}.parquet"
        frame([("x", 0, dict.fromkeys(features, 0.0))], key).to_parquet(path)
        source = FileSource(name=f"{name}_file", path=str(path), timestamp_field="event_timestamp")
        view = FeatureView(
            name=f"{name}_view",
            entities=[entity],
            ttl=timedelta(days=60),
            schema=[Field(name=feature, dtype=Float64) for feature in features],
            source=PushSource(name=f"{name}_push", batch_source=source),
            online=True,
        )
        store.apply([entity, view])


def references() -> list[str]:
    """Return the features that the model reads."""
    return [f"{name}_view:{feature}" for name in ENTITIES for feature in FEATURES]


def frame(rows: list[tuple[str, int, dict[str, float]]], key: str) -> pd.DataFrame:
    """Return rows (key, event ms, features) as Feast's push wants them: microsecond timestamps."""
    data = pd.DataFrame([{key: name, **features} for name, _, features in rows])
    times = pd.to_datetime([event_ms for _, event_ms, _ in rows], unit="ms", utc=True)
    data["event_timestamp"] = times.as_unit("us")
    return data
