"""Values as of a moment, from tiles in Redis through the stock SDK: equal to the definition, bit for bit."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import redis as redis_py
from feast import FeatureStore

from contracts.connections import RedisConnection
from contracts.errors import StateError
from features.definition import DAY_MS, HOUR_MS, Entity
from features.feast_format import entity_key, field_name
from features.feast_tiles import TilesView
from features.state import EntityState
from load.this_project import CUSTOMER, ENTITIES, PROJECT, TERMINAL
from streams.store.feast.repository import open_store
from tests.integration.feast_place import Place, place_with_redis
from tests.integration.request_time_store import BEGIN_MS, History, history, same_bits, write

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:On demand feature view:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning"),
    pytest.mark.timeout(600),
]

KEYS, ROWS = 120, 3_000
END_MS = BEGIN_MS + 45 * DAY_MS
MOMENTS = {
    "before the last event": END_MS - 2 * DAY_MS,
    "at the end": END_MS,
    "an hour and a hop later": END_MS + HOUR_MS + 5 * 60_000,
    "past the day": END_MS + 26 * HOUR_MS,
    "past the week": END_MS + 8 * DAY_MS + 1,
    "past all windows": END_MS + 40 * DAY_MS,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_with_redis(tmp_path_factory.mktemp("request-time"), "later") as made:
        yield made


@pytest.fixture(scope="module")
def histories() -> dict[str, History]:
    return {CUSTOMER.name: history(CUSTOMER, KEYS, ROWS, 1), TERMINAL.name: history(TERMINAL, KEYS, ROWS, 2)}


@pytest.fixture(scope="module")
def states(place: Place, histories: dict[str, History]) -> dict[str, EntityState]:
    made = {name: one.state() for name, one in histories.items()}
    for state in made.values():
        write(RedisConnection.from_url(place.url), state)
    return made


@pytest.fixture(scope="module")
def store(place: Place, states: dict[str, EntityState]) -> FeatureStore:
    output = place.feast("apply")
    assert all(TilesView.of(entity).name in output for entity in ENTITIES)
    opened = open_store(place.run, PROJECT)
    assert {"customer_now", "terminal_now"} <= {view.name for view in opened.list_on_demand_feature_views()}
    return opened


def asked(entity: Entity) -> list[bytes]:
    return [f"{entity.name[0]}{i}".encode() for i in range(KEYS)] + [b"nobody"]


def read(store: FeatureStore, entity: Entity, keys: list[bytes], now_ms: list[int]) -> dict[str, Any]:
    rows = [{entity.join_key: k.decode(), "now_ms": ms} for k, ms in zip(keys, now_ms, strict=True)]
    names = [f"{entity.name}_now:{column}" for column in entity.columns]
    found: dict[str, Any] = store.get_online_features(names, rows).to_dict()
    return found


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
@pytest.mark.parametrize("when", MOMENTS)
def test_the_sdk_gives_what_an_offline_recomputation_says_at_that_moment(
    store: FeatureStore,
    histories: dict[str, History],
    states: dict[str, EntityState],
    entity: Entity,
    when: str,
) -> None:
    keys, now_ms = asked(entity), MOMENTS[when]
    found = read(store, entity, keys, [now_ms] * len(keys))
    oracles = histories[entity.name].oracles(np.array(keys))
    ours = states[entity.name].at(np.array(keys), np.full(len(keys), now_ms))
    for i, key in enumerate(keys):
        row = [found[column][i] for column in entity.columns]
        expected = oracles[key].at(now_ms)
        assert same_bits(row, expected), (
            key,
            dict(zip(entity.columns, zip(row, expected, strict=True), strict=True)),
        )
        if (
            when != "before the last event"
        ):  # an idle key that the stage has forgotten may be asked of the past
            assert same_bits(row, ours[i].tolist()), key


def test_each_row_of_a_request_has_a_moment_of_its_own(
    store: FeatureStore, histories: dict[str, History]
) -> None:
    keys = [b"c1"] * 40 + [b"c2"] * 40
    now_ms = [END_MS + i * 7 * HOUR_MS for i in range(80)]
    found = read(store, CUSTOMER, keys, now_ms)
    oracles = histories["customer"].oracles(np.array([b"c1", b"c2"]))
    for i, key in enumerate(keys):
        assert same_bits([found[c][i] for c in CUSTOMER.columns], oracles[key].at(now_ms[i])), i
    assert len({tuple(found["customer_count_7d"])}) == 1
    assert len(set(found["customer_count_7d"][:40])) > 3  # windows do shrink while nobody spends


def test_a_value_changes_at_valid_until_and_not_before(
    store: FeatureStore, place: Place, states: dict[str, EntityState]
) -> None:
    """The moment is stored beside the tiles, where the SDK reads it too."""
    view = TilesView.of(TERMINAL)
    keys = [key for key in asked(TERMINAL) if key != b"nobody"]
    rows = [{"terminal_id": key.decode()} for key in keys]
    until = store.get_online_features([f"{view.name}:{view.valid_until_ms}"], rows).to_dict()
    moments = until[view.valid_until_ms]
    known = [i for i, ms in enumerate(moments) if ms is not None]
    assert len(known) > KEYS * 0.6  # the stage has forgotten the others
    chosen = [keys[i] for i in known]
    before = read(store, TERMINAL, chosen, [moments[i] - 1 for i in known])
    then = read(store, TERMINAL, chosen, [moments[i] for i in known])
    now = states["terminal"].latest()
    as_of = dict(zip(now.keys, now.as_of_ms.tolist(), strict=True))
    at_event = read(store, TERMINAL, chosen, [as_of[key] for key in chosen])
    for i in range(len(known)):
        first, second, third = ([v[c][i] for c in TERMINAL.columns] for v in (at_event, before, then))
        assert same_bits(first, second)
        assert not same_bits(second, third)


def test_an_unknown_key_has_empty_windows(store: FeatureStore) -> None:
    found = read(store, CUSTOMER, [b"nobody"], [END_MS])
    assert found["customer_count_30d"] == [0.0]
    assert np.isnan(found["customer_last_amount"][0] or np.nan)


def test_last_and_time_since_last_are_null_past_the_longest_window(store: FeatureStore) -> None:
    keys = [b"c1", b"c2"]
    soon = read(store, CUSTOMER, keys, [END_MS + DAY_MS] * 2)
    late = read(store, CUSTOMER, keys, [END_MS + 31 * DAY_MS + 1] * 2)
    assert all(value is not None and value > 0 for value in soon["customer_ms_since_last"])
    for name in ("customer_last_amount", "customer_ms_since_last"):
        assert all(value is None or np.isnan(value) for value in late[name])


def test_tiles_that_cannot_be_read_are_null_and_leave_the_others_alone(
    place: Place, store: FeatureStore, histories: dict[str, History], states: dict[str, EntityState]
) -> None:
    client = redis_py.Redis.from_url(place.url)
    view = TilesView.of(CUSTOMER)
    key = entity_key("headrace", "customer_id", b"c1")
    field = field_name(view.name, view.packed)
    good = client.hget(key, field)
    assert isinstance(good, bytes)
    try:
        client.hset(key, field, b"\x0a\x0bhello world")
        found = read(store, CUSTOMER, [b"c1", b"c2"], [END_MS] * 2)
    finally:
        client.hset(key, field, good)
    assert all(found[c][0] is None or np.isnan(found[c][0]) for c in CUSTOMER.columns)
    expected = histories["customer"].oracles(np.array([b"c2"]))[b"c2"].at(END_MS)
    assert same_bits([found[c][1] for c in CUSTOMER.columns], expected)


def test_a_flipped_bit_of_the_tiles_is_seen(
    place: Place, store: FeatureStore, histories: dict[str, History], states: dict[str, EntityState]
) -> None:
    """Proves the comparison above: another state of another key gives other values."""
    client = redis_py.Redis.from_url(place.url)
    field = field_name(TilesView.of(CUSTOMER).name, TilesView.of(CUSTOMER).packed)
    mine, other = (entity_key("headrace", "customer_id", key) for key in (b"c1", b"c2"))
    good, wrong = client.hget(mine, field), client.hget(other, field)
    assert isinstance(good, bytes)
    assert isinstance(wrong, bytes)
    try:
        client.hset(mine, field, wrong)
        found = read(store, CUSTOMER, [b"c1"], [END_MS])
    finally:
        client.hset(mine, field, good)
    expected = histories["customer"].oracles(np.array([b"c1"]))[b"c1"].at(END_MS)
    assert not same_bits([found[c][0] for c in CUSTOMER.columns], expected)


def test_rows_written_without_tiles_take_older_tiles_away(
    place: Place, histories: dict[str, History]
) -> None:
    where = RedisConnection.from_url(place.url)
    state = history(CUSTOMER, 3, 30, 5).state()
    write(where, state, project="gone")
    client = redis_py.Redis.from_url(place.url)
    key = entity_key("gone", "customer_id", b"c1")
    names = {f"_ts:{TilesView.of(CUSTOMER).name}".encode(), f"_o:{TilesView.of(CUSTOMER).name}".encode()}
    assert names <= set(client.hgetall(key))
    write(where, state, tiles=False, project="gone")
    after = client.hgetall(key)
    assert not names & set(after)
    assert len(after) == len(CUSTOMER.columns) + 2 * len(CUSTOMER.views)


def test_tiles_have_no_history_and_say_so(store: FeatureStore) -> None:
    view = TilesView.of(CUSTOMER)
    asked_of = pd.DataFrame(
        {"customer_id": ["c1"], "event_timestamp": [pd.Timestamp(END_MS, unit="ms", tz="UTC")]}
    )
    with pytest.raises(StateError, match="E_LAKE_ONLINE_ONLY"):
        store.get_historical_features(asked_of, [f"{view.name}:{view.packed}"]).to_df()


def test_a_plain_materialize_leaves_tiles_alone(place: Place, states: dict[str, EntityState]) -> None:
    client = redis_py.Redis.from_url(place.url)
    before = {key: client.hgetall(key) for key in client.scan_iter(_type="hash")}
    place.feast("materialize", "2018-05-01T00:00:00", "2018-06-20T00:00:00")
    assert {key: client.hgetall(key) for key in client.scan_iter(_type="hash")} == before
