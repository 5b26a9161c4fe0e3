"""Feast's point-in-time join of the batch view, against the newest snapshot known by each payment."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from feature_repo.customer_profile import newest_payment_ms, write_snapshots
from feature_repo.materialize import apply
from feature_repo.repository import open_store
from feature_repo.run_home import RunHome
from features.catalog import CUSTOMER_PROFILE
from headrace.run import Run
from inference.lake.lake import Lake
from inference.lake.profile_history import FeastProfileHistory
from tests.lake_maker import make_lake
from tests.unit.inference.conftest import events

pytestmark = pytest.mark.integration


def test_each_payment_gets_the_newest_profile_known_at_its_moment(run: Run) -> None:
    payments, labels = events(count=2000)
    make_lake(run.lake, payments, labels)
    write_snapshots(run.lake, None, newest_payment_ms(run.lake))
    home = RunHome(run.home)
    store = open_store(home)
    apply(store, home)
    rows = Lake(run.lake).read("features", ["customer_id", "event_time"])
    ids, event_ms = rows["customer_id"].to_numpy(zero_copy_only=False), rows["event_time"].to_numpy()
    found = FeastProfileHistory(store).as_of(ids, event_ms)
    np.testing.assert_array_equal(found, _slow(run, ids.tolist(), event_ms.tolist()))
    assert 0 < np.isnan(found[:, 0]).sum() < len(found) / 2


def _slow(run: Run, ids: list[str], event_ms: list[int]) -> np.ndarray:
    profiles: dict[str, list[tuple[int, list[float]]]] = {}
    for path in sorted((run.lake / CUSTOMER_PROFILE.name).glob("*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            moment = int(row["event_timestamp"].timestamp() * 1000)
            values = [row[name] for name in CUSTOMER_PROFILE.columns]
            profiles.setdefault(row["customer_id"], []).append((moment, values))
    null = [float("nan")] * len(CUSTOMER_PROFILE.columns)
    wanted = []
    for name, now_ms in zip(ids, event_ms, strict=True):
        known = [
            values
            for moment, values in profiles.get(name, [])
            if moment <= now_ms and moment >= now_ms - CUSTOMER_PROFILE.max_age_ms
        ]
        wanted.append(known[-1] if known else null)
    return np.array(wanted)
