"""Feast works for any project: the logins' example by its own command, keys that are numbers, no model."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from feast import FeatureStore

from contracts.keys import key_of
from features.feast_key import key_format
from features.feast_row import RowWriterCodec
from features.feast_tiles import Tiles, TilesView
from features.project.running import RunningProject, running_project
from inference.offline.backfill.executors import Processes
from inference.offline.backfill.run import Options, backfill
from runtime.environment import redis_connection
from runtime.redis_socket import RedisSocket
from streams.store.feast.materialize import apply, materialize
from streams.store.feast.repository import open_store
from tests.integration.feast_place import Place, place_with_redis
from tests.logins_lake import LOGINS, logins_lake

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:On demand feature view:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: sales
version: "1.0.0"
customProperties:
  - {property: eventTime, value: at}
schema:
  - name: Sale
    physicalName: sales
    properties:
      - {name: sale_id, logicalType: string, required: true, primaryKey: true}
      - {name: at, logicalType: timestamp, required: true}
      - {name: till, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0, maximum: 1000}}
      - {name: shop_id, logicalType: string, required: true}
"""
FEATURES = """\
from headrace import *

sales = Source("contracts/sales.yaml")
shop, till = Entity("shop_id"), Entity("till")
by_shop = view(shop, sales, [count("1h")])
by_till = view(till, sales, [count("1h 24h")])
project = Project("sales", scored=sales, chain=[shop, till], views=[by_shop, by_till])
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_with_redis(tmp_path_factory.mktemp("feast"), "logins") as made:
        yield made


@pytest.fixture
def sales(tmp_path: Path) -> RunningProject:
    folder = tmp_path / "sales"
    (folder / "contracts").mkdir(parents=True)
    (folder / "contracts" / "sales.yaml").write_text(CONTRACT)
    (folder / "features.py").write_text(FEATURES)
    return running_project(folder)


def written(place: Place, project: RunningProject, name: str, keys: list[bytes], store: FeatureStore) -> None:
    """Write a row of each key, as the entity's stage does: 0, 1, 2, ... and ten a key more."""
    entity = next(one for one in project.entities if one.name == name)
    views = [(view.name, view.columns) for view in entity.views]
    codec = RowWriterCodec(store.project, key_format(project.pipeline, entity), views, TilesView.of(entity))
    columns = np.arange(len(entity.columns), dtype=np.float64)
    values = columns + 10 * np.arange(len(keys))[:, None]
    empty = Tiles(np.array([b""] * len(keys), object), np.full(len(keys), 1 << 40))
    at_ms = np.full(len(keys), int(pd.Timestamp.now(tz="UTC").timestamp() * 1000))
    data = codec.encode(np.array(keys), values, at_ms, np.arange(len(keys)), 1, empty)
    socket = RedisSocket(redis_connection(place.run), 2.0, 5.0)
    socket.exchange(codec.load(), 1)
    socket.exchange(data, codec.calls(len(keys)))
    socket.close()


def test_the_command_applies_the_example_and_reads_what_its_stages_wrote(place: Place) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("feast")), "apply"], cwd=LOGINS, env=place.environment(),
        text=True, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    project = running_project(LOGINS)
    store = open_store(place.run, project)
    assert store.project == "logins"
    declared = {view.name for view in project.compiled.views}
    assert {view.name for view in store.list_feature_views()} == declared | {
        f"{name}_tiles" for name in project.pipeline.chain.names
    }
    written(place, project, "account", [b"a000001", b"a000002"], store)
    asked = [{"account_id": "a000001"}, {"account_id": "a000002"}, {"account_id": "nobody"}]
    found = store.get_online_features(["failed:failed_count_24h"], asked).to_dict()
    at = project.entities[0].columns.index("failed_count_24h")
    assert found["failed_count_24h"] == [at, at + 10, None]


def test_a_service_computes_what_the_model_derives(place: Place) -> None:
    project = running_project(LOGINS)
    store = open_store(place.run, project)
    apply(store, place.run, project)
    written(place, project, "account", [b"a000003"], store)
    asked = {"account_id": "a000003", "device_id": "none", "ip": "none", "channel": "web", "at": 3_600_000}
    found = store.get_online_features(store.get_feature_service("takeover"), [asked]).to_dict()
    columns = project.entities[0].columns
    failed, logins = (columns.index(n) for n in ("failed_count_24h", "account_logins_count_24h"))
    assert found["failed_share_24h"] == [failed / logins]
    assert found["hour_of_day"] == [1.0]
    moment = asked | {"now_ms": 3_600_000}
    now = store.get_online_features(store.get_feature_service("features_now"), [moment]).to_dict()
    assert now["device_logins_count_1h"] == [0.0]


def test_keys_that_are_numbers_are_found_by_the_sdk(place: Place, sales: RunningProject) -> None:
    store = open_store(place.run, sales)  # a project without a file of Feast's: ours is taken
    apply(store, place.run, sales)
    written(place, sales, "till", key_of({"till": np.array([7, 12])}, ("till",)).tolist(), store)
    (first, *_) = sales.entities[1].columns
    asked = [{"till": 12}, {"till": 7}, {"till": 70}]
    view = sales.entities[1].views[0].name
    found = store.get_online_features([f"{view}:{first}"], asked).to_dict()
    assert found[first] == [10.0, 0.0, None]
    assert [service.name for service in store.list_feature_services()] == ["features_now"]  # no model
    assert materialize_is_nothing(place, sales)


def materialize_is_nothing(place: Place, project: RunningProject) -> bool:
    """A project without batch views has nothing to materialise, whatever the lake holds."""
    done = materialize(place.run, project, end_ms=0)
    return (done.snapshots, done.online_rows) == ({}, {})


def test_history_is_what_the_log_holds_at_each_moment(place: Place) -> None:
    project = running_project(LOGINS)
    lake = logins_lake(place.run.lake, project)
    backfill(lake, project.entities, Options(), Processes(1), lambda _: None)
    store = open_store(place.run, project)
    apply(store, place.run, project)
    name = "failed_count_24h"
    log = lake.read("features", ["account_id", "event_timestamp", "at", name])
    newest = log.to_pandas().sort_values("at").groupby("account_id").tail(1)
    asked = newest[["account_id"]].assign(
        event_timestamp=(newest["event_timestamp"] + pd.Timedelta(milliseconds=1)).dt.as_unit("us")
    )
    found = store.get_historical_features(entity_df=asked, features=[f"failed:{name}"]).to_df()
    assert len(found) == len(newest) > 10
    both = found.merge(newest[["account_id", name]], on="account_id", suffixes=("", "_logged"))
    assert (both[name] == both[f"{name}_logged"]).all()
