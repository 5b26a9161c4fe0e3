"""Verification finds nothing in a true lake, and finds the one value that was changed."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from contracts.frame import take
from inference.offline.lake.differences import wrong_bits
from inference.offline.lake.lake import FixedLake, Lake
from inference.offline.replay.features import recompute
from inference.offline.verify.metrics import VerifyMetrics
from inference.offline.verify.verify import verify
from load.this_project import CUSTOMER, PROJECT
from tests.lake_maker import make_lake, rewritten
from tests.unit.inference.conftest import Made, events

EVERY_ROW = 1_000_000


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    """A lake of one's own to damage."""
    return Path(shutil.copytree(made.lake.folder, tmp_path / "lake"))


def damage(lake: Path, dataset: str, column: str, value: float) -> None:
    """Set one value in the dataset's first file."""
    path = next((lake / dataset).glob("partition=*/*.parquet"))
    table = pq.ParquetFile(path).read()
    if "value" in table.column_names:
        pq.write_table(rewritten(table, len(table) // 2, **{column: int(value)}), path)
        return
    changed = np.array(table[column].to_numpy())
    changed[len(changed) // 2] = value
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, pa.array(changed, table.schema.field(at).type)), path)


def test_a_true_lake_has_no_mismatch(made: Made) -> None:
    report = verify(made.lake, None, epoch=1, rows_min=500)
    assert report.mismatches == 0
    assert 500 <= report.entities["customer"].rows < len(made.payments["event_time"])
    assert report.entities["terminal"].rows >= 500
    assert report.label_early == 0
    assert report.labels == len(made.labels["label"])


@pytest.mark.parametrize(
    ("dataset", "column", "entity"),
    [
        ("features", "customer_count_7d", "customer"),
        ("features", "terminal_frauds_7d", "terminal"),
        ("label_log", "terminal_labels_30d", "terminal"),
        ("transactions", "amount_minor", "customer"),
    ],
)
def test_one_changed_value_is_found(copied: Path, dataset: str, column: str, entity: str) -> None:
    damage(copied, dataset, column, 987654.0)
    report = verify(Lake(copied, PROJECT), None, epoch=1, rows_min=EVERY_ROW)
    found = report.entities[entity]
    assert report.mismatches > 0
    assert found.examples
    if dataset != "transactions":
        assert found.rows_wrong == 1
        assert list(found.features) == [column]
        told = found.features[column]
        assert (told["missing"], told["extra"], told["mismatch"]) == (0, 0, 1)
        assert 0 < told["symmetric_error"] < 2 * told["mismatch"]
        assert [part["mismatch"] for part in told["days"].values()] == [1]


def test_a_value_that_became_null_is_told_as_missing(copied: Path) -> None:
    damage(copied, "features", "customer_count_7d", float("nan"))
    report = verify(Lake(copied, PROJECT), None, epoch=1, rows_min=EVERY_ROW)
    told = report.entities["customer"].features["customer_count_7d"]
    assert (told["missing"], told["extra"], told["mismatch"]) == (1, 0, 0)


def test_a_payment_that_never_came_out_is_found(copied: Path) -> None:
    path = next((copied / "features").glob("partition=*/*.parquet"))
    table = pq.ParquetFile(path).read()
    pq.write_table(pa.concat_tables([table.slice(0, 5), table.slice(6)]), path)
    assert verify(Lake(copied, PROJECT), None, epoch=1, rows_min=EVERY_ROW).raw_unanswered == 1


def test_labels_known_at_once_trip_the_wire(tmp_path: Path) -> None:
    payments, labels = events(count=500)
    early = take(labels, slice(0, len(labels["label"])))
    make_lake(tmp_path, payments, early)
    for path in (tmp_path / "label_log").glob("partition=*/*.parquet"):
        table = pq.ParquetFile(path).read()
        later = pa.array(table["label_time"].to_numpy() + 86_400_000)
        pq.write_table(table.set_column(table.column_names.index("label_time"), "label_time", later), path)
    assert verify(Lake(tmp_path, PROJECT), None, epoch=1, rows_min=100).label_early > 0


def test_what_the_archive_has_not_written_yet_is_left_out_not_judged(copied: Path) -> None:
    last = sorted((copied / "transactions").glob("partition=*/*.parquet"))[-1]
    table = pq.ParquetFile(last).read()
    pq.write_table(table.slice(0, len(table) // 2), last)  # features are ahead of their raw records
    report = verify(FixedLake(copied, PROJECT), None, epoch=1, rows_min=EVERY_ROW)
    assert report.mismatches == 0
    assert report.under_way > 0
    assert report.entities["customer"].rows > 1000


def test_metrics_say_what_the_report_says(copied: Path) -> None:
    damage(copied, "features", "customer_count_7d", 987654.0)
    registry = CollectorRegistry()
    metrics = VerifyMetrics(registry)
    told = verify(Lake(copied, PROJECT), None, epoch=1, rows_min=EVERY_ROW)
    metrics.show(told, now_s=5.0)
    asked = {"where": "log", "entity": "customer", "feature": "customer_count_7d", "how": "mismatch"}
    assert registry.get_sample_value("headrace_verify_values_wrong", asked) == 1
    assert registry.get_sample_value("headrace_verify_mismatches") == 1
    assert registry.get_sample_value("headrace_verify_finished_seconds") == 5
    told.entities["customer"].features = {}
    metrics.show(told, now_s=6.0)
    assert registry.get_sample_value("headrace_verify_values_wrong", asked) == 0


def old_after_new(folder: Path) -> Lake:
    """A lake of an hourly stream, with payments a year old between: two of each of their keys, 41 days apart.

    By their own times the two are a day apart: only the partition's clock says that the first was forgotten.
    """
    number, chance = np.arange(2_000), np.random.default_rng(4)
    when = 1_700_000_000_000 + number * 3_600_000
    past = number % 4 == 3
    when[past] = 1_660_000_000_000 + (number[past] % 1000) * 60_000 + number[past] // 1000 * 86_400_000
    usual = chance.integers(0, 25, 2_000)
    payments = {
        "transaction_id": np.array([b"t%d" % n for n in range(2_000)]),
        "customer_id": np.array([b"c%d" % n for n in np.where(past, 100 + number % 1000, usual)]),
        "terminal_id": np.array([b"m%d" % n for n in np.where(past, 100 + number % 1000, usual * 7 % 40)]),
        "event_time": when, "amount_minor": 100 + usual,
    }  # fmt: skip
    names = ("transaction_id", "customer_id", "terminal_id", "event_time")
    labels = {name: payments[name] for name in names}
    labels["label"] = (usual % 5 == 0).astype(np.uint8)
    labels["label_time"] = when + 4 * 86_400_000
    make_lake(folder, payments, take(labels, (chance.random(2_000) < 0.1) & ~past))
    return Lake(folder, PROJECT)


def test_a_sample_sees_the_clock_that_all_rows_move(tmp_path: Path) -> None:
    """Rows of some keys alone do not move a partition's clock, by which their keys are forgotten."""
    lake = old_after_new(tmp_path / "lake")
    for rows_min in (1, 20, 200, EVERY_ROW):
        report = verify(lake, None, epoch=1, rows_min=rows_min)
        assert (
            report.mismatches,
            report.entities["customer"].examples,
            report.entities["terminal"].examples,
        ) == (0, [], [])
        assert report.entities["customer"].rows > 0


def test_a_replay_of_some_payments_sees_it_too(tmp_path: Path) -> None:
    lake = old_after_new(tmp_path / "lake")
    log = lake.read("features", [*CUSTOMER.columns, "raw_partition", "raw_offset", "event_time"])
    asked = [number for number in range(1_000, log.num_rows) if number % 97 == 0]
    rows = log.take(pa.array(asked)).to_pylist()
    predictions = [
        {
            "source": {"partition": row["raw_partition"], "offset": row["raw_offset"]},
            "event_time": row["event_time"], "features": {"groups": {}},
        }
        for row in rows
    ]  # fmt: skip
    for at, one in enumerate(predictions):
        found = recompute(lake, [one])
        assert found.missing == [""]
        logged = np.array([rows[at][name] for name in CUSTOMER.columns], np.float64)
        assert not wrong_bits(found.rows["customer_values"], logged[None, :]).any()
