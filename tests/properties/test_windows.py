"""Laws of the windows: the compiled fold equals the definition, whatever the order, batches and splits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Columns, Kind, concat, strings, take
from features.aggregations import Count, Distinct, Last, Max, Mean, Min, SinceLast, Std, Sum
from features.definition import Entity, Feature, View, Window
from features.state import EntityState
from load.oracle.windows import PartitionOracle
from load.this_project import CUSTOMER, TERMINAL

T0 = 1_700_000_000_000
SHORT = Window.of(minutes=1, hop_ms=5_000)
LONG = Window.of(minutes=4, hop_ms=20_000)
SAME_HOP = Window.of(minutes=2, hop_ms=20_000)


def _every_aggregation() -> tuple[Feature, ...]:
    folds = (Count, Sum, Mean, Std, Min, Max)
    windowed = [
        Feature(name=f"{f.__name__}_{w.label}_{c}", aggregation=f(), window=w, current=c)
        for f in folds for w in (SHORT, SAME_HOP, LONG) for c in (True, False)
    ]  # fmt: skip
    distinct = [Feature(name=f"distinct_{w.label}", aggregation=Distinct(), window=w) for w in (SHORT, LONG)]
    last = [
        Feature(name=f"{f.__name__}_{c}", aggregation=f(), current=c)
        for f in (Last, SinceLast) for c in (True, False)
    ]  # fmt: skip
    return (*windowed, *distinct, *last)


SMALL = Entity(
    name="small",
    join_key="customer_id",
    views=(
        View(
            name="small_payments", rows=Kind.SCORED, measure="amount_minor", time="event_time",
            item="terminal_id", items="distinct", features=_every_aggregation(),
        ),
    ),
)  # fmt: skip

ROW = st.tuples(
    st.integers(0, 2),  # key
    st.integers(0, 600_000),  # ms after T0: more than twice the longest window
    st.integers(0, 2**40),  # amount
    st.integers(0, 5),  # item
)


def payments(rows: list[tuple[int, int, int, int]]) -> Columns:
    keys, times, amounts, items = zip(*rows, strict=True)
    return {
        "pos": np.arange(len(rows)),
        "customer_id": strings([f"c{k}" for k in keys]),
        "terminal_id": strings([f"m{i}" for i in items]),
        "event_time": T0 + np.array(times, np.int64),
        "amount_minor": np.array(amounts, np.int64),
    }


def rows_of(columns: Columns) -> list[dict[str, object]]:
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*[c.tolist() for c in columns.values()], strict=True)
    ]


def by_definition(entity: Entity, columns: Columns, kinds: list[int]) -> tuple[np.ndarray, list[bool]]:
    oracle = PartitionOracle(entity)
    out, late = [], []
    for row, kind in zip(rows_of(columns), kinds, strict=True):
        out.append(oracle.row(kind, row))
        late.append(oracle.keys[row[entity.join_key]].late)
    return np.array(out), late


def assert_same_bits(left: np.ndarray, right: np.ndarray, columns: tuple[str, ...]) -> None:
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    where = [(int(r), columns[c], left[r, c], right[r, c]) for r, c in zip(*np.nonzero(~same), strict=True)]
    assert not where, where[:5]


@settings(max_examples=150, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=60), st.integers(1, 60))
def test_the_fold_equals_the_definition_in_any_batches(rows, batch):
    columns = payments(rows)
    state = EntityState(SMALL)
    parts = [state.apply(take(columns, slice(i, i + batch)), Kind.SCORED) for i in range(0, len(rows), batch)]
    expected, late = by_definition(SMALL, columns, [Kind.SCORED] * len(rows))
    assert_same_bits(np.concatenate([p.values for p in parts]), expected, SMALL.columns)
    assert np.concatenate([p.late for p in parts]).tolist() == late


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=2, max_size=40), st.randoms())
def test_windows_hold_the_same_in_any_order(rows, random):
    """Ties of event time are the log's to order (`last`), so times are made different here."""
    rows = [(k, t * 64 + i, a, m) for i, (k, t, a, m) in enumerate(rows)]
    other = list(rows)
    random.shuffle(other)
    probe = [(k, 64 * 600_000, 1, 9) for k in range(3)]
    answers = []
    for order in (rows, other):
        state = EntityState(SMALL)
        state.apply(payments(order), Kind.SCORED)
        answers.append(state.apply(payments(probe), Kind.SCORED).values)
    assert_same_bits(*answers, SMALL.columns)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=60), st.integers(0, 60))
def test_packing_and_loading_changes_nothing(rows, cut):
    columns = payments(rows)
    whole = EntityState(SMALL)
    expected = whole.apply(columns, Kind.SCORED).values
    first = EntityState(SMALL)
    head = [first.apply(take(columns, slice(0, cut)), Kind.SCORED).values] if cut else []
    second = EntityState(SMALL)
    second.load(*first.take_dirty())
    assert first.take_dirty() == ([], [])
    tail = take(columns, slice(cut, None))
    rest = [second.apply(tail, Kind.SCORED).values] if len(rows) > cut else []
    assert_same_bits(np.concatenate(head + rest), expected, SMALL.columns)


def test_latest_is_the_last_row_of_every_key():
    columns = payments([(0, 10, 5, 1), (1, 20, 6, 1), (0, 5, 7, 2)])
    state = EntityState(SMALL)
    values = state.apply(columns, Kind.SCORED).values
    latest = state.latest()
    assert latest.keys == [b"c0", b"c1"]
    assert_same_bits(latest.values, values[[2, 1]], SMALL.columns)
    assert latest.position.tolist() == [2, 1]
    assert latest.as_of_ms.tolist() == [T0 + 10, T0 + 20]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.booleans(), st.integers(0, 1), st.integers(0, 40 * 24 * 60), st.integers(0, 6), st.booleans()
        ),
        min_size=1,
        max_size=60,
    )
)
def test_labels_and_payments_of_a_terminal_share_one_order(rows):
    """A label counts once, at its first label_time, with the value of the newest one."""
    state = EntityState(TERMINAL)
    minute = 60_000
    answers, columns, kinds = [], [], []
    for i, (is_label, key, minutes, item, fraud) in enumerate(rows):
        row: Columns = {
            "pos": np.array([i]), "terminal_id": strings([f"m{key}"]), "customer_id": strings([f"c{item}"]),
            "transaction_id": strings([f"t{item}"]), "event_time": np.array([T0 + minutes * minute]),
            "label_time": np.array([T0 + minutes * minute]), "amount_minor": np.array([100 + item]),
            "positive": np.array([fraud], np.uint8),
        }  # fmt: skip
        kinds.append(Kind.LABEL if is_label else Kind.SCORED)
        answers.append(state.apply(row, kinds[-1]).values)
        columns.append(row)
    expected, _ = by_definition(TERMINAL, concat(columns), kinds)
    assert_same_bits(np.concatenate(answers), expected, TERMINAL.columns)


def label_of(pos: int, customer: str, days: float, fraud: int) -> Columns:
    """Return a label of a payment t1 at m1, known some days after T0."""
    return {
        "pos": np.array([pos]), "terminal_id": strings(["m1"]), "customer_id": strings([customer]),
        "transaction_id": strings(["t1"]), "event_time": np.array([T0]),
        "label_time": np.array([T0 + int(days * 86_400_000)]), "positive": np.array([fraud], np.uint8),
    }  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_a_stale_label_that_is_delivered_again_changes_nothing(packed: bool) -> None:
    """The label of the newest time holds, of equal times the later in the log, through packing as well."""
    state, at = EntityState(TERMINAL), TERMINAL.columns.index("terminal_frauds_30d")
    labels = [(1, 1), (2, 0), (1, 1), (2, 1), (2, 0), (1.5, 1), (3, 1), (0.5, 0)]
    found = []
    for pos, (days, fraud) in enumerate(labels):
        found.append(state.apply(label_of(pos, "c1", days, fraud), Kind.LABEL).values[0, at])
        if packed:
            state, before = EntityState(TERMINAL), state
            state.load(*before.take_dirty())
    assert found == [1, 0, 0, 1, 0, 0, 1, 1]


def test_labels_of_two_customers_payments_of_one_id_are_two() -> None:
    state = EntityState(TERMINAL)
    columns = [TERMINAL.columns.index(f"terminal_{noun}_30d") for noun in ("labels", "frauds")]
    state.apply(label_of(0, "c1", 1, 1), Kind.LABEL)
    values = state.apply(label_of(1, "c2", 2, 0), Kind.LABEL).values[0, columns]
    assert values.tolist() == [2, 1]


def test_a_long_history_of_the_catalog_equals_the_definition():
    """Thousands of events over three months, some late, some far too late; the sketch goes past its bound."""
    random = np.random.default_rng(11)
    n = 3000
    times = (
        np.sort(random.integers(0, 90 * 86_400_000, n))
        - random.integers(0, 2, n) * random.integers(0, 40, n) * 86_400_000
    )
    columns = {
        "pos": np.arange(n),
        "customer_id": strings([f"c{k}" for k in random.integers(0, 3, n)]),
        "terminal_id": strings([f"m{k}" for k in random.integers(0, 400, n)]),
        "event_time": T0 + times,
        "amount_minor": random.integers(0, 2**38, n),
    }
    state = EntityState(CUSTOMER)
    applied = [state.apply(take(columns, slice(i, i + 257)), Kind.SCORED) for i in range(0, n, 257)]
    expected, late = by_definition(CUSTOMER, columns, [Kind.SCORED] * n)
    assert_same_bits(np.concatenate([a.values for a in applied]), expected, CUSTOMER.columns)
    assert np.concatenate([a.late for a in applied]).tolist() == late
    assert 0 < sum(late) < n


def test_state_stays_bounded_by_windows_not_by_events():
    """A law for the cost: a key keeps at most length / hop + 2 tiles a level, and its bounded sketch."""
    n = 20_000
    columns = {
        "pos": np.arange(n),
        "customer_id": strings(["c1"] * n),
        "terminal_id": strings([f"m{i}" for i in range(n)]),
        "event_time": T0 + np.arange(n) * 400_000,
        "amount_minor": np.ones(n, np.int64),
    }
    state = EntityState(CUSTOMER)
    state.apply(columns, Kind.SCORED)
    [blob] = state.take_dirty()[1]
    tiles = sum(w.length_ms // w.hop_ms + 2 for w in CUSTOMER.views[0].windows)
    assert len(blob) // 8 <= 40 + 2 * tiles * 7 + 3 * 128


@pytest.mark.parametrize("items", [100, 1_000, 20_000])
def test_the_distinct_estimate_stays_within_its_error(items):
    """128 kept hashes: a relative standard error of 9 %; four of them are allowed."""
    columns = {
        "pos": np.arange(items),
        "customer_id": strings(["c1"] * items),
        "terminal_id": strings([f"m{i}" for i in range(items)]),
        "event_time": np.full(items, T0),
        "amount_minor": np.ones(items, np.int64),
    }
    value = (
        EntityState(CUSTOMER)
        .apply(columns, Kind.SCORED)
        .values[-1, CUSTOMER.columns.index("customer_terminals_24h")]
    )
    assert value == items if items <= 128 else math.isclose(value, items, rel_tol=0.36)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=50))
def test_the_kernels_standard_deviation_is_the_written_formula(amounts):
    columns = payments([(0, 0, a, 0) for a in amounts])
    values = EntityState(SMALL).apply(columns, Kind.SCORED).values
    expected = Std()
    state = None
    for amount in amounts:
        state = expected.update(state, amount)
    assert values[-1, SMALL.columns.index("Std_4m_True")] == expected.finalise(state)
