"""A raw topic that was given partitions later is verified like any other."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from inference.offline.lake.lake import FixedLake
from inference.offline.verify.verify import verify
from load.this_project import PROJECT
from tests.unit.inference.conftest import Made


def test_payments_of_partitions_that_were_added_are_under_way_until_they_are_logged(
    made: Made, tmp_path: Path
) -> None:
    lake = Path(shutil.copytree(made.lake.folder, tmp_path / "lake"))
    first = sorted((lake / "transactions").glob("partition=0/*.parquet"))[0]
    table = pq.ParquetFile(first).read().slice(0, 50)
    names = pa.array([f"new-{number}" for number in range(table.num_rows)])
    table = table.set_column(table.column_names.index("transaction_id"), "transaction_id", names)
    (lake / "transactions" / "partition=5").mkdir()
    pq.write_table(table, lake / "transactions" / "partition=5" / first.name)
    report = verify(FixedLake(lake, PROJECT), None, 1, 500)
    assert (report.mismatches, report.raw_unanswered) == (0, 0)
