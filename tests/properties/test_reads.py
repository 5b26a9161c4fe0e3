"""Laws of reading state without a row: nothing changes, and every answer is the definition's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Columns, Kind, strings, take
from features.state import EntityState
from load.oracle.windows import KeyOracle
from load.this_project import CUSTOMER, TERMINAL
from tests.properties.test_windows import ROW, SMALL, T0, assert_same_bits, payments, rows_of

KEYS = strings(["c0", "c1", "c2", "nobody"])
MOMENT = st.integers(-60_000, 1_500_000)
FOREVER_MS = np.iinfo(np.int64).max
SINCE = [c for c, name in enumerate(SMALL.columns) if name.startswith("SinceLast")]


def folded(columns: Columns) -> EntityState:
    state = EntityState(SMALL)
    state.apply(columns, Kind.SCORED)
    return state


def oracles(columns: Columns) -> dict[bytes, KeyOracle]:
    made = {key: KeyOracle(SMALL) for key in KEYS.tolist()}
    for row in rows_of(columns):
        made[row["customer_id"]].row(Kind.SCORED, row)
    return made


def everywhere(moment: int) -> np.ndarray:
    return np.full(len(KEYS), T0 + moment)


@settings(max_examples=100, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=60), MOMENT)
def test_values_as_of_a_moment_equal_the_definition(rows, moment):
    columns = payments(rows)
    expected = [oracles(columns)[key].at(T0 + moment) for key in KEYS.tolist()]
    assert_same_bits(folded(columns).at(KEYS, everywhere(moment)), np.array(expected), SMALL.columns)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40), st.lists(ROW, min_size=1, max_size=8))
def test_peek_is_apply_on_a_copy_and_changes_nothing(rows, asked):
    """Rows asked about may share a key, be late or name a key that nobody has seen."""
    columns, asks = payments(rows), payments([(k + 1, *rest) for k, *rest in asked])
    state = folded(columns)
    state.take_dirty()
    before = state.export(KEYS)
    peeked = state.peek(asks, Kind.SCORED)
    for i in range(len(asked)):
        row = take(asks, slice(i, i + 1))
        applied = folded(columns).apply(row, Kind.SCORED)
        assert_same_bits(peeked.values[i : i + 1], applied.values, SMALL.columns)
        assert (peeked.late[i], peeked.as_of_ms[i]) == (applied.late[0], applied.as_of_ms[0])
    assert len(state) == len({row[0] for row in rows})
    assert state.export(KEYS) == before
    assert state.take_dirty() == ([], [])


@settings(max_examples=100, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40), MOMENT, st.floats(0, 1))
def test_values_stay_until_valid_until_and_then_some_window_shrinks(rows, moment, share):
    state = folded(payments(rows))
    now = everywhere(moment)
    until = state.valid_until_ms(KEYS, now)
    values = state.at(KEYS, now)
    values[:, SINCE] = 0
    for key in range(len(KEYS)):
        if until[key] == FOREVER_MS:
            assert np.isnan(values[key]).sum() + (values[key] == 0).sum() == len(SMALL.columns)
            continue
        start = max(int(now[key]), newest_ms(rows, key))
        between = start + int(share * (int(until[key]) - 1 - start))
        for then, same in ((between, True), (int(until[key]) - 1, True), (int(until[key]), False)):
            found = state.at(KEYS[key : key + 1], np.array([then]))
            nulls = np.isnan(found[0, SINCE])
            found[:, SINCE] = 0
            changed = not np.array_equal(found[0], values[key], equal_nan=True) or bool(nulls.any())
            assert changed != same, (then, until[key])


def newest_ms(rows: list[tuple[int, int, int, int]], key: int) -> int:
    return T0 + max(ms for k, ms, *_ in rows if k == key)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=60), MOMENT)
def test_an_exported_state_answers_as_the_one_it_came_from(rows, moment):
    state = folded(payments(rows))
    dirty = dict(zip(*state.take_dirty(), strict=True))
    exported = state.export(KEYS)
    assert [blob for blob in exported if blob] == [dirty[key] for key in KEYS.tolist() if key in dirty]
    other = EntityState(SMALL)
    other.load(KEYS.tolist(), exported)
    assert len(other) == len(state)
    now = everywhere(moment)
    assert_same_bits(other.at(KEYS, now), state.at(KEYS, now), SMALL.columns)
    assert other.valid_until_ms(KEYS, now).tolist() == state.valid_until_ms(KEYS, now).tolist()


def test_an_empty_state_answers_with_empty_windows():
    for entity in (CUSTOMER, TERMINAL):
        state = EntityState(entity)
        values = state.at(KEYS, everywhere(0))
        assert set(values[~np.isnan(values)].tolist()) == {0.0}
        assert state.valid_until_ms(KEYS, everywhere(0)).tolist() == [FOREVER_MS] * len(KEYS)
        assert state.export(KEYS) == [b""] * len(KEYS)
        assert len(state) == 0
