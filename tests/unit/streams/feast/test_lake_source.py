"""A dataset that Feast could not join or materialise is refused when it is applied."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import RepoConfig

from contracts.errors import ConfigError, StateError
from load.this_project import CUSTOMER_PROFILE, PROJECT
from streams.store.feast.lake_source import LakeSource
from streams.store.feast.snapshots import newest_event_ms, write_snapshots

NOW = datetime(2018, 5, 1, tzinfo=UTC)


def source(folder: Path) -> LakeSource:
    pattern = str(folder / "**" / "*.parquet")
    return LakeSource(name="log", path=pattern, timestamp_field="at", created_timestamp_column="made")


def write(path: Path, unit: str, *columns: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    column = pa.array([NOW], pa.timestamp(unit, tz="UTC"))
    pq.write_table(pa.table(dict.fromkeys(columns, column)), path, coerce_timestamps=None)


@pytest.fixture
def config(tmp_path: Path) -> RepoConfig:
    return RepoConfig(
        project="p", provider="local", registry=str(tmp_path / "r.db"), entity_key_serialization_version=3
    )


def test_an_empty_dataset_and_a_good_one_pass(tmp_path: Path, config: RepoConfig) -> None:
    source(tmp_path).validate(config)
    write(tmp_path / "partition=0" / "1.parquet", "us", "at", "made")
    source(tmp_path).validate(config)


@pytest.mark.parametrize(
    ("unit", "columns"), [("ns", ("at", "made")), ("us", ("at",)), ("ms", ("at", "made"))]
)
def test_times_that_are_missing_or_not_microseconds_are_refused(
    tmp_path: Path, config: RepoConfig, unit: str, columns: tuple[str, ...]
) -> None:
    write(tmp_path / "partition=0" / "1.parquet", unit, *columns)
    with pytest.raises(StateError, match="E_LAKE_TIMESTAMP"):
        source(tmp_path).validate(config)


def test_profiles_of_an_empty_lake_and_of_an_empty_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="E_LAKE_EMPTY"):
        newest_event_ms(PROJECT, tmp_path)
    payments = tmp_path / "features" / "partition=0" / "0.parquet"
    payments.parent.mkdir(parents=True)
    pq.write_table(pa.table({"event_time": pa.array([], pa.int64())}), payments)
    with pytest.raises(StateError, match="E_LAKE_EMPTY"):
        write_snapshots(PROJECT, CUSTOMER_PROFILE, tmp_path, None, 0)
    with pytest.raises(ConfigError, match="E_MATERIALIZE_RANGE"):
        write_snapshots(PROJECT, CUSTOMER_PROFILE, tmp_path, NOW.date(), 0)
