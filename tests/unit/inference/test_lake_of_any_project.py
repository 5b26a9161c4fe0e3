"""What works from the lake works for any project: here logins, whose keys may be missing."""

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from features.project.running import RunningProject, running_project
from inference.offline.backfill.executors import Processes
from inference.offline.backfill.run import Options, Report, backfill
from inference.offline.lake.lake import FixedLake
from inference.offline.verify.verify import verify
from tests.logins_lake import LOGINS, logins_lake

EVERY_ROW = 1_000_000


@pytest.fixture(scope="module")
def logins() -> RunningProject:
    return running_project(LOGINS)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, logins: RunningProject) -> FixedLake:
    return logins_lake(tmp_path_factory.mktemp("logins"), logins)


def recomputed(lake: FixedLake) -> Report:
    options = Options(compare=True, rows_a_task=100)
    return backfill(lake, lake.project.entities, options, Processes(1), lambda _: None)


def test_a_backfill_is_what_the_stages_made(lake: FixedLake) -> None:
    report = recomputed(lake)
    assert (report.mismatches, report.records_pending) == (0, 0)
    names = [entity.name for entity in lake.project.entities]
    assert list(report.entities) == names == ["account", "device", "ip"]
    rows = {name: part.rows for name, part in report.entities.items()}
    log = lake.read("features", ["device_id"])
    assert rows["device"] == sum(text != "" for text in log["device_id"].to_pylist()) < log.num_rows
    assert rows["account"] == log.num_rows + lake.read("resets_log", ["offset"]).num_rows
    assert rows["ip"] == log.num_rows + lake.read("label_log", ["offset"]).num_rows


def test_every_key_is_verified_from_the_raw_records(lake: FixedLake) -> None:
    for rows_min in (1, 50, EVERY_ROW):
        report = verify(lake, None, epoch=1, rows_min=rows_min)
        assert (report.mismatches, report.raw_unanswered, report.under_way) == (0, 0, 0)
        assert all(part.rows and not part.examples for part in report.entities.values())
    assert report.labels == lake.read("label_log", ["offset"]).num_rows
    assert (report.label_early, report.label_mismatched) == (0, 0)


def test_a_value_that_is_not_what_the_raw_records_say_is_found(lake: FixedLake, tmp_path: Path) -> None:
    shutil.copytree(lake.folder, tmp_path, dirs_exist_ok=True)
    path = sorted((tmp_path / "features").rglob("*.parquet"))[0]
    table = pq.ParquetFile(path).read()
    name = "failed_count_24h"
    at = table.schema.get_field_index(name)
    wrong = table[name].to_numpy().copy()
    wrong[3] += 1
    pq.write_table(table.set_column(at, name, [wrong]).replace_schema_metadata(table.schema.metadata), path)
    report = recomputed(FixedLake(tmp_path, lake.project))
    assert report.mismatches == 1
    assert list(report.entities["account"].compared.differences.differing()) == [name]  # type: ignore[union-attr]
    assert verify(FixedLake(tmp_path, lake.project), None, epoch=1, rows_min=EVERY_ROW).mismatches == 1


def test_a_raw_record_that_says_something_else_is_found(lake: FixedLake, tmp_path: Path) -> None:
    shutil.copytree(lake.folder, tmp_path, dirs_exist_ok=True)
    path = sorted((tmp_path / "logins").rglob("*.parquet"))[0]
    table = pq.ParquetFile(path).read()
    values = table["value"].to_pylist()
    changed = json.loads(values[2])
    changed["result"] = "ok" if changed["result"] == "failed" else "failed"
    values[2] = json.dumps(changed).encode()
    at = table.schema.get_field_index("value")
    made = table.set_column(at, "value", [values]).replace_schema_metadata(table.schema.metadata)
    pq.write_table(made, path)
    assert recomputed(FixedLake(tmp_path, lake.project)).facts_differing == 1


def test_history_is_kept_by_the_keys_own_fields(lake: FixedLake) -> None:
    recomputed(lake)
    files = str(lake.folder / "backfill" / "device" / "*" / "part-*.parquet")
    found = duckdb.sql(f"select * from read_parquet('{files}')").to_arrow_table()
    assert {"device_id", "event_id", "kind", "event_timestamp"} <= set(found.column_names)
    assert np.all([text != "" for text in found["device_id"].to_pylist()])
