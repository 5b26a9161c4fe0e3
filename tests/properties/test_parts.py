"""Laws of the windows and aggregations kept beside the tiles: each equals its definition, bit for bit."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.errors import ConfigError
from contracts.frame import Columns, Kind, strings, take
from features.aggregations import (
    Aggregation,
    Count,
    DecayedSum,
    Distinct,
    First,
    Last,
    LastK,
    Max,
    Mean,
    Min,
    Quantile,
    SinceFirst,
    SinceLast,
    Std,
    Sum,
    TopShare,
)  # fmt: skip
from features.definition import FOREVER_MS, Entity, Feature, View, Window
from features.state import EntityState
from features.view_parts import ViewParts, view_state
from features.view_state import ViewState
from load.oracle import parts
from load.oracle.windows import KeyOracle, PartitionOracle
from load.this_project import ENTITIES
from tests.properties.test_windows import assert_same_bits, by_definition, rows_of

T0 = 1_700_000_000_000
SHORT = Window.of(minutes=1, hop_ms=5_000)
LONG = Window.of(minutes=4, hop_ms=20_000)
DELAYED = (
    SHORT.delayed(minutes=1),
    LONG.delayed(minutes=3),
    Window.of(minutes=2, hop_ms=20_000).delayed(minutes=1),
)
SESSIONS = (Window.session(minutes=1), Window.session(minutes=3))
NEWEST = (Window.last(1), Window.last(3), Window.last(10))
LIFETIME = (Window.lifetime(),)
FOLDS = (Count(), Sum(), Mean(), Std(), Min(), Max(), First(), SinceFirst())
ENDS = (Last(), SinceLast())
SKETCHES = (Quantile(per_mille=500), Quantile(per_mille=950), TopShare(k=1), TopShare(k=3))


def features(
    aggregations: tuple[Aggregation, ...], windows: tuple[Window | None, ...]
) -> tuple[Feature, ...]:
    return tuple(
        Feature(
            name=f"{a.name}{'_' + w.label if w else ''}{'' if current else '_before'}", aggregation=a,
            window=w, current=current,
        )
        for w in windows for a in aggregations for current in (True, False)
    )  # fmt: skip


HOUR = features((Count(),), (SHORT,))
FEATURES = {
    "delayed": features((*FOLDS, *ENDS), DELAYED),
    "lifetime": features((*FOLDS, *ENDS, *SKETCHES), LIFETIME),
    "first": features((First(), SinceFirst()), (SHORT, LONG)),
    "session": features((*FOLDS, *ENDS), SESSIONS),
    "last_n": features(FOLDS, NEWEST) + features((LastK(k=4), *ENDS), (None,)) + features((Sum(),), (LONG,)),
    "quantile": features(SKETCHES[:2], (SHORT, LONG, DELAYED[0])),
    "top_share": features(SKETCHES[2:], (SHORT, LONG, DELAYED[0])),
    "decayed": features((DecayedSum(half_life_ms=7_001), DecayedSum(half_life_ms=60_000)), (None,)),
    "distinct": (Feature(name="distinct", aggregation=Distinct(), window=SHORT),),
}
BEYOND_ORDER = ("decayed", "session")  # same log order, same bits; other orders have laws of their own


def view_of(*names: str) -> View:
    return View(
        name="small", rows=Kind.SCORED, measure="amount_minor", time="event_time", item="terminal_id",
        items="distinct" if "distinct" in names else "none",
        features=tuple(f for name in names for f in FEATURES[name]),
    )  # fmt: skip


def entity_of(*names: str) -> Entity:
    return Entity(name="small", join_key="customer_id", views=(view_of(*names),))


EACH = [(name,) for name in FEATURES]
ROW = st.tuples(
    st.integers(0, 2),  # key
    st.integers(0, 900_000),  # ms after T0: more than twice the longest window
    st.one_of(st.integers(0, 200), st.integers(0, 2**40)),  # amount
    st.integers(0, 40),  # item: more than a tile of the top-k share keeps
)
ROWS = st.one_of(
    st.lists(ROW, min_size=1, max_size=50),
    st.lists(ROW, min_size=20, max_size=70).map(sorted),  # one key after another, in order of time
    st.lists(
        st.tuples(st.just(0), st.integers(0, 4_000), st.integers(0, 99), st.integers(0, 60)),
        min_size=60,
        max_size=120,
    ),
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


@pytest.mark.parametrize("names", EACH, ids="+".join)
@settings(max_examples=12, deadline=None)
@given(rows=ROWS, batch=st.integers(1, 60))
def test_the_fold_equals_the_definition_in_any_batches(names, rows, batch):
    assert_fold_equals_definition(entity_of(*names), rows, batch)


@pytest.mark.parametrize("names", [tuple(FEATURES), ("session", "decayed", "last_n")], ids="+".join)
@settings(max_examples=4, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=30), batch=st.integers(1, 30))
def test_parts_side_by_side_equal_the_definition_too(names, rows, batch):
    assert_fold_equals_definition(entity_of(*names), rows, batch)


def assert_fold_equals_definition(entity: Entity, rows: list[tuple[int, int, int, int]], batch: int) -> None:
    columns, state = payments(rows), EntityState(entity)
    told = [state.apply(take(columns, slice(i, i + batch)), Kind.SCORED) for i in range(0, len(rows), batch)]
    expected, late = by_definition(entity, columns, [Kind.SCORED] * len(rows))
    assert_same_bits(np.concatenate([t.values for t in told]), expected, entity.columns)
    assert np.concatenate([t.late for t in told]).tolist() == late


FEW = st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(0, 99), st.integers(0, 3))


@pytest.mark.parametrize(
    "names", [("delayed", "last_n", "session"), ("first", "lifetime"), ("decayed",)], ids="+".join
)
@settings(max_examples=12, deadline=None)
@given(rows=st.lists(FEW, min_size=1, max_size=30), batch=st.integers(1, 30))
def test_an_idle_key_begins_again_unless_a_lifetime_keeps_it(names, rows, batch):
    """A key without rows for a day and its longest window is forgotten, in a batch or between."""
    entity, columns = entity_of(*names), payments([(k, t * 3_600_000, a, i) for k, t, a, i in rows])
    state, oracle = EntityState(entity), PartitionOracle(entity)
    told = [state.apply(take(columns, slice(i, i + batch)), Kind.SCORED) for i in range(0, len(rows), batch)]
    expected = [oracle.row(Kind.SCORED, row) for row in rows_of(columns)]
    assert_same_bits(np.concatenate([t.values for t in told]), np.array(expected), entity.columns)
    assert "lifetime" not in names or len(state) == len({row[0] for row in rows})


NEARLY = {  # a declaration, and one that differs by the least thing
    "delay": ((Sum(), DELAYED[1]), (Sum(), replace(DELAYED[1], delay_ms=DELAYED[1].delay_ms + 20_000))),
    "gap": ((Count(), SESSIONS[0]), (Count(), replace(SESSIONS[0], length_ms=90_000))),
    "rows": ((Mean(), Window.last(3)), (Mean(), Window.last(4))),
    "first": ((First(), LONG), (First(), SHORT)),
    "lifetime": ((Count(), Window.lifetime()), (Count(), LONG)),
    "rank": ((Quantile(per_mille=500), LONG), (Quantile(per_mille=520), LONG)),
    "share": ((TopShare(k=1), LONG), (TopShare(k=2), LONG)),
    "half-life": ((DecayedSum(half_life_ms=60_000), None), (DecayedSum(half_life_ms=60_001), None)),
}  # fmt: skip


@pytest.mark.parametrize("name", NEARLY)
def test_a_planted_fault_is_told_apart(name):
    """The comparison with the definition is not blind: each pair gives other numbers on ordinary rows."""
    right, wrong = (entity_with(*declared) for declared in NEARLY[name])
    random = np.random.default_rng(5)
    drawn = random.integers(0, (900_000, 9_999, 9), (40, 3)).tolist()
    rows = sorted((0, time_ms, amount, item) for time_ms, amount, item in drawn)
    told = EntityState(right).apply(payments(rows), Kind.SCORED).values
    kinds = [Kind.SCORED] * len(rows)
    assert_same_bits(told, by_definition(right, payments(rows), kinds)[0], right.columns)
    with pytest.raises(AssertionError):
        assert_same_bits(told, by_definition(wrong, payments(rows), kinds)[0], right.columns)


def entity_with(aggregation: Aggregation, window: Window | None) -> Entity:
    steady = Feature(name="steady", aggregation=Count(), window=Window.of(hours=1))
    found = (Feature(name="f", aggregation=aggregation, window=window), steady)
    return Entity(name="e", join_key="customer_id", views=(view_with(found, item="terminal_id"),))


@pytest.mark.parametrize("names", EACH, ids="+".join)
@settings(max_examples=8, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 60))
def test_packing_and_loading_changes_nothing(names, rows, cut):
    entity, columns = entity_of(*names), payments(rows)
    expected = EntityState(entity).apply(columns, Kind.SCORED).values
    first, second = EntityState(entity), EntityState(entity)
    first.apply(payments([(0, 5, 1, 1), (1, 70_000, 2, 2)]), Kind.SCORED)  # what is there is replaced
    first = EntityState(entity)
    head = [first.apply(take(columns, slice(0, cut)), Kind.SCORED).values] if cut else []
    second.apply(payments([(k, 899_999, 7, 1) for k in range(3)]), Kind.SCORED)
    keys, blobs = first.take_dirty()
    second.load(keys, blobs)
    assert second.export(np.array(keys or [b"c9"])) == (blobs or [b""])
    known = np.isin(columns["customer_id"], keys)
    tail = np.flatnonzero(known & (np.arange(len(rows)) >= cut))
    rest = second.apply(take(columns, tail), Kind.SCORED).values if len(tail) else expected[:0]
    assert_same_bits(rest, expected[tail], entity.columns)
    assert_same_bits(np.concatenate([*head, expected[:0]]), expected[: cut if head else 0], entity.columns)


@pytest.mark.parametrize("names", EACH, ids="+".join)
@settings(max_examples=6, deadline=None)
@given(rows=ROWS, later=st.integers(-10_000, 1_500_000))
def test_answers_without_a_row_equal_the_definition_and_change_nothing(names, rows, later):
    entity, columns = entity_of(*names), payments(rows)
    state = EntityState(entity)
    state.apply(columns, Kind.SCORED)
    keys = np.unique(columns["customer_id"])
    packed = state.export(keys)
    now = np.full(len(keys), T0 + later)
    expected = []
    for key in keys.tolist():
        oracle = KeyOracle(entity)
        for i in np.flatnonzero(columns["customer_id"] == key):
            oracle.row(Kind.SCORED, {name: column[i].item() for name, column in columns.items()})
        expected.append(oracle.at(T0 + later))
    assert_same_bits(state.at(keys, now), np.array(expected), entity.columns)
    pending = payments([(0, max(later, 0), 77, 3)])
    peeked = state.peek(pending, Kind.SCORED).values
    assert state.export(keys) == packed
    assert_same_bits(peeked, state.apply(pending, Kind.SCORED).values, entity.columns)


FADING = ("since", "decayed")  # these change every millisecond


@pytest.mark.parametrize("names", EACH, ids="+".join)
@settings(max_examples=6, deadline=None)
@given(rows=ROWS, later=st.integers(0, 1_200_000))
def test_answers_hold_until_they_say(names, rows, later):
    """The same bits up to the moment told, and at some moment told another answer."""
    entity = entity_of(*names)
    state = EntityState(entity)
    state.apply(payments(rows), Kind.SCORED)
    keys, now = np.array([b"c0", b"c1", b"c2"]), np.full(3, T0 + later)
    until = state.valid_until_ms(keys, now)
    steady = np.array([not any(word in name for word in FADING) for name in entity.columns])
    held = np.where(until == np.iinfo(np.int64).max, now + 10**9, until - 1)
    assert (until > now).all()
    before, after = state.at(keys, now), state.at(keys, held)
    assert_same_bits(before[:, steady], after[:, steady], tuple(np.array(entity.columns)[steady]))
    assert_same_bits(np.isnan(before) + 0.0, np.isnan(after) + 0.0, entity.columns)


@pytest.mark.parametrize("names", [n for n in EACH if n[0] not in (*BEYOND_ORDER, "top_share")], ids="+".join)
@settings(max_examples=8, deadline=None)
@given(rows=st.lists(ROW, min_size=2, max_size=40), random=st.randoms())
def test_rows_in_any_order_leave_the_same(names, rows, random):
    """Ties of event time are the log's to order, so times are made different here."""
    rows = [(k, t * 64 + i, a, m) for i, (k, t, a, m) in enumerate(rows)]
    shuffled = list(rows)
    random.shuffle(shuffled)
    probe, entity = [(k, 64 * 900_000, 1, 9) for k in range(3)], entity_of(*names)
    answers = []
    for order in (rows, shuffled):
        state = EntityState(entity)
        state.apply(payments(order), Kind.SCORED)
        answers.append(state.apply(payments(probe), Kind.SCORED).values)
    assert_same_bits(*answers, entity.columns)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 239_999), st.integers(0, 99)),
        min_size=2,
        max_size=40,
        unique_by=lambda r: r[0],
    ),
    random=st.randoms(),
)
def test_sessions_in_any_order_are_the_same_while_four_are_enough(rows, random):
    """240 s hold at most four sessions that are a minute apart, all within the longest window."""
    gap, far = Window.session(minutes=1), Feature(name="far", aggregation=Count(), window=Window.of(hours=1))
    found = features((Count(), Sum(), First(), SinceFirst()), (gap,))
    entity = Entity(name="e", join_key="customer_id", views=(view_with((*found, far)),))
    shuffled = list(rows)
    random.shuffle(shuffled)
    now, answers = np.array([T0 + 240_000]), []
    for order in (rows, shuffled):
        state = EntityState(entity)
        state.apply(payments([(0, t, a, 0) for t, a in order]), Kind.SCORED)
        answers.append(state.at(np.array([b"c0"]), now))
    assert_same_bits(*answers, entity.columns)
    [running] = parts.split([{"ms": T0 + t, "value": a} for t, a in rows], gap.length_ms)[-1:]
    alive = T0 + 240_000 - running[-1]["ms"] <= gap.length_ms
    assert answers[0][0, 0] == (len(running) if alive else 0)


def view_with(found: tuple[Feature, ...], **more: object) -> View:
    return View(
        name="small", rows=Kind.SCORED, measure="amount_minor", time="event_time", features=found, **more
    )


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 19 * 60_000), st.integers(0, 2**40)), min_size=1, max_size=40),
    random=st.randoms(), later=st.integers(0, 60_000),
)  # fmt: skip
def test_the_decayed_sum_is_within_its_declared_error(rows, random, later):
    """Of the real sum to 1e-12 + n * 2^-52, and of another order of the log to n * 2^-51, relative."""
    half_life, n = 60_000, len(rows)
    entity = Entity(
        name="e", join_key="customer_id",
        views=(view_with(features((DecayedSum(half_life_ms=half_life),), (None,))),),
    )  # fmt: skip
    shuffled = list(rows)
    random.shuffle(shuffled)
    now = T0 + 19 * 60_000 + later
    answers = []
    for order in (rows, shuffled):
        state = EntityState(entity)
        state.apply(payments([(0, t, a, 0) for t, a in order]), Kind.SCORED)
        answers.append(float(state.at(np.array([b"c0"]), np.array([now]))[0, 0]))
    with localcontext() as context:
        context.prec = 60
        real = sum(
            (Decimal(a) * Decimal("0.5") ** (Decimal(now - T0 - t) / half_life) for t, a in rows), Decimal(0)
        )
        assert abs(Decimal(answers[0]) - real) <= real * (Decimal("1e-12") + n * Decimal(2) ** -52)
    assert abs(answers[0] - answers[1]) <= n * 2.0**-51 * answers[0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**62 - 1), min_size=1, max_size=60), st.integers(1, 1000))
def test_a_quantile_is_within_a_64th_of_the_true_one(values, per_mille):
    quantile = Quantile(per_mille=per_mille)
    state = None
    for value in values:
        state = quantile.update(state, value)
    true = sorted(values)[max(1, math.ceil(len(values) * per_mille / 1000)) - 1]
    told = quantile.finalise(state)
    assert told == parts.quantile(values, per_mille)
    assert abs(told - true) <= true / 64
    assert true >= 64 or told == true


@pytest.mark.parametrize("items", [20, 32, 200, 5000])
def test_a_top_share_is_within_its_declared_error(items):
    """Zipf's items in one tile: exact up to 32 of them, to k/32 beyond."""
    random, k = np.random.default_rng(3), 3
    drawn = np.minimum(random.zipf(1.3, 20_000), items)
    rows = [(0, 0, 1, int(i)) for i in drawn]
    entity = Entity(
        name="e", join_key="customer_id",
        views=(view_with(features((TopShare(k=k),), (SHORT,)), item="terminal_id"),),
    )  # fmt: skip
    told = EntityState(entity).apply(payments(rows), Kind.SCORED).values[-1, 0]
    true = np.sort(np.bincount(drawn))[-k:].sum() / len(drawn)
    assert told == true if items <= 32 else abs(told - true) <= k / 32


def test_state_stays_bounded_by_the_declarations_not_by_events():
    """Twenty thousand rows of a key, and of as many items, leave a bounded state in every part."""
    n = 20_000
    entity = entity_of(*FEATURES)
    state = EntityState(entity)
    sizes = []
    for begin in range(0, 2 * n, n):
        times = (begin + np.arange(n)) * 700
        state.apply(
            {
                "pos": np.arange(n), "customer_id": strings(["c0"] * n),
                "terminal_id": strings([f"m{i}" for i in range(n)]), "event_time": T0 + times,
                "amount_minor": np.arange(n) % 5000,
            },
            Kind.SCORED,
        )  # fmt: skip
        sizes.append((state.nbytes, len(state.take_dirty()[1][0])))
    assert sizes[1][0] == sizes[0][0]
    tiles = (
        sum(w.reach_ms // w.hop_ms + 3 for w in view_of(*FEATURES).windows if 0 < w.hop_ms < FOREVER_MS) + 2
    )
    assert max(size for _, size in sizes) // 8 <= 3000 + tiles * (11 + 7 + 3 * 32 + 3 * 1856 // 16)


def test_a_view_without_parts_is_the_tiles_own_state():
    """It costs and packs what the tiles do; one with a part is put together."""
    assert {type(view_state(v)) for e in ENTITIES for v in e.views} == {ViewState}
    assert type(view_state(view_with(HOUR + features(ENDS, (None,))))) is ViewState
    assert {type(view_state(view_of(name))) for name in FEATURES if name != "distinct"} == {ViewParts}


def test_columns_of_one_feature_stand_together():
    view = view_with((*features((LastK(k=3),), (None,))[:1], *HOUR))
    assert view.columns == ("last_3_1", "last_3_2", "last_3_3", "count_1m", "count_1m_before")


def test_a_lifetime_feature_keeps_its_keys_for_ever():
    assert entity_of("lifetime").lasting
    assert not entity_of("session", "decayed").lasting
    assert entity_of("session").longest_ms == 2 * 3 * 60_000
    assert entity_of("decayed").longest_ms == 20 * 60_000


REFUSED = {
    "E_FEATURE_WINDOW": [
        (Count(), None, {}), (LastK(k=2), SHORT, {}), (DecayedSum(half_life_ms=1000), LONG, {})
    ],
    "E_FEATURE_KIND": [
        (Distinct(), Window.lifetime(), {"item": "terminal_id", "items": "distinct"}), (Last(), SHORT, {}),
        (Quantile(per_mille=5), Window.last(3), {}), (Quantile(per_mille=5), Window.session(minutes=1), {}),
    ],
    "E_FEATURE_ITEM": [(TopShare(k=1), SHORT, {})],
    "E_FEATURE_REPLACE": [
        (Min(), SHORT, {"item": "transaction_id", "items": "replace"}),
        (Sum(), Window.lifetime(), {"item": "transaction_id", "items": "replace"}),
    ],
    "E_VIEW_HORIZON": [(LastK(k=2), None, {}), (Sum(), Window.last(5), {})],
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "case"), [(code, case) for code, cases in REFUSED.items() for case in cases]
)
def test_what_has_no_meaning_is_refused_with_a_code(code, case):
    aggregation, window, more = case
    with pytest.raises(ConfigError) as refused:
        view_with((Feature(name="f", aggregation=aggregation, window=window),), **more)
    assert refused.value.code == code


def test_numbers_out_of_range_are_refused_with_a_code():
    makers = {
        "E_WINDOW_ROWS": lambda: Window.last(0), "E_WINDOW_LENGTH": lambda: Window.session(),
        "E_WINDOW_DELAY": lambda: Window.lifetime().delayed(days=1), "E_AGGREGATION_K": lambda: LastK(k=65),
        "E_AGGREGATION_QUANTILE": lambda: Quantile(per_mille=0),
        "E_AGGREGATION_HALF_LIFE": lambda: DecayedSum(half_life_ms=0),
    }  # fmt: skip
    for code, make in makers.items():
        with pytest.raises(ConfigError) as refused:
            make()
        assert refused.value.code == code
    with pytest.raises(ConfigError) as refused:
        view_with((*HOUR, *HOUR))
    assert refused.value.code == "E_FEATURE_NAME"
