"""Feast's DuckDB store over the lake, where a dataset may have no file yet.

DuckDB refuses a pattern that matches nothing, so a plain `feast materialize` beside a deployment that has
just begun would end in an error; here such a dataset has no rows.
"""

import glob
from datetime import datetime

import ibis  # type: ignore[import-untyped]
import pyarrow as pa
from feast import FileSource
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.ibis import pull_latest_from_table_or_query_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.repo_config import RepoConfig

from feature_repo.lake_source import MICROSECONDS


class LakeOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """Settings of the store; Feast finds the class by the name in `type`."""

    type: str = "feature_repo.offline_store.LakeOfflineStore"


class LakeOfflineStore(DuckDBOfflineStore):
    """DuckDB over Parquet files; only what `feast materialize` pulls differs, and only without files."""

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
