"""A backfill says what the stream said, whatever runs it; one bit planted in the log is found."""

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.frame import Kind, take
from features.state import EntityState
from inference.offline.backfill.executors import Executor, Processes, executor
from inference.offline.backfill.offline import read_about
from inference.offline.backfill.run import Options, Report, backfill
from inference.offline.fold.fold import in_log_order
from inference.offline.lake.lake import Lake
from load.this_project import CUSTOMER, ENTITIES, PROJECT, TERMINAL
from tests.lake_maker import rewritten
from tests.unit.inference.conftest import Made, events

COMPARED = Options(compare=True, rows_a_task=700, memory_mb=128)


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Lake:
    """A lake of one's own to write to and to damage."""
    return Lake(Path(shutil.copytree(made.lake.folder, tmp_path / "lake")), PROJECT)


def run(lake: Lake, options: Options = COMPARED, on: Executor | None = None) -> Report:
    return backfill(lake, ENTITIES, options, on or Processes(1), lambda _: None)


def flip_a_bit(lake: Path, dataset: str, column: str) -> None:
    """Change the lowest bit of one value in the middle of the dataset."""
    path = sorted((lake / dataset).glob("partition=*/*.parquet"))[-1]
    table = pq.ParquetFile(path).read()
    values = np.array(table[column].to_numpy())
    values.view(np.uint64)[len(values) // 2] ^= 1
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, pa.array(values)), path)


def test_a_backfill_equals_the_log_and_writes_every_row(copied: Lake, made: Made) -> None:
    report = run(copied)
    assert report.mismatches == 0
    payments, labels = len(made.payments["event_time"]), len(made.labels["label"])
    compared = report.entities["terminal"].compared
    assert compared is not None
    assert compared.differences.rows == payments + labels
    assert report.entities["customer"].rows == payments
    assert report.entities["customer"].partitions == 4
    for entity, rows in ((CUSTOMER, payments), (TERMINAL, payments + labels)):
        about = read_about(copied.folder, entity)
        assert about is not None
        assert about.rows == rows
        files = str(copied.folder / "backfill" / entity.name / about.meaning.hash / "*.parquet")
        found = duckdb.sql(
            f"SELECT count(*), count(DISTINCT (kind, raw_partition, raw_offset)) FROM '{files}'"
        )
        assert found.fetchall() == [(rows, rows)]


@pytest.mark.parametrize(
    ("dataset", "column", "entity"),
    [
        ("features", "customer_amount_mean_7d", "customer"),
        ("features", "terminal_count_30d", "terminal"),
        ("label_log", "terminal_labels_30d", "terminal"),
    ],
)
def test_a_planted_bit_is_found_and_nothing_is_published(
    copied: Lake, dataset: str, column: str, entity: str
) -> None:
    flip_a_bit(copied.folder, dataset, column)
    report = run(copied)
    assert report.mismatches == 1
    compared = report.entities[entity].compared
    assert compared is not None
    assert compared.differences.features[column].wrong == 1
    assert [example["feature"] for example in compared.examples] == [column]
    assert report.entities[entity].folder == ""
    assert not list((copied.folder / "backfill").rglob(f"{entity}/*/*.parquet"))


def test_a_changed_fact_is_found_in_the_raw_record(copied: Lake) -> None:
    path = sorted((copied.folder / "transactions").glob("partition=*/*.parquet"))[0]
    table = pq.ParquetFile(path).read()
    pq.write_table(rewritten(table, 3, amount_minor=table["amount_minor"][3].as_py() + 1), path)
    assert run(copied).facts_differing == 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("dask", ["", "local"])
def test_processes_and_dask_give_the_same_files(copied: Lake, dask: str) -> None:
    run(copied)
    alone = _rows(copied)
    options = Options(rows_a_task=4_000)
    assert run(copied, options, executor(2, dask)).mismatches == 0
    assert _rows(copied) == alone


def test_payments_beyond_one_that_is_under_way_are_left_for_the_next_time(copied: Lake) -> None:
    path = sorted((copied.folder / "features").glob("partition=*/*.parquet"))[0]
    table = pq.ParquetFile(path).read()
    missing = len(table) // 2
    gone = table.slice(missing, 1).to_pylist()[0]
    pq.write_table(pa.concat_tables([table.slice(0, missing), table.slice(missing + 1)]), path)
    report = run(copied)
    assert report.records_pending == 1
    left = report.entities["customer"].under_way
    assert left > 0
    files = str(copied.folder / "backfill" / "customer" / "*" / "*.parquet")
    query = f"SELECT max(raw_offset) FROM '{files}' WHERE raw_partition = {gone['raw_partition']}"
    (newest,) = duckdb.sql(query).fetchall()[0]
    assert newest == gone["raw_offset"] - 1
    compared = report.entities["customer"].compared
    assert compared is not None
    assert compared.differences.rows_wrong == 0


def test_runs_of_a_kind_give_what_one_row_at_a_time_gives() -> None:
    payments, labels = events(count=300)
    labels = take(labels, slice(0, 150))
    columns = {
        "terminal_id": 0, "customer_id": 0, "transaction_id": 0, "event_time": 0, "amount_minor": 1,
        "positive": 2, "label_time": 2,
    }  # fmt: skip
    order = np.random.default_rng(5).permutation(450)
    rows = {}
    for name in columns:
        first = payments.get(name, np.zeros(300, np.int64))
        second = labels.get(name, np.zeros(150, np.int64))
        rows[name] = np.concatenate([first, second])[order]
    rows["kind"] = np.concatenate([np.full(300, int(Kind.SCORED)), np.full(150, int(Kind.LABEL))])[order]
    rows["pos"] = np.arange(450)
    together = in_log_order(EntityState(TERMINAL), rows)
    state = EntityState(TERMINAL)
    for row in range(450):
        one = state.apply(take(rows, slice(row, row + 1)), int(rows["kind"][row]))
        assert one.values.tobytes() == together.values[row : row + 1].tobytes()
        assert one.as_of_ms[0] == together.as_of_ms[row]


def _rows(lake: Lake) -> list[tuple[object, ...]]:
    found = []
    for entity in ENTITIES:
        files = str(lake.folder / "backfill" / entity.name / "*" / "*.parquet")
        query = f"SELECT * FROM '{files}' ORDER BY kind, raw_partition, raw_offset"
        found += [repr(row) for row in duckdb.sql(query).fetchall()]
    return found
