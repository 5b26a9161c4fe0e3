"""The training set against a join spelled out, and no label from the future in it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ModelError
from inference.offline.lake.lake import Lake
from inference.offline.lake.predictions import KnownLabels
from inference.offline.lake.profile_history import NoProfileHistory
from inference.offline.training import training_set
from inference.offline.training.time_split import split
from inference.offline.verify.verify import verify
from load.this_project import CUSTOMER, PROJECT, SERVICE
from tests.lake_maker import make_lake
from tests.unit.inference.conftest import BEGIN_MS, DAY_MS, DELAY_MS, Made, events


def test_each_row_is_what_was_served_and_the_latest_label_known(made: Made) -> None:
    until = BEGIN_MS + 25 * DAY_MS
    found = training_set.build(made.lake, NoProfileHistory(), until)
    columns = [made.labels[name].tolist() for name in ("transaction_id", "label", "label_time")]
    known = {name: label for name, label, ms in zip(*columns, strict=True) if ms <= until}
    log = made.lake.read("features").to_pylist()
    served = {row["transaction_id"].encode(): row for row in log if row["transaction_id"].encode() in known}
    wanted = sorted(served.values(), key=lambda row: (row["event_time"], row["transaction_id"]))
    assert found.positive.tolist() == [known[row["transaction_id"].encode()] for row in wanted]
    assert found.event_ms.tolist() == [row["event_time"] for row in wanted]
    for name in (*CUSTOMER.columns[:3], "terminal_frauds_7d", "amount_minor"):
        column = found.vectors[:, SERVICE.columns.index(name)]
        np.testing.assert_array_equal(column, np.array([row[name] for row in wanted], np.float64))


def test_no_label_known_later_than_the_moment_gets_in(made: Made) -> None:
    until = BEGIN_MS + 25 * DAY_MS
    found = training_set.build(made.lake, NoProfileHistory(), until)
    assert found.label_ms.max() <= until
    assert found.event_ms.max() <= until - DELAY_MS


def test_a_planted_correction_counts_only_once_it_is_known(tmp_path: Path) -> None:
    payments, labels = events(count=300)
    first = {name: column[:1].copy() for name, column in labels.items()}
    moment = int(first["label_time"][0]) + 3 * DAY_MS
    first["label"] = 1 - first["label"]
    first["label_time"] = np.array([moment])
    order = np.argsort(np.append(labels["label_time"], moment), kind="stable")
    both = {name: np.concatenate([labels[name], first[name]])[order] for name in labels}
    make_lake(tmp_path, payments, both)
    before = training_set.build(Lake(tmp_path, PROJECT), NoProfileHistory(), moment - 1)
    after = training_set.build(Lake(tmp_path, PROJECT), NoProfileHistory(), moment)
    changed = int(first["event_time"][0])
    assert (
        before.positive[before.event_ms == changed].tolist()
        != after.positive[after.event_ms == changed].tolist()
    )
    assert after.label_ms[after.event_ms == changed].tolist() == [moment]


def test_a_label_that_names_another_customer_or_terminal_trains_nothing(tmp_path: Path) -> None:
    """A payment's label names its transaction, its customer and its terminal; others meet no payment."""
    payments, labels = events(count=300)
    wrong = {name: column[:2].copy() for name, column in labels.items()}
    wrong["label"] = 1 - wrong["label"]
    wrong["label_time"] += 1
    wrong["customer_id"][0], wrong["terminal_id"][1] = b"cx", b"mx"
    order = np.argsort(np.concatenate([labels["label_time"], wrong["label_time"]]), kind="stable")
    both = {name: np.concatenate([labels[name], wrong[name]])[order] for name in labels}
    make_lake(tmp_path / "right", payments, labels)
    make_lake(tmp_path / "wrong", payments, both)
    moment = int(labels["label_time"].max())
    right, found = (
        training_set.build(Lake(tmp_path / name, PROJECT), NoProfileHistory(), moment)
        for name in ("right", "wrong")
    )
    assert found.event_ms.tolist() == right.event_ms.tolist()
    assert found.positive.tolist() == right.positive.tolist()
    report = verify(Lake(tmp_path / "wrong", PROJECT), None, epoch=1, rows_min=1_000_000)
    assert (report.label_mismatched, report.mismatches) == (2, 0)
    keys = {"customer": "cx", "terminal": labels["terminal_id"][0].decode()}
    one = {"event_id": labels["transaction_id"][0].decode(), "keys": keys}
    assert KnownLabels(Lake(tmp_path / "wrong", PROJECT)).of(one) == wrong["label"][0]
    assert KnownLabels(Lake(tmp_path / "right", PROJECT)).of(one) is None


def test_equal_data_has_an_equal_hash_and_other_data_another(made: Made) -> None:
    until = BEGIN_MS + 25 * DAY_MS
    one, two = (training_set.build(made.lake, NoProfileHistory(), until) for _ in range(2))
    other = training_set.build(made.lake, NoProfileHistory(), until - DAY_MS)
    assert one.data_hash == two.data_hash != other.data_hash


def test_nothing_to_train_on_is_an_error_with_a_code(made: Made) -> None:
    with pytest.raises(ModelError, match="E_TRAIN_LABELS"):
        training_set.build(made.lake, NoProfileHistory(), BEGIN_MS)


def test_validation_never_judges_what_the_trained_rows_knew(made: Made) -> None:
    data = training_set.build(made.lake, NoProfileHistory(), training_set.newest_ms(made.lake))
    parts = split(data.event_ms, data.label_ms, data.positive, 0.3, 0.0)
    assert parts.embargo
    assert data.label_ms[parts.train].max() <= parts.begin_ms < data.event_ms[parts.validation].min()
    assert not (parts.train & parts.validation).any()


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32), st.floats(0.05, 0.4), st.floats(0, 0.4), st.integers(-60, 60), st.integers(0, 90)
)
def test_no_row_trains_and_judges_whatever_the_labels_times_are(
    seed: int, validation: float, holdout: float, shift_days: int, spread_days: int
) -> None:
    chance = np.random.default_rng(seed)
    event_ms = np.sort(chance.integers(0, 60 * DAY_MS, 400))
    label_ms = (
        event_ms + (shift_days * DAY_MS) + chance.integers(-spread_days - 1, spread_days + 1, 400) * DAY_MS
    )
    parts = split(event_ms, label_ms, np.ones(400, np.int64), validation, holdout)
    assert not (parts.train & parts.validation).any()
    assert not (parts.known & parts.judged).any()
    assert not (parts.validation & parts.holdout).any()
    assert not (parts.train & ~parts.known).any()
    assert event_ms[parts.train].max() <= parts.begin_ms
    if parts.has_holdout:
        assert event_ms[parts.known].max() <= parts.holdout_begin_ms < event_ms[parts.holdout].min()


def test_a_history_shorter_than_the_delay_says_that_it_has_no_embargo() -> None:
    event_ms = np.arange(400) * (DAY_MS // 40)
    parts = split(event_ms, event_ms + 30 * DAY_MS, np.ones(400, np.int64), 0.3, 0.0)
    assert not parts.embargo
    assert event_ms[parts.train].max() < event_ms[parts.validation].min()


def test_rows_that_an_archive_wrote_twice_count_once(tmp_path: Path) -> None:
    payments, labels = events(count=300)
    make_lake(tmp_path, payments, labels)
    folder = tmp_path / "features" / "partition=0"
    whole = pq.ParquetFile(folder / f"{0:020d}.parquet").read()
    later = whole.slice(whole.num_rows // 2)
    pq.write_table(later, folder / f"{later['offset'][0].as_py():020d}.parquet")
    names = Lake(tmp_path, PROJECT).read("features", ["transaction_id"])["transaction_id"]
    assert len(names) == 300 == len(pa.chunked_array(names.chunks).unique())
