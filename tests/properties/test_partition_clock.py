"""Laws of the partition's clock: no one key moves it, several do, and neither batches nor restarts count."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Columns, Kind, strings, take
from features.partition_clock import UNKNOWN_MS, PartitionClock
from features.state import EntityState
from load.oracle.windows import ClockOracle, PartitionOracle
from load.this_project import CUSTOMER, TERMINAL
from tests.properties.test_windows import SMALL, T0, assert_same_bits, payments, rows_of

DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
TIME = st.one_of(st.integers(0, 600_000), st.integers(0, 10 * YEAR_MS))
LOG = st.lists(st.tuples(st.integers(0, 9), TIME), min_size=1, max_size=150)


def columns_of(log: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    keys, times = zip(*log, strict=True)
    return np.array(keys, np.uint64), np.array(times, np.int64)


@settings(max_examples=200, deadline=None)
@given(LOG, st.lists(st.integers(1, 40), min_size=1))
def test_it_shows_what_the_definition_says_whatever_the_batches_and_restarts(log, sizes):
    oracle, expected = ClockOracle(), []
    for key, time_ms in log:
        expected.append(UNKNOWN_MS if oracle.now_ms is None else oracle.now_ms)
        oracle.row(key, time_ms)
    keys, times = columns_of(log)
    clock, at, shown = PartitionClock(), 0, []
    for number in range(len(log)):
        size = sizes[number % len(sizes)]
        shown += clock.advance(keys[at : at + size], times[at : at + size]).tolist()
        at += size
        again = PartitionClock()
        again.load(clock.pack())
        clock = again
    assert shown == expected
    assert expected == sorted(expected)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 10 * YEAR_MS)), max_size=40), st.integers(3, 60)
)
def test_two_keys_dated_ahead_move_it_by_nothing(false_rows, honest_keys):
    """Whatever the false times, the clock is never past the newest true one: theirs are under a quarter."""
    count = 320
    keys = np.arange(count) % honest_keys
    times = np.arange(count) * 60_000
    for at, ahead in false_rows:
        keys[at], times[at] = 1_000 + at % 2, times[at] + ahead
    clock = PartitionClock()
    clock.advance(keys.astype(np.uint64), times)
    if honest_keys >= 8:
        assert clock.now_ms <= count * 60_000


def log_of(entity_key: str, count: int, customers: int) -> Columns:
    """Return payments an hour apart, of customers and terminals in turn."""
    numbers = np.arange(count)
    key = strings([f"k{n % customers}" for n in numbers.tolist()])
    other = strings([f"o{n % 7}" for n in numbers.tolist()])
    names = {"customer_id": key, "terminal_id": other}
    if entity_key == "terminal_id":
        names = {"customer_id": other, "terminal_id": key}
    return {
        "pos": numbers, "event_time": T0 + numbers * 3_600_000, "amount_minor": 100 + numbers % 50, **names,
    }  # fmt: skip


def test_one_row_years_ahead_changes_no_other_keys_answers_nor_its_own_for_good():
    for entity in (CUSTOMER, TERMINAL):
        honest = log_of(entity.join_key, 600, 9)
        false = {**honest, "event_time": honest["event_time"].copy()}
        false["event_time"][207] += 6 * YEAR_MS
        right = EntityState(entity).apply(honest, Kind.SCORED)
        found = EntityState(entity).apply(false, Kind.SCORED)
        its_own = honest[entity.join_key] == honest[entity.join_key][207]
        assert_same_bits(found.values[~its_own], right.values[~its_own], entity.columns)
        count = entity.columns.index(f"{entity.name}_count_30d")
        own = found.values[its_own, count]
        at = int(np.flatnonzero(np.flatnonzero(its_own) == 207)[0])
        assert own[at : at + 5].tolist() == [1, 1, 2, 3, 4]  # its windows begin again with its next row
        assert found.as_of_ms[-1] == honest["event_time"][-1]
        assert not found.late.any()


def test_what_begins_again_is_the_same_when_asked_before_the_row_comes():
    false = log_of("customer_id", 300, 9)
    false["event_time"][207] += 6 * YEAR_MS
    for end in range(205, 230):
        state = EntityState(CUSTOMER)
        state.apply(take(false, slice(0, end)), Kind.SCORED)
        row = take(false, slice(end, end + 1))
        elsewhere = EntityState(CUSTOMER, forgets=False)  # as a reader at request time has it
        elsewhere.load(row["customer_id"].tolist(), state.export(row["customer_id"]))
        asked, read = state.peek(row, Kind.SCORED), elsewhere.peek(row, Kind.SCORED)
        applied = state.apply(row, Kind.SCORED)
        assert_same_bits(asked.values, applied.values, CUSTOMER.columns)
        assert_same_bits(read.values, applied.values, CUSTOMER.columns)


@settings(max_examples=60, deadline=None)
@given(LOG, st.integers(1, 60))
def test_states_equal_the_definition_with_rows_dated_ahead(log, batch):
    columns = payments([(key % 6, time_ms, 5 + at, at % 4) for at, (key, time_ms) in enumerate(log)])
    state, oracle = EntityState(SMALL), PartitionOracle(SMALL)
    told = [
        state.apply(take(columns, slice(at, at + batch)), Kind.SCORED).values
        for at in range(0, len(log), batch)
    ]
    expected = [oracle.row(Kind.SCORED, row) for row in rows_of(columns)]
    assert_same_bits(np.concatenate(told), np.array(expected), SMALL.columns)


def test_a_quiet_month_is_believed_once_several_keys_say_so():
    numbers = np.arange(64)
    times = T0 + numbers * 60_000 + np.where(numbers >= 32, 60 * DAY_MS, 0)
    clock = PartitionClock()
    clock.advance((numbers % 5).astype(np.uint64), times)
    assert clock.now_ms > T0 + 60 * DAY_MS
