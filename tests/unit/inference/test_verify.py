"""Verification finds nothing in a true lake, and finds the one value that was changed."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from contracts.frame import take
from inference.lake.lake import FixedLake, Lake
from inference.verify.metrics import VerifyMetrics
from inference.verify.verify import verify
from tests.lake_maker import make_lake
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
    changed = np.array(table[column].to_numpy())
    changed[len(changed) // 2] = value
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, pa.array(changed, table.schema.field(at).type)), path)


def test_a_true_lake_has_no_mismatch(made: Made) -> None:
    report = verify(made.lake, None, epoch=1, rows_min=500)
    assert report.mismatches == 0
    assert 500 <= report.customer.rows < len(made.payments["event_time"])
    assert report.terminal.rows >= 500
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
    report = verify(Lake(copied), None, epoch=1, rows_min=EVERY_ROW)
    found = getattr(report, entity)
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
    report = verify(Lake(copied), None, epoch=1, rows_min=EVERY_ROW)
    told = report.customer.features["customer_count_7d"]
    assert (told["missing"], told["extra"], told["mismatch"]) == (1, 0, 0)


def test_a_payment_that_never_came_out_is_found(copied: Path) -> None:
    path = next((copied / "features").glob("partition=*/*.parquet"))
    table = pq.ParquetFile(path).read()
    pq.write_table(pa.concat_tables([table.slice(0, 5), table.slice(6)]), path)
    assert verify(Lake(copied), None, epoch=1, rows_min=EVERY_ROW).raw_unanswered == 1


def test_labels_known_at_once_trip_the_wire(tmp_path: Path) -> None:
    payments, labels = events(count=500)
    early = take(labels, slice(0, len(labels["label"])))
    make_lake(tmp_path, payments, early)
    for path in (tmp_path / "label_log").glob("partition=*/*.parquet"):
        table = pq.ParquetFile(path).read()
        later = pa.array(table["label_time"].to_numpy() + 86_400_000)
        pq.write_table(table.set_column(table.column_names.index("label_time"), "label_time", later), path)
    assert verify(Lake(tmp_path), None, epoch=1, rows_min=100).label_early > 0


def test_what_the_archive_has_not_written_yet_is_left_out_not_judged(copied: Path) -> None:
    last = sorted((copied / "transactions").glob("partition=*/*.parquet"))[-1]
    table = pq.ParquetFile(last).read()
    pq.write_table(table.slice(0, len(table) // 2), last)  # features are ahead of their raw records
    report = verify(FixedLake(copied), None, epoch=1, rows_min=EVERY_ROW)
    assert report.mismatches == 0
    assert report.under_way > 0
    assert report.customer.rows > 1000


def test_metrics_say_what_the_report_says(copied: Path) -> None:
    damage(copied, "features", "customer_count_7d", 987654.0)
    registry = CollectorRegistry()
    metrics = VerifyMetrics(registry)
    told = verify(Lake(copied), None, epoch=1, rows_min=EVERY_ROW)
    metrics.show(told, now_s=5.0)
    asked = {"where": "log", "entity": "customer", "feature": "customer_count_7d", "how": "mismatch"}
    assert registry.get_sample_value("headrace_verify_values_wrong", asked) == 1
    assert registry.get_sample_value("headrace_verify_mismatches") == 1
    assert registry.get_sample_value("headrace_verify_finished_seconds") == 5
    told.customer.features = {}
    metrics.show(told, now_s=6.0)
    assert registry.get_sample_value("headrace_verify_values_wrong", asked) == 0
