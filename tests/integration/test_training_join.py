"""Feast's point-in-time join of the batch view, against the newest snapshot known by each payment."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from inference.offline.lake.lake import Lake
from inference.offline.lake.profile_history import FeastProfileHistory
from load.this_project import CUSTOMER_PROFILE, PROJECT
from runtime.run import Run
from streams.store.feast.materialize import apply
from streams.store.feast.repository import open_store
from streams.store.feast.snapshots import newest_event_ms, write_snapshots
from tests.lake_maker import make_lake
from tests.unit.inference.conftest import DAY_MS, events

pytestmark = pytest.mark.integration


def test_each_payment_gets_the_newest_profile_known_at_its_moment(run: Run) -> None:
    payments, labels = events(count=2000)
    make_lake(run.lake, payments, labels)
    first, last = (
        ms // DAY_MS for ms in (int(payments["event_time"].min()), newest_event_ms(PROJECT, run.lake))
    )
    for day in (*range(first + 1, last - 3), last):  # each day its own snapshot, the last four at once
        write_snapshots(PROJECT, CUSTOMER_PROFILE, run.lake, None, day * DAY_MS)
    store = open_store(run, PROJECT)
    apply(store, run, PROJECT)
    rows = Lake(run.lake, PROJECT).read("features", ["customer_id", "event_time"])
    ids, event_ms = rows["customer_id"].to_numpy(zero_copy_only=False), rows["event_time"].to_numpy()
    found = FeastProfileHistory(store).as_of(CUSTOMER_PROFILE, ids, event_ms)
    np.testing.assert_array_equal(found, _slow(run, ids.tolist(), event_ms.tolist()))
    assert 0 < np.isnan(found[:, 0]).sum() < len(found) / 2


def _slow(run: Run, ids: list[str], event_ms: list[int]) -> np.ndarray:
    profiles: dict[str, list[tuple[int, int, list[float]]]] = {}
    for path in sorted((run.lake / CUSTOMER_PROFILE.name).glob("*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            moment, created = (
                int(row[name].timestamp() * 1000) for name in ("event_timestamp", "created_timestamp")
            )
            values = [row[name] for name in CUSTOMER_PROFILE.columns]
            profiles.setdefault(row["customer_id"], []).append((moment, created, values))
    null = [float("nan")] * len(CUSTOMER_PROFILE.columns)
    wanted = []
    for name, now_ms in zip(ids, event_ms, strict=True):
        known = [
            values
            for moment, created, values in profiles.get(name, [])
            if created <= now_ms and moment >= now_ms - CUSTOMER_PROFILE.max_age_ms
        ]
        wanted.append(known[-1] if known else null)
    return np.array(wanted)
