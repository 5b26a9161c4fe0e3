"""Tiles in memory: finalised as the state says, pending payments as the stream says, and never guessed."""

from typing import NamedTuple

import numpy as np
import pytest

from contracts.frame import Columns, Kind, strings, take
from features.definition import DAY_MS, Entity
from features.feast_row import RowsRead
from features.state import EntityState
from inference.models.manifest import Manifest, Thresholds
from inference.models.model import LightGbmModel
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.missing import missing
from inference.reading.moment_reader import MomentReader
from inference.reading.online_reader import Keys, StoreUnavailable
from inference.reading.pending import PendingServer, pending_rows
from inference.reading.served import Status
from inference.scorer.core import ScorerCore
from inference.serve.answers import PendingDecisions
from load.this_project import CUSTOMER, CUSTOMER_PROFILE, PROJECT, SERVICE, TERMINAL
from tests.unit.inference.support import EPOCH, OWN_POLICY, START_MS, StillClock, trained_text
from tests.unit.inference.test_scorer_core import OneModel

ROWS, NAMES = 400, 20


class Store:
    """A store in memory whose rows carry tiles; a test may damage it."""

    def __init__(self, customer: EntityState, terminal: EntityState) -> None:
        self.states = {"customer": customer, "terminal": terminal}
        self.packed: dict[bytes, bytes] = {}
        self.epoch, self.is_whole, self.is_down = EPOCH, True, False
        self.asked_whole = 0

    def whole(self) -> bool:
        self.asked_whole += 1
        return self.is_whole

    def read(self, *keys: Keys) -> tuple[RowsRead, ...]:
        customers, terminals = keys
        if self.is_down:
            raise StoreUnavailable("E_STORE_UNAVAILABLE", "no answer", "memory")
        profile = len(CUSTOMER_PROFILE.columns)
        return self._rows(CUSTOMER, customers, profile), self._rows(TERMINAL, terminals, 0)

    def _rows(self, entity: Entity, keys: Keys, profile: int) -> RowsRead:
        state = self.states[entity.name]
        latest = state.latest()
        at = {key: number for number, key in enumerate(latest.keys)}
        views = len(entity.views) + (profile > 0) + 1
        count = len(keys)
        values = np.full((count, len(entity.columns) + profile), np.nan)
        times, stamps = np.full((count, views), -1, np.int64), np.full((count, views), -1, np.int64)
        streamed = [*range(len(entity.views)), views - 1]
        for row, key in enumerate(keys.tolist()):
            if key in at:
                values[row, : len(entity.columns)] = latest.values[at[key]]
                times[row, streamed] = latest.as_of_ms[at[key]]
                stamps[row, streamed] = latest.position[at[key]]
        packed = [
            self.packed.get(key, state_bytes)
            for key, state_bytes in zip(keys.tolist(), state.export(keys), strict=True)
        ]
        epochs = np.where(stamps >= 0, self.epoch, -1)
        return RowsRead(
            values, times, epochs, stamps, times >= 0, np.zeros(count, np.bool_), "", tuple(packed),
            np.zeros(count, np.int64),
        )  # fmt: skip


class Given(NamedTuple):
    """A store, a reader over it, and the states that the stages have."""

    store: Store
    reader: MomentReader
    customer: EntityState
    terminal: EntityState


def payments(count: int, seed: int, begin_ms: int = START_MS) -> Columns:
    rng = np.random.default_rng(seed)
    return {
        "pos": np.arange(count), "transaction_id": strings([f"t{seed}-{n}" for n in range(count)]),
        "customer_id": strings([f"c{n}" for n in rng.integers(0, NAMES, count)]),
        "terminal_id": strings([f"m{n}" for n in rng.integers(0, NAMES, count)]),
        "event_time": begin_ms + np.sort(rng.integers(0, 20 * DAY_MS, count)),
        "amount_minor": rng.integers(0, 90_000, count),
    }  # fmt: skip


@pytest.fixture
def given() -> Given:
    rows = payments(ROWS, seed=3)
    customer, terminal = EntityState(CUSTOMER), EntityState(TERMINAL)
    customer.apply(rows, Kind.SCORED)
    terminal.apply(rows, Kind.SCORED)
    store = Store(customer, terminal)
    return Given(store, MomentReader(PROJECT, store, Breaker(250.0), store.whole, EPOCH), customer, terminal)


def bits(values: np.ndarray) -> list[list[int]]:
    clean = np.where(np.isnan(values), np.nan, values)
    return clean.view(np.uint64).tolist()


NOBODY = strings([])


@pytest.mark.parametrize("later_days", [0, 1, 9, 60])
def test_values_at_a_moment_are_the_states_own(given: Given, later_days: int) -> None:
    keys = strings([f"c{n}" for n in range(NAMES)] + ["nobody", "c1"])
    now_ms = np.full(len(keys), START_MS + (20 + later_days) * DAY_MS)
    stored = given.reader.read([keys, NOBODY], 0.0)
    assert stored is not None
    found = given.reader.at(CUSTOMER, stored.held["customer"], now_ms)
    assert bits(found.values) == bits(given.customer.at(keys, now_ms))
    assert found.valid_until_ms.tolist() == given.customer.valid_until_ms(keys, now_ms).tolist()
    assert not found.uncertain.any()
    assert found.newest_ms[-2] == -1
    assert given.store.asked_whole == 1  # for the key that is not there


def test_a_pending_payment_is_answered_as_the_stream_answers_it_next(given: Given) -> None:
    pending = payments(30, seed=8, begin_ms=START_MS + 21 * DAY_MS)
    served = PendingServer(PROJECT, given.reader).serve(_rows(pending), 0.0)
    for row in range(30):
        one = take(pending, slice(row, row + 1))
        for entity, values in ((CUSTOMER, served.groups[0]), (TERMINAL, served.groups[1])):
            state = EntityState(entity)
            state.apply(payments(ROWS, seed=3), Kind.SCORED)
            assert bits(values[row : row + 1]) == bits(state.apply(one, Kind.SCORED).values)
    assert set(served.statuses[0].tolist()) == {Status.EXACT}
    assert not missing(served, None).any()


def test_another_keys_tiles_are_seen(given: Given) -> None:
    keys, now_ms = strings(["c1"]), np.array([START_MS + 20 * DAY_MS])
    given.store.packed[b"c1"] = given.customer.export(strings(["c2"]))[0]
    stored = given.reader.read([keys, NOBODY], 0.0)
    assert stored is not None
    found = given.reader.at(CUSTOMER, stored.held["customer"], now_ms)
    assert bits(found.values) != bits(given.customer.at(keys, now_ms))


@pytest.mark.parametrize("damage", ["no tiles", "other definitions", "another run", "not whole"])
def test_what_cannot_be_told_is_null_and_flagged(given: Given, damage: str) -> None:
    pending = take(payments(1, seed=9), slice(0, 1))
    pending["customer_id"], pending["terminal_id"] = strings(["c1"]), strings(["m1"])
    if damage == "no tiles":
        given.store.packed[b"c1"] = b""
    elif damage == "other definitions":
        given.store.packed[b"c1"] = b"\x02" + b"\0" * 20
    else:
        given.store.is_whole = False
        pending["customer_id"] = strings(["nobody"])
        if damage == "another run":
            given.store.epoch = EPOCH - 1
    served = PendingServer(PROJECT, given.reader).serve(_rows(pending), 0.0)
    assert np.isnan(served.groups[0]).all()
    assert served.statuses[0].tolist() == [Status.DEFAULT]
    assert np.isnan(served.groups[1]).all() == (damage == "another run")
    assert served.unreadable.all()


def test_a_damaged_row_is_null_and_asked_for_again(given: Given) -> None:
    asked: list[tuple[str, list[bytes]]] = []
    reader = MomentReader(
        PROJECT,
        given.store,
        Breaker(250.0),
        given.store.whole,
        EPOCH,
        lambda name, keys: asked.append((name, keys.tolist())),
    )
    whole = given.customer.export(strings(["c1"]))[0]
    given.store.packed[b"c1"] = whole[:-1] + bytes([whole[-1] ^ 4])
    keys, now_ms = strings(["c1", "c2", "c1"]), np.full(3, START_MS + 30 * DAY_MS)
    stored = reader.read([keys, NOBODY], 0.0)
    assert stored is not None
    found = reader.at(CUSTOMER, stored.held["customer"], now_ms)
    assert found.uncertain.tolist() == [True, False, True]
    assert np.isnan(found.values[[0, 2]]).all()
    assert bits(found.values[1:2]) == bits(given.customer.at(keys[1:2], now_ms[:1]))
    assert asked == [("customer", [b"c1"])]
    del given.store.packed[b"c1"]  # written again by its stage
    stored = reader.read([keys, NOBODY], 0.0)
    assert stored is not None
    assert not reader.at(CUSTOMER, stored.held["customer"], now_ms).uncertain.any()


def test_rows_of_another_run_are_no_past_where_the_store_is_whole(given: Given) -> None:
    given.store.epoch = EPOCH - 1
    stored = given.reader.read([strings(["c1"]), NOBODY], 0.0)
    assert stored is not None
    assert stored.held["customer"].packed == [b""]
    assert not stored.held["customer"].uncertain.any()


def test_a_store_that_is_away_is_left_alone_for_a_while(given: Given) -> None:
    given.store.is_down = True
    assert given.reader.read([strings(["c1"]), NOBODY], 0.0) is None
    assert not given.reader.available
    given.store.is_down = False
    assert given.reader.read([strings(["c1"]), NOBODY], 100.0) is None
    assert given.reader.read([strings(["c1"]), NOBODY], 251.0) is not None
    assert given.reader.available


def test_a_model_does_not_judge_a_payment_whose_customer_it_cannot_see(given: Given) -> None:
    """Nulls would look harmless: the fallback decides, and the answer says what was missing."""
    manifest = Manifest(
        name="fraud", version="1", definitions_hash="", features=list(SERVICE.columns),
        sha256={"model.txt": "a" * 64}, thresholds=Thresholds(review=0.9999, decline=0.99999),
    )  # fmt: skip
    models = OneModel(LightGbmModel(trained_text(), manifest))
    core = ScorerCore(
        PROJECT,
        PendingServer(PROJECT, given.reader),
        models,
        StillClock(),
        EPOCH,
        FixedPolicy(OWN_POLICY),
        watching=False,
    )
    pending = [{**_rows(payments(1, seed=9)), "traceparent": strings([""])}]
    seen = PendingDecisions(core, StillClock()).answer(pending)[0]
    assert (seen["decision"], seen["decided_by"], seen["degraded"]) == ("approve", "model", False)
    given.store.is_down = True
    blind = PendingDecisions(core, StillClock()).answer(pending)[0]
    assert (blind["decision"], blind["decided_by"]) == ("review", "fallback")
    assert "score" not in blind
    assert blind["degraded_why"] == ["store_unavailable", "score_failed"]
    assert not core.drift.take_skipped()


def _rows(pending: Columns) -> Columns:
    rows = {**pending, "appended_ms": pending["event_time"]}
    return pending_rows(rows, PROJECT.pipeline.chain)
