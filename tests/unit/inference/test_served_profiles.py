"""A training set has the batch features that were served, whatever snapshots say since."""

from pathlib import Path

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.meaning import Meaning
from features.definition import BatchView, definitions_hash
from features.service_meaning import service_meaning
from inference.offline.lake.lake import Lake
from inference.offline.lake.served_profiles import ServedProfiles
from load.this_project import CUSTOMER_PROFILE, DEFINITIONS_HASH, PROJECT, SERVICE
from runtime.meaning_note import note

AT = SERVICE.columns.index(CUSTOMER_PROFILE.columns[0])
WIDTH = len(CUSTOMER_PROFILE.columns)


class Joined:
    """Stands for the snapshots: every value is 9."""

    def as_of(
        self, view: BatchView, ids: NDArray[np.object_], event_ms: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return np.full((len(event_ms), WIDTH), 9.0)


def predictions(lake: Path, *rows: tuple[int, float | None, str]) -> None:
    """Write predictions of payments (offset, value of the first profile column, definitions)."""
    made = []
    for offset, value, hash_ in rows:
        values: list[float | None] = [None] * len(SERVICE.columns)
        values[AT] = value
        features = {"definitions_hash": hash_, "values": values, "service": "fraud_v1"}
        made.append(orjson.dumps({"source": {"partition": 1, "offset": offset}, "features": features}))
    folder = lake / "predictions" / "partition=0"
    folder.mkdir(parents=True)
    table = pa.table({"offset": pa.array(range(len(made)), pa.int64()), "value": made})
    pq.write_table(table, folder / "00000000.parquet")


def payments(*offsets: int) -> pa.Table:
    count = len(offsets)
    return pa.table(
        {
            "customer_id": ["c"] * count, "event_time": pa.array([0] * count, pa.int64()),
            "raw_partition": pa.array([1] * count, pa.int32()), "raw_offset": pa.array(offsets, pa.int64()),
        }
    )  # fmt: skip


def test_what_was_served_wins_over_what_snapshots_say_since(tmp_path: Path) -> None:
    predictions(tmp_path, (5, 2.5, DEFINITIONS_HASH), (6, None, DEFINITIONS_HASH))
    found = ServedProfiles(Lake(tmp_path, PROJECT), Joined()).of(payments(6, 5, 7))
    np.testing.assert_array_equal(found[:, 0], [np.nan, 2.5, 9.0])
    np.testing.assert_array_equal(found[:, 1], [np.nan, np.nan, 9.0])


def test_a_column_that_meant_something_else_then_is_joined_anew(tmp_path: Path) -> None:
    now = service_meaning(PROJECT)
    changed = {**now.features, CUSTOMER_PROFILE.columns[0]: "0" * 16}
    note(tmp_path, Meaning(entity="service", hash="00000000000000aa", features=changed))
    predictions(tmp_path, (5, 2.5, "00000000000000aa"))
    found = ServedProfiles(Lake(tmp_path, PROJECT), Joined()).of(payments(5))
    np.testing.assert_array_equal(found[0], [9.0] + [np.nan] * (WIDTH - 1))


def test_another_text_of_the_sql_is_another_feature() -> None:

    other = (*CUSTOMER_PROFILE.statements[:-1], CUSTOMER_PROFILE.statements[-1] + " limit 5")
    assert definitions_hash(CUSTOMER_PROFILE) != definitions_hash(
        msgspec.structs.replace(CUSTOMER_PROFILE, statements=other)
    )
    assert CUSTOMER_PROFILE.statements, "the SQL is part of the declaration"
