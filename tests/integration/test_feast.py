"""The stock Feast SDK and command line, on a real Redis and a real lake, beside our own row codec."""

import json
import math
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from feast import FeatureStore
from numpy.typing import NDArray

from contracts.errors import ConfigError
from features.definition import DAY_MS, Entity
from features.feast_format import field_name
from features.feast_row import RowReaderCodec, RowsRead, RowWriterCodec
from features.vector import vectors_of
from headrace.commands.materialize import command
from load.this_project import CUSTOMER, CUSTOMER_PROFILE, ENTITIES, PROJECT, SERVICE, TERMINAL
from runtime.run import Run
from streams.store.feast.materialize import apply, materialize
from streams.store.feast.repository import open_store
from streams.store.feast.snapshots import snapshot_days, write_snapshots
from tests.integration.feast_place import Place, place_with_redis

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning"),  # ibis, on DuckDB 2.0
    pytest.mark.filterwarnings("ignore:On demand feature view:RuntimeWarning"),
    pytest.mark.timeout(600),
]

BEGIN_MS = 1_525_132_800_000  # 2018-05-01
END_MS = BEGIN_MS + 45 * DAY_MS
KEYS, PAYMENTS = 300, 4_000
MICROSECONDS = pa.timestamp("us", tz="UTC")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_with_redis(tmp_path_factory.mktemp("feast"), "feast") as made:
        write_feature_log(made.run.lake)
        yield made


@pytest.fixture(scope="module")
def store(place: Place) -> FeatureStore:
    """The store after `feast apply` on the command line."""
    output = place.feast("apply")
    assert all(view.name in output for entity in ENTITIES for view in entity.views)
    assert "Could not validate" not in output
    assert "tiles_not_readable" not in output
    return open_store(place.run, PROJECT)


@pytest.fixture(autouse=True)
def empty_store(place: Place) -> None:
    place.client().flushdb()


@pytest.fixture
def young(place: Place, tmp_path: Path) -> FeatureStore:
    """The store of a run whose lake has no file yet, on the same Redis."""
    (tmp_path / ".headrace").mkdir()
    run = Run.create(tmp_path, "young")
    shutil.copy(place.root / ".headrace" / "servers.json", tmp_path / ".headrace")
    store = open_store(run, PROJECT)
    apply(store, run, PROJECT)
    return store


def write_feature_log(lake: Path) -> None:
    """Write payments with all features, a tenth of them null; every fiftieth payment came twice."""
    rng = np.random.default_rng(7)
    times = np.sort(rng.integers(BEGIN_MS, END_MS, PAYMENTS))
    columns: dict[str, Any] = {
        "transaction_id": [f"t{i}" for i in range(PAYMENTS)],
        "customer_id": [f"c{i}" for i in rng.integers(0, KEYS, PAYMENTS)],
        "terminal_id": [f"terminal-{i}" for i in rng.integers(0, KEYS, PAYMENTS)],
        "amount_minor": rng.integers(0, 500_000, PAYMENTS),
        "event_time": times,
        "raw_partition": np.arange(PAYMENTS, dtype=np.int32) % 2,
        "raw_offset": np.arange(PAYMENTS),
    }
    for name in CUSTOMER.columns + TERMINAL.columns:
        values = rng.normal(size=PAYMENTS)
        columns[name] = np.where(rng.random(PAYMENTS) < 0.1, np.nan, values)
    for name in ("event_timestamp", "created_timestamp"):
        columns[name] = pa.array(times * 1000).cast(MICROSECONDS)
    table = pa.table(columns)
    again = table.take(np.arange(0, PAYMENTS, 50))
    again = again.set_column(3, "amount_minor", pa.array(np.full(len(again), 999_999_999)))
    again = again.set_column(6, "raw_offset", pa.array(np.arange(len(again)) + 10 * PAYMENTS))
    for partition in (0, 1):
        folder = lake / "features" / f"partition={partition}"
        folder.mkdir(parents=True)
        pq.write_table(table.filter(pa.array(np.arange(PAYMENTS) % 2 == partition)), folder / "0000.parquet")
    pq.write_table(again, lake / "features" / "partition=1" / "4000.parquet")


def views_of(entity: Entity) -> list[tuple[str, tuple[str, ...]]]:
    return [(view.name, view.columns) for view in entity.views]


def keys_of(entity: Entity) -> NDArray[np.bytes_]:
    return np.array([f"{entity.name}-{'x' * (i % 40)}{i}".encode() for i in range(KEYS)])


def exchange(place: Place, data: bytes, codec: Any, size: int) -> Any:
    """Send bytes to Redis and decode the replies with the codec, as the event path does."""
    client = place.client()
    settings = client.connection_pool.connection_kwargs
    with socket.create_connection((settings["host"], settings["port"]), timeout=10) as line:
        line.sendall(b"SELECT %d\r\n" % settings["db"])
        assert line.recv(5) == b"+OK\r\n"
        line.sendall(data)
        buffer = bytearray()
        decode = codec.decode if isinstance(codec, RowReaderCodec) else codec.written
        while (decoded := decode(bytes(buffer), size)) is None:
            buffer += line.recv(1 << 16)
        return decoded


def write(place: Place, entity: Entity, values: NDArray[np.float64], stamp: int = 5, epoch: int = 1) -> int:
    codec = RowWriterCodec("headrace", entity.join_key, views_of(entity))
    place.client().script_load(codec.script)
    times = BEGIN_MS + 1 + np.arange(len(values)) * 1001
    keys = keys_of(entity)[: len(values)]
    data = codec.encode(keys, values, times, np.full(len(values), stamp), epoch)
    written: int = exchange(place, data, codec, codec.calls(len(values)))
    return written


def read(place: Place, entity: Entity, views: list[tuple[str, tuple[str, ...]]], keys: Any) -> RowsRead:
    codec = RowReaderCodec("headrace", entity.join_key, views)
    rows: RowsRead = exchange(place, codec.encode(keys), codec, len(keys))
    return rows


def random_values(entity: Entity, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    values = rng.normal(0.0, 1e6, (KEYS, len(entity.columns)))
    return np.where(rng.random(values.shape) < 0.1, np.nan, values)


def same(found: float | None, expected: float) -> bool:
    return (found is None or math.isnan(found)) if math.isnan(expected) else found == expected


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_the_sdk_reads_every_field_of_the_rows_we_write(
    place: Place, store: FeatureStore, entity: Entity
) -> None:
    values = random_values(entity, seed=1)
    assert write(place, entity, values) == KEYS
    rows = [{entity.join_key: key.decode()} for key in keys_of(entity)]
    names = [f"{view.name}:{column}" for view in entity.views for column in view.columns]
    response = store.get_online_features(names, rows)
    found = response.to_dict()
    compared = 0
    for column, name in enumerate(entity.columns):
        for value, expected in zip(found[name], values[:, column], strict=True):
            assert same(value, expected), (name, value, expected)
            compared += 1
    assert compared == KEYS * len(entity.columns)
    times = response.to_dict(include_event_timestamps=True)[f"{entity.columns[0]}__ts"]
    assert times == [(BEGIN_MS + 1 + i * 1001) // 1000 for i in range(KEYS)]


def test_the_sdk_derives_what_the_scorer_derives(place: Place, store: FeatureStore) -> None:
    customer, terminal = random_values(CUSTOMER, 2), random_values(TERMINAL, 3)
    write(place, CUSTOMER, customer)
    write(place, TERMINAL, terminal)
    event = {
        "amount_minor": np.arange(KEYS) * 100,
        "event_time": BEGIN_MS + np.arange(KEYS) * 7_000_000,
    }
    rows = [
        {
            "customer_id": keys_of(CUSTOMER)[i].decode(),
            "terminal_id": keys_of(TERMINAL)[i].decode(),
            "amount_minor": int(event["amount_minor"][i]),
            "event_time": int(event["event_time"][i]),
        }
        for i in range(KEYS)
    ]
    found = store.get_online_features(store.get_feature_service(SERVICE.name), rows).to_dict()
    vectors = vectors_of(PROJECT).assemble(
        event, (customer, terminal), np.full((KEYS, len(CUSTOMER_PROFILE.columns)), np.nan)
    )
    for column, name in enumerate(SERVICE.columns):
        if name != "amount_minor":
            assert all(same(*pair) for pair in zip(found[name], vectors[:, column], strict=True)), name


@pytest.mark.parametrize("name", [SERVICE.name, "features_now"])
def test_full_feature_names_leave_out_no_feature(place: Place, store: FeatureStore, name: str) -> None:
    write(place, CUSTOMER, random_values(CUSTOMER, 2))
    write(place, TERMINAL, random_values(TERMINAL, 3))
    asked = {
        "customer_id": keys_of(CUSTOMER)[0].decode(), "terminal_id": keys_of(TERMINAL)[0].decode(),
        "amount_minor": 5, "event_time": BEGIN_MS, "now_ms": BEGIN_MS,
    }  # fmt: skip
    service = store.get_feature_service(name)
    short = store.get_online_features(service, [asked]).to_dict()
    full = store.get_online_features(service, [asked], full_feature_names=True).to_dict()
    assert len(full) == len(short)
    by_end = {key.rpartition("__")[2]: values for key, values in full.items()}
    assert by_end.keys() == short.keys()
    for key, values in short.items():
        expected = math.nan if values[0] is None else values[0]
        assert key in asked or same(by_end[key][0], expected), key


def test_a_row_is_never_replaced_by_one_of_an_earlier_position(place: Place) -> None:
    first, second = random_values(CUSTOMER, 4), random_values(CUSTOMER, 5)

    def stored() -> RowsRead:
        return read(place, CUSTOMER, views_of(CUSTOMER), keys_of(CUSTOMER))

    assert write(place, CUSTOMER, first, stamp=10, epoch=2) == KEYS
    assert write(place, CUSTOMER, second, stamp=9, epoch=2) == 0
    assert write(place, CUSTOMER, second, stamp=2**62, epoch=1) == 0
    assert stored().values.tobytes() == first.tobytes()
    assert write(place, CUSTOMER, second, stamp=10, epoch=2) == KEYS
    assert stored().values.tobytes() == second.tobytes()
    assert write(place, CUSTOMER, first, stamp=0, epoch=3) == KEYS
    rows = stored()
    assert rows.values.tobytes() == first.tobytes()
    assert set(rows.stamps.ravel().tolist()) == {0}
    assert set(rows.epochs.ravel().tolist()) == {3}


def test_of_rows_of_one_key_in_a_batch_the_newest_stays(place: Place) -> None:
    codec = RowWriterCodec("headrace", CUSTOMER.join_key, views_of(CUSTOMER))
    place.client().script_load(codec.script)
    values = np.arange(3.0)[:, None].repeat(len(CUSTOMER.columns), axis=1)
    keys = np.array([b"c1"] * 3)
    data = codec.encode(keys, values, np.full(3, BEGIN_MS), np.array([1, 3, 2]), epoch=1)
    assert exchange(place, data, codec, codec.calls(3)) == 2
    assert read(place, CUSTOMER, views_of(CUSTOMER), keys[:1]).values[0, 0] == 1.0


def test_a_view_of_more_fields_than_one_lua_call_takes_is_written(place: Place) -> None:
    views = [(f"view{v}", [f"f{i}" for i in range(150)]) for v in range(2)]
    codec = RowWriterCodec("headrace", "id", views)
    place.client().script_load(codec.script)
    values = np.arange(600.0).reshape(2, 300)
    keys = np.array([b"a", b"b"])
    data = codec.encode(keys, values, np.array([1, 2]), np.array([1, 2]), epoch=1)
    assert exchange(place, data, codec, 1) == 2
    reader = RowReaderCodec("headrace", "id", views)
    assert exchange(place, reader.encode(keys), reader, 2).values.tobytes() == values.tobytes()


def test_materialize_leaves_streamed_rows_alone_and_fills_the_profile(
    place: Place, store: FeatureStore
) -> None:
    client = place.client()
    streamed_key = RowWriterCodec("headrace", "customer_id", views_of(CUSTOMER))
    client.script_load(streamed_key.script)
    customers = np.array([f"c{i}".encode() for i in range(KEYS)])
    values = random_values(CUSTOMER, 6)
    data = streamed_key.encode(customers, values, np.full(KEYS, BEGIN_MS), np.full(KEYS, 1), epoch=1)
    exchange(place, data, streamed_key, streamed_key.calls(KEYS))
    write(place, TERMINAL, random_values(TERMINAL, 7))
    before = {key: client.hgetall(key) for key in client.scan_iter()}

    folder = place.run.lake / CUSTOMER_PROFILE.name
    write_snapshots(PROJECT, CUSTOMER_PROFILE, place.run.lake, None, END_MS - 2 * DAY_MS)
    end = moment(END_MS - 2 * DAY_MS)
    place.feast("materialize", (end - timedelta(days=8)).isoformat(), end.isoformat())

    ours = {field_name(CUSTOMER_PROFILE.name, name) for name in CUSTOMER_PROFILE.columns}
    ours.add(f"_ts:{CUSTOMER_PROFILE.name}".encode())
    after = {key: client.hgetall(key) for key in client.scan_iter()}
    assert after.keys() == before.keys()  # every customer of the lake had a streamed row
    for key, fields in before.items():
        assert {name: value for name, value in after[key].items() if name not in ours} == fields
    assert_profiles(place, store, folder, snapshot_days(folder)[-1].isoformat())

    write_snapshots(PROJECT, CUSTOMER_PROFILE, place.run.lake, None, END_MS)
    place.feast("materialize-incremental", moment(END_MS).isoformat())
    assert_profiles(place, store, folder, moment(END_MS).date().isoformat())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_materialising_a_lake_without_files_writes_nothing(place: Place, young: FeatureStore) -> None:
    young.materialize(moment(BEGIN_MS), moment(END_MS))
    assert place.client().dbsize() == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_history_before_the_first_profile_is_null(young: FeatureStore) -> None:
    asked = pd.DataFrame({"customer_id": ["c1"], "event_timestamp": [moment(BEGIN_MS)]})
    names = [
        f"{view}:{name}"
        for view, name in (
            (CUSTOMER_PROFILE.name, CUSTOMER_PROFILE.columns[0]),
            (CUSTOMER.views[0].name, CUSTOMER.columns[0]),
        )
    ]
    found = young.get_historical_features(asked, names).to_df()
    assert found[[CUSTOMER_PROFILE.columns[0], CUSTOMER.columns[0]]].isna().all(axis=None)


def test_the_entities_of_a_history_may_be_sql(place: Place, store: FeatureStore) -> None:
    files = place.run.lake / "features" / "**" / "*.parquet"
    columns = "customer_id, event_timestamp, transaction_id"
    sql = f"select {columns} from read_parquet('{files}') order by all limit 50"
    name = f"{CUSTOMER.views[0].name}:{CUSTOMER.columns[0]}"
    found = store.get_historical_features(sql, [name]).to_df()
    assert len(found) == 50
    assert found[CUSTOMER.columns[0]].notna().sum() > 40
    with pytest.raises(ConfigError, match="E_FEAST_ENTITY_SQL"):
        store.get_historical_features("select nothing from nowhere", [name])


def test_a_snapshot_computed_again_reaches_the_store(place: Place, store: FeatureStore) -> None:
    day = moment(END_MS).date()
    materialize(place.run, PROJECT, END_MS)
    folder = place.run.lake / CUSTOMER_PROFILE.name
    before = pq.read_table(folder / f"snapshot={day}.parquet").to_pydict()
    late = pq.read_table(next((place.run.lake / "features" / "partition=0").glob("*.parquet")))
    late = late.slice(0, 1).set_column(6, "raw_offset", pa.array([90_000]))
    late = late.set_column(0, "transaction_id", pa.array(["late"]))
    late = late.set_column(3, "amount_minor", pa.array([123_456_789]))
    late = late.set_column(4, "event_time", pa.array([END_MS - 5]))
    arrived = place.run.lake / "features" / "partition=0" / "90000.parquet"
    try:
        pq.write_table(late, arrived)
        again = materialize(place.run, PROJECT, END_MS, start=day)
        assert again.snapshots["customer_profile"] == {str(day): len(before["customer_id"])}
        after = pq.read_table(folder / f"snapshot={day}.parquet").to_pydict()
        assert after["profile_amount_mean"] != before["profile_amount_mean"]
        assert_profiles(place, store, folder, str(day))
    finally:
        arrived.unlink()
        materialize(place.run, PROJECT, END_MS, start=day)


def test_materialize_incremental_up_to_now_leaves_later_days_of_a_replay(
    place: Place, store: FeatureStore
) -> None:
    folder = place.run.lake / CUSTOMER_PROFILE.name
    shutil.rmtree(folder, ignore_errors=True)
    write_snapshots(PROJECT, CUSTOMER_PROFILE, place.run.lake, None, END_MS - 3 * DAY_MS)
    place.feast("materialize-incremental", datetime.now(UTC).isoformat())
    assert_profiles(place, store, folder, str(moment(END_MS - 3 * DAY_MS).date()))
    write_snapshots(PROJECT, CUSTOMER_PROFILE, place.run.lake, None, END_MS)
    place.feast("materialize-incremental", datetime.now(UTC).isoformat())
    assert_profiles(place, store, folder, str(moment(END_MS).date()))


def assert_profiles(place: Place, store: FeatureStore, folder: Path, day: str) -> None:
    """Compare what the SDK and the codec read with the snapshot of a day."""
    snapshot = pq.read_table(folder / f"snapshot={day}.parquet").to_pydict()
    customers = snapshot["customer_id"]
    assert len(customers) > KEYS * 0.9
    names = [f"{CUSTOMER_PROFILE.name}:{name}" for name in CUSTOMER_PROFILE.columns]
    found = store.get_online_features(names, [{"customer_id": c} for c in customers]).to_dict()
    views = [*views_of(CUSTOMER), (CUSTOMER_PROFILE.name, CUSTOMER_PROFILE.columns)]
    rows = read(place, CUSTOMER, views, np.array([c.encode() for c in customers]))
    for column, name in enumerate(CUSTOMER_PROFILE.columns, start=len(CUSTOMER.columns)):
        assert found[name] == snapshot[name]
        assert rows.values[:, column].tolist() == snapshot[name]
    assert rows.present[:, 1].all()
    assert rows.stamps[:, 1].tolist() == [-1] * len(customers)
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
    assert rows.event_time_ms[:, 1].tolist() == [int(midnight.timestamp()) * 1000] * len(customers)


def test_snapshots_hold_what_thirty_days_of_accepted_payments_say(place: Place) -> None:
    shutil.rmtree(place.run.lake / CUSTOMER_PROFILE.name, ignore_errors=True)
    write_snapshots(PROJECT, CUSTOMER_PROFILE, place.run.lake, None, END_MS)
    folder = place.run.lake / CUSTOMER_PROFILE.name
    payments = first_copies(place.run.lake)
    for day in snapshot_days(folder)[::11]:
        at_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
        table = pq.read_table(folder / f"snapshot={day}.parquet")
        assert table.schema.field("event_timestamp").type == MICROSECONDS
        found = {row["customer_id"]: row for row in table.to_pylist()}
        expected = slow_profiles(payments, at_ms)
        assert found.keys() == expected.keys()
        for customer, row in found.items():
            assert row["event_timestamp"] == moment(at_ms)
            assert row["created_timestamp"] == moment(END_MS)
            for name, value in zip(CUSTOMER_PROFILE.columns, expected[customer], strict=True):
                assert row[name] == pytest.approx(value, rel=1e-12, abs=1e-6), (customer, name)


def first_copies(lake: Path) -> list[dict[str, Any]]:
    rows = [row for path in lake.glob("features/*/*.parquet") for row in pq.read_table(path).to_pylist()]
    rows.sort(key=lambda row: (row["raw_partition"], row["raw_offset"]), reverse=True)
    return list({row["transaction_id"]: row for row in rows}.values())


def slow_profiles(payments: list[dict[str, Any]], at_ms: int) -> dict[str, list[float]]:
    """Compute the profiles one customer at a time, with nothing but Python."""
    mine: dict[str, list[dict[str, Any]]] = {}
    for row in payments:
        if at_ms - 30 * DAY_MS <= row["event_time"] < at_ms:
            mine.setdefault(row["customer_id"], []).append(row)
    profiles = {}
    for customer, rows in mine.items():
        amounts = [row["amount_minor"] for row in rows]
        mean = sum(amounts) / len(amounts)
        std = math.sqrt(sum((amount - mean) ** 2 for amount in amounts) / len(amounts))
        active = {row["event_time"] // DAY_MS for row in rows}
        night = sum(row["event_time"] % DAY_MS < DAY_MS // 4 for row in rows)
        terminals = {row["terminal_id"] for row in rows}
        profiles[customer] = [mean, std, len(rows) / len(active), night / len(rows), float(len(terminals))]
    return profiles


def test_a_snapshot_computed_again_has_the_same_bytes(place: Place) -> None:
    write_snapshots(PROJECT, CUSTOMER_PROFILE, place.run.lake, None, END_MS)
    folder = place.run.lake / CUSTOMER_PROFILE.name
    last = max(folder.glob("snapshot=*.parquet"))
    before = last.read_bytes()
    assert write_snapshots(PROJECT, CUSTOMER_PROFILE, place.run.lake, None, END_MS) == {}
    assert write_snapshots(
        PROJECT, CUSTOMER_PROFILE, place.run.lake, moment(END_MS - 2 * DAY_MS).date(), END_MS
    ).keys() == {str(moment(END_MS - days * DAY_MS).date()) for days in range(3)}
    assert last.read_bytes() == before
    assert not list(folder.glob(".*"))


def test_history_is_what_a_plain_as_of_join_gives(place: Place, store: FeatureStore) -> None:
    shutil.rmtree(place.run.lake / CUSTOMER_PROFILE.name, ignore_errors=True)
    for day_ms in range(BEGIN_MS + DAY_MS, END_MS + DAY_MS, DAY_MS):  # as a service does, day after day
        write_snapshots(PROJECT, CUSTOMER_PROFILE, place.run.lake, None, day_ms)
    rng = np.random.default_rng(11)
    times = pd.to_datetime(rng.integers(BEGIN_MS, END_MS, 1_000), unit="ms", utc=True)
    asked = pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in rng.integers(0, KEYS + 10, 1_000)],
            "terminal_id": [f"terminal-{i}" for i in rng.integers(0, KEYS, 1_000)],
            "event_timestamp": times.as_unit("us"),
            "row": np.arange(1_000),
        }
    )
    terminal = TERMINAL.views[0]
    names = [f"{CUSTOMER_PROFILE.name}:{name}" for name in CUSTOMER_PROFILE.columns]
    names += [f"{terminal.name}:{name}" for name in terminal.columns]
    found = store.get_historical_features(asked, names, filter_by_created_timestamp=True).to_df()
    found = found.sort_values("row").reset_index(drop=True)
    assert len(found) == len(asked)
    snapshots = pq.read_table(place.run.lake / CUSTOMER_PROFILE.name).to_pandas()
    log = pd.concat(pq.read_table(p).to_pandas() for p in place.run.lake.glob("features/*/*.parquet"))
    ages = {"customer_id": CUSTOMER_PROFILE.max_age_ms, "terminal_id": TERMINAL.longest_ms}
    for key, source, columns in (
        ("customer_id", snapshots, CUSTOMER_PROFILE.columns),
        ("terminal_id", log, terminal.columns),
    ):
        right = source[[key, "event_timestamp", *columns]].sort_values("event_timestamp")
        right["event_timestamp"] = right["event_timestamp"].astype("datetime64[us, UTC]")
        expected = pd.merge_asof(
            asked.sort_values("event_timestamp"), right, on="event_timestamp", by=key,
            tolerance=pd.Timedelta(milliseconds=ages[key]),
        ).sort_values("row").reset_index(drop=True)  # fmt: skip
        for name in columns:
            np.testing.assert_array_equal(found[name].to_numpy(float), expected[name].to_numpy(float), name)
        assert expected[columns[0]].notna().sum() > 500


def test_the_command_and_the_function_fill_the_store(place: Place) -> None:
    done = CliRunner().invoke(command, ["--json", "--end", moment(END_MS).date().isoformat()])
    assert done.exit_code == 0, done.output
    counts = json.loads(done.stdout)
    assert counts["online_rows"][CUSTOMER_PROFILE.name] > KEYS * 0.9
    assert place.client().dbsize() == counts["online_rows"][CUSTOMER_PROFILE.name]
    again = materialize(place.run, PROJECT)
    assert again.snapshots == {"customer_profile": {}}


def test_applying_from_python_and_from_the_command_line_declare_the_same(
    place: Place, store: FeatureStore
) -> None:
    def registered() -> dict[str, Any]:
        fresh = open_store(place.run, PROJECT)
        views = [*fresh.list_feature_views(), *fresh.list_on_demand_feature_views()]
        items: list[Any] = [
            *fresh.list_entities(),
            *fresh.list_data_sources(),
            *views,
            *fresh.list_feature_services(),
        ]
        return {item.name: item for item in items}

    from_command = registered()
    apply(open_store(place.run, PROJECT), place.run, PROJECT)
    assert registered() == from_command
    assert SERVICE.name in from_command
    place.feast("apply")
    assert registered() == from_command
