"""Feast's DuckDB store over the lake, where a dataset may have no file yet.

Streamed views are read as `streamed_history` says: what a backfill computed, continued by the feature log.
DuckDB refuses a pattern that matches nothing, so a plain `feast materialize` beside a deployment that has
just begun would end in an error; here such a dataset has no rows.
"""

import glob
from datetime import datetime

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

from feature_repo.lake_source import MICROSECONDS
from feature_repo.streamed_history import read_source


class LakeOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """Settings of the store; Feast finds the class by the name in `type`."""

    type: str = "feature_repo.offline_store.LakeOfflineStore"


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
        """Return the features that were true at each row's moment."""
        return get_historical_features_ibis(
            config=config, feature_views=feature_views, feature_refs=feature_refs, entity_df=entity_df,
            registry=registry, project=project, full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
            data_source_reader=read_source, data_source_writer=_refuse,
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
        if next(glob.iglob(data_source.path, recursive=True), None) is not None:
            stock = DuckDBOfflineStore.pull_latest_from_table_or_query
            return stock(config, data_source, *asked, start_date, end_date)
        types = dict.fromkeys(join_key_columns, pa.string()) | dict.fromkeys(
            feature_name_columns, pa.float64()
        )
        times = [name for name in (timestamp_field, created_timestamp_column) if name]
        schema = pa.schema([*types.items(), *((name, MICROSECONDS) for name in times)])
        nothing = ibis.memtable(schema.empty_table())
        return pull_latest_from_table_or_query_ibis(
            config, data_source, *asked, start_date, end_date,
            data_source_reader=lambda _source, _path: nothing, data_source_writer=_refuse,
        )  # fmt: skip


def _refuse(table: pa.Table, source: DataSource, path: str) -> None:
    raise NotImplementedError("the archive writes the lake, Feast only reads it")
