"""Feast's DuckDB store over the lake, where a dataset may have no file yet.

Streamed views are read as `streamed_history` says: what a backfill computed, continued by the feature log.
DuckDB refuses a pattern that matches nothing; here a dataset without a file has no rows, so that history can
be asked for, and `feast materialize` run, beside a deployment that has just begun. Two more things differ
from the stock store: `entity_df` may be SQL, which DuckDB runs, and `feast materialize-incremental` up to a
moment behind the newest snapshot leaves later snapshots to be found (Feast remembers only the moment).
"""

import glob
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import ibis  # type: ignore[import-untyped]
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
from feast import FeatureView, FileSource
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.ibis import (
    get_historical_features_ibis,
    pull_latest_from_table_or_query_ibis,
)
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from feast.types import Int64

from contracts.errors import ConfigError
from features.project.running import project_at
from streams.store.feast.lake_source import MICROSECONDS
from streams.store.feast.snapshots import snapshot_days
from streams.store.feast.streamed_history import read_source
from streams.store.feast.views import ONLINE_ONLY, snapshots_of


class LakeOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """Settings of the store; Feast finds the class by the name in `type`."""

    type: str = "headrace.feast.LakeOfflineStore"


class LakeOfflineStore(DuckDBOfflineStore):
    """DuckDB over Parquet files; a streamed view is backfill, then log; no files are no rows."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Return the features that were true at each row's moment.

        Args:
            entity_df: keys and moments; a text is SQL for DuckDB (`select ... from read_parquet('...')`).

        Raises:
            ConfigError: E_FEAST_ENTITY_SQL, DuckDB cannot run the text.
        """
        asked = _rows_of(entity_df) if isinstance(entity_df, str) else entity_df
        return get_historical_features_ibis(
            config=config, feature_views=feature_views, feature_refs=feature_refs, entity_df=asked,
            registry=registry, project=project, full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
            data_source_reader=partial(_read_or_nothing, feature_views), data_source_writer=_refuse,
        )  # fmt: skip

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Return the newest row of each key in an interval of event time."""
        asked = (join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        assert isinstance(data_source, FileSource)
        if _has_files(data_source):
            stock = DuckDBOfflineStore.pull_latest_from_table_or_query
            start_date = _not_past_newest(config, data_source, start_date)
            return stock(config, data_source, *asked, start_date, end_date)
        times = [name for name in (timestamp_field, created_timestamp_column) if name]
        nothing = _no_rows(dict.fromkeys(join_key_columns, pa.string()), feature_name_columns, times)
        return pull_latest_from_table_or_query_ibis(
            config, data_source, *asked, start_date, end_date,
            data_source_reader=lambda _source, _path: nothing, data_source_writer=_refuse,
        )  # fmt: skip


def _rows_of(sql: str) -> pd.DataFrame:
    try:
        with duckdb.connect() as database:
            return database.sql(sql).df()
    except duckdb.Error as error:
        raise ConfigError(
            "E_FEAST_ENTITY_SQL", f"DuckDB cannot run the SQL of entity_df: {error}", sql[:200],
            "give a DataFrame, or SQL over read_parquet('path') with keys and event_timestamp",
        ) from error  # fmt: skip


def _has_files(source: DataSource) -> bool:
    assert isinstance(source, FileSource)
    return next(glob.iglob(source.path, recursive=True), None) is not None


def _read_or_nothing(views: list[FeatureView], source: DataSource, repo_path: str) -> Any:
    """Return the rows of a source, none where the lake has no file of it yet."""
    view = next((view for view in views if view.batch_source == source), None)
    assert isinstance(source, FileSource)
    if view is None or _has_files(source) or source.path.endswith(ONLINE_ONLY):
        return read_source(source, repo_path)
    times = [name for name in (source.timestamp_field, source.created_timestamp_column) if name]
    keys = {key.name: pa.int64() if key.dtype == Int64 else pa.string() for key in view.entity_columns}
    return _no_rows(keys, [feature.name for feature in view.features], times)


def _no_rows(keys: dict[str, pa.DataType], features: list[str], times: list[str]) -> Any:
    types = keys | dict.fromkeys(features, pa.float64())
    schema = pa.schema([*types.items(), *((name, MICROSECONDS) for name in times)])
    return ibis.memtable(schema.empty_table())


def _not_past_newest(config: RepoConfig, source: FileSource, start: datetime) -> datetime:
    """Return where to begin: before the newest snapshot, should `start` lie behind it."""
    batch_views = project_at(str(config.repo_path)).batch_views
    view = next((view for view in batch_views if source.name == snapshots_of(view)), None)
    days = snapshot_days(Path(source.path).parent) if view else []
    if view is None or not days:
        return start
    newest = datetime.combine(days[-1], time(), UTC)
    reach = timedelta(milliseconds=view.max_age_ms)
    return min(start.astimezone(UTC), newest - reach) if start.astimezone(UTC) > newest else start


def _refuse(table: pa.Table, source: DataSource, path: str) -> None:
    raise NotImplementedError("the archive writes the lake, Feast only reads it")
