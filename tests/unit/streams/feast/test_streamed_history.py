"""A streamed view's history is the backfill and then the log, each row once, as of its moment."""

import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from contracts.errors import StateError
from contracts.frame import length, take
from inference.offline.backfill.executors import Processes
from inference.offline.backfill.run import Options, backfill
from inference.offline.lake.lake import Lake
from load.this_project import CUSTOMER, ENTITIES, PROJECT, TERMINAL
from streams.store.feast.entities import owners
from streams.store.feast.streamed_history import history
from tests.lake_maker import make_lake
from tests.unit.inference.conftest import events

pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")  # ibis calls it
NEWEST = 20  # payments that the backfill has not seen


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A backfilled lake, to which the archive then added the last payments of every partition."""
    payments, labels = events(count=2_000)
    make_lake(tmp_path / "whole", payments, labels)
    make_lake(tmp_path / "lake", take(payments, slice(0, length(payments) - NEWEST)), labels)
    backfill(Lake(tmp_path / "lake", PROJECT), ENTITIES, Options(), Processes(1), lambda _: None)
    for dataset in ("features", "label_log"):
        shutil.rmtree(tmp_path / "lake" / dataset)
        shutil.copytree(tmp_path / "whole" / dataset, tmp_path / "lake" / dataset)
    return tmp_path / "lake"


def test_backfill_and_log_hold_each_row_once(lake: Path) -> None:
    view = CUSTOMER.views[0]
    found = history(lake, owners(PROJECT)["customer"], view).to_pyarrow()
    log = duckdb.sql(f"SELECT * FROM '{lake}/features/**/*.parquet'").arrow().read_all()
    assert found.num_rows == log.num_rows == 2_000
    for name in ("customer_id", view.columns[0], view.columns[-2]):
        assert sorted(map(str, found[name].to_pylist())) == sorted(map(str, log[name].to_pylist()))


def test_labels_move_the_terminal_at_the_moment_they_are_known(lake: Path) -> None:
    view = TERMINAL.views[1]
    found = history(lake, owners(PROJECT)["terminal"], view).to_pyarrow()
    labels = sum(pq.read_metadata(path).num_rows for path in (lake / "label_log").rglob("*.parquet"))
    assert found.num_rows == pytest.approx(2_000 + labels, abs=NEWEST)


def test_a_log_of_other_definitions_is_refused_until_it_is_backfilled(lake: Path) -> None:
    for path in (lake / "features").rglob("*.parquet"):
        table = pq.ParquetFile(path).read()
        pq.write_table(table.drop_columns(["customer_count_7d"]), path)
    view = CUSTOMER.views[0]
    assert history(lake, owners(PROJECT)["customer"], view).to_pyarrow().num_rows == 2_000 - NEWEST
    shutil.rmtree(lake / "backfill")
    with pytest.raises(StateError, match="E_LAKE_DEFINITIONS"):
        history(lake, owners(PROJECT)["customer"], view)
