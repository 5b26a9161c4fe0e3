"""Laws of whole views: filters, sources, nulls, several measures and items equal the definition."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.frame import Columns, strings, take
from features.aggregations import (
    Aggregation,
    Count,
    DecayedSum,
    Distinct,
    First,
    FirstSeen,
    Last,
    LastK,
    Max,
    Mean,
    Min,
    Quantile,
    SameAsLast,
    SinceFirst,
    SinceLast,
    Std,
    Sum,
    TopShare,
)  # fmt: skip
from features.definition import Entity, EntitySource, Feature, View, Window
from features.expressions import Tree, Type, boolean, decimal, integer, parse, text_type
from features.finalise import Finaliser
from features.state import KEY, Applied, EntityState
from features.view_groups import groups_of
from load.chaos.collect import plain
from load.oracle.declared import entity as oracle_entity
from load.oracle.windows import PartitionOracle
from tests.properties.test_windows import assert_same_bits

T0 = 1_700_000_000_000
NULL = np.iinfo(np.int64).min
SHORT, LONG = Window.of(minutes=1, hop_ms=5_000), Window.of(minutes=4, hop_ms=20_000)
DELAYED, SESSION = SHORT.delayed(minutes=1), Window.session(minutes=1)
NEWEST, LIFETIME = Window.last(3), Window.lifetime()
TYPES: dict[str, Type] = {
    "sure": integer(0, 9_999), "maybe": integer(0, 9_999, nullable=True), "flag": boolean(nullable=True),
    "signed": integer(-9_999, 9_999), "price": decimal(2, -9_999, 9_999, nullable=True),
    "word": text_type(nullable=True), "name": text_type(), "number": integer(0, 9, nullable=True),
}  # fmt: skip
MEASURES, ITEMS = ("sure", "maybe", "flag", "signed", "price"), ("word", "name", "number", "word+number")
CONDITIONS = (
    "price < 0.5 or signed > 10", "not (price == -0.25)", "price + 1 != 1.5",
    "maybe > 50", "not flag", "word == 'w1' or maybe < 20", "word != 'w2'", "number in (1, 2)",
    "word is null", "not (maybe > 50 and word == 'w1')", "coalesce(maybe, 0) + sure >= 70", "flag",
)  # fmt: skip
OF_MEASURE: tuple[tuple[Aggregation, tuple[Window | None, ...]], ...] = (
    (Sum(), (SHORT, LONG, DELAYED, SESSION, NEWEST, LIFETIME)), (Mean(), (SHORT, LONG, LIFETIME)),
    (Std(), (SHORT, SESSION)), (Min(), (LONG, LIFETIME)), (Max(), (SHORT, DELAYED)), (First(), (SHORT,)),
    (Last(), (None, SESSION)), (LastK(k=2), (None,)), (Quantile(per_mille=500), (LONG,)),
    (DecayedSum(half_life_ms=9_000), (None,)),
)  # fmt: skip
OF_ITEM: tuple[tuple[Aggregation, tuple[Window | None, ...]], ...] = (
    (Distinct(), (SHORT, LONG)), (TopShare(k=1), (SHORT, LIFETIME)), (SameAsLast(), (None,)),
    (FirstSeen(), (SHORT, LONG, LIFETIME)),
)  # fmt: skip
SIGNED, NOT_SIGNED = ("signed", "price"), ("sure", "maybe", "flag")
OF_ROWS = (
    (Count(), (SHORT, LONG, SESSION, NEWEST, LIFETIME)),
    (SinceFirst(), (LONG,)),
    (SinceLast(), (None,)),
)
SOURCES = tuple(
    EntitySource(number=n, name=f"s{n}", time=f"at_{n}") for n in (1, 2, 3)
)  # nobody reads the third

Draw = Any


@st.composite
def feature(draw: Draw, number: int) -> Feature:
    kind = draw(st.sampled_from(("measure", "item", "rows", "condition")))
    pool = {"measure": OF_MEASURE, "item": OF_ITEM, "rows": OF_ROWS, "condition": ((Mean(), (SHORT, LONG)),)}
    aggregation, windows = draw(st.sampled_from(pool[kind]))
    measures = NOT_SIGNED if isinstance(aggregation, Quantile | DecayedSum) else MEASURES
    return Feature(
        name=f"f{number}", aggregation=aggregation, window=draw(st.sampled_from(windows)),
        current=isinstance(aggregation, Distinct) or (not aggregation.of_before and draw(st.booleans())),
        measure=draw(st.sampled_from(measures)) if kind == "measure" else "",
        item=draw(st.sampled_from(ITEMS)) if kind == "item" else "",
        condition=parse(draw(st.sampled_from(CONDITIONS))) if kind == "condition" else None,
    )  # fmt: skip


@st.composite
def view(draw: Draw, number: int) -> View:
    count = draw(st.integers(1, 5))
    steady = Feature(
        name=f"v{number}_steady", aggregation=Count(), window=draw(st.sampled_from((SHORT, LONG)))
    )
    found = [replace(draw(feature(i)), name=f"v{number}_{i}") for i in range(count)]
    where = draw(st.none() | st.sampled_from(CONDITIONS))
    return view_of((*found, steady), number=number, rows=draw(st.integers(1, 2)), where=where)


def view_of(found: tuple[Feature, ...], *, number: int = 0, rows: int = 1, where: str | None = None) -> View:
    return View(
        name=f"v{number}", rows=rows, source=f"s{rows}", where=parse(where) if where else None,
        time=f"at_{rows}", features=found, items="distinct", types=tuple(TYPES.items()),
    )  # fmt: skip


ROW = st.tuples(
    st.integers(1, 3), st.integers(0, 2), st.integers(0, 600_000), st.integers(0, 99),
    st.none() | st.integers(0, 99), st.none() | st.booleans(), st.none() | st.integers(0, 3),
    st.integers(0, 3), st.none() | st.integers(0, 3), st.integers(-99, 99), st.none() | st.integers(-99, 99),
)  # fmt: skip
ROWS = st.lists(ROW, min_size=1, max_size=40) | st.lists(ROW, min_size=10, max_size=60).map(
    lambda rows: sorted(rows, key=lambda row: row[2])
)


def whole(values: list[Any]) -> np.ndarray:
    return np.array([NULL if value is None else int(value) for value in values], np.int64)


def columns_of(rows: list[Any]) -> Columns:
    """Rows of one source as they are on the wire."""
    source, keys, times, sure, maybe, flag, word, name, number, signed, price = map(
        list, zip(*rows, strict=True)
    )
    return {
        "pos": np.arange(len(rows)), "key": strings([f"k{k}" for k in keys]),
        f"at_{source[0]}": T0 + np.array(times, np.int64), "sure": whole(sure), "maybe": whole(maybe),
        "flag": whole(flag), "word": strings(["" if w is None else f"w{w}" for w in word]),
        "name": strings([f"n{n}" for n in name]), "number": whole(number),
        "signed": whole(signed), "price": whole(price),
    }  # fmt: skip


def runs_of(rows: list[Any], most: int) -> list[list[Any]]:
    """Rows cut into batches of one source, of `most` rows at most."""
    runs: list[list[Any]] = []
    for row in rows:
        if not runs or runs[-1][0][0] != row[0] or len(runs[-1]) == most:
            runs.append([])
        runs[-1].append(row)
    return runs


def plain_rows(columns: Columns) -> list[dict[str, Any]]:
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*[column.tolist() for column in columns.values()], strict=True)
    ]


def entity_of(*views: View) -> Entity:
    return Entity(name="e", join_key="key", views=views, sources=SOURCES)


class Described:
    """A declaration as the oracle is given it: plain data, conditions as texts."""

    def __init__(self, entity: Entity) -> None:
        self.entities = [plain(entity)]


def oracle_of(entity: Entity) -> PartitionOracle:
    return PartitionOracle(oracle_entity(Described(entity), entity.name))


def by_definition(entity: Entity, rows: list[Any]) -> tuple[np.ndarray, list[bool], PartitionOracle]:
    oracle = oracle_of(entity)
    values, late = [], []
    for run in runs_of(rows, len(rows)):
        for row in plain_rows(columns_of(run)):
            values.append(oracle.row(run[0][0], row))
            late.append(oracle.keys[row["key"]].late)
    return np.array(values), late, oracle


def folded(state: EntityState, rows: list[Any], most: int) -> list[Applied]:
    return [state.apply(columns_of(run), run[0][0]) for run in runs_of(rows, most)]


ENTITIES = st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True).flatmap(
    lambda numbers: st.tuples(*(view(number) for number in numbers)).map(lambda views: entity_of(*views))
)


@settings(max_examples=80, deadline=None)
@given(ENTITIES, ROWS, st.integers(1, 40))
def test_any_views_equal_their_definition_in_any_batches(entity, rows, most):
    expected, late, _ = by_definition(entity, rows)
    told = folded(EntityState(entity), rows, most)
    assert_same_bits(np.concatenate([t.values for t in told]), expected, entity.columns)
    assert np.concatenate([t.late for t in told]).tolist() == late


@settings(max_examples=40, deadline=None)
@given(ENTITIES, ROWS, st.integers(0, 60), st.integers(-10_000, 900_000))
def test_packing_and_asking_without_a_row_equal_the_definition_and_change_nothing(entity, rows, cut, later):
    head, tail = rows[:cut], rows[cut:]
    first, second = EntityState(entity), EntityState(entity, forgets=False)
    folded(first, head, 7)
    second.load(*first.take_dirty())
    keys = np.array([b"k0", b"k1", b"k2"])
    assert second.export(keys) == first.export(keys)
    _, _, oracle = by_definition(entity, head) if head else (None, None, oracle_of(entity))
    known = [key for key in keys if key in oracle.keys]
    for state in (first, second):
        now = np.full(len(known), T0 + later)
        expected = [oracle.keys[key].at(T0 + later) for key in known]
        if known:
            assert_same_bits(state.at(np.array(known), now), np.array(expected), entity.columns)
    for row in tail[:3]:
        pending = columns_of([row])
        packed = first.export(keys)
        peeked = first.peek(pending, row[0]).values
        assert first.export(keys) == packed
        assert_same_bits(peeked, first.apply(pending, row[0]).values, entity.columns)


@settings(max_examples=30, deadline=None)
@given(ENTITIES, ROWS, st.integers(0, 900_000))
def test_answers_hold_until_they_say(entity, rows, later):
    state = EntityState(entity)
    folded(state, rows, 20)
    keys, now = np.array([b"k0", b"k1", b"k2"]), np.full(3, T0 + later)
    until = state.valid_until_ms(keys, now)
    held = np.where(until == np.iinfo(np.int64).max, now + 10**9, until - 1)
    assert (until > now).all()
    fading = [isinstance(f.aggregation, SinceFirst | SinceLast | DecayedSum) for v in entity.views
              for f in v.features for _ in f.columns]  # fmt: skip
    steady = ~np.array(fading)
    before, after = state.at(keys, now), state.at(keys, held)
    assert_same_bits(before[:, steady], after[:, steady], tuple(np.array(entity.columns)[steady]))


def of(aggregation: Aggregation, window: Window | None = SHORT, **more: Any) -> Feature:
    return Feature(name="f", aggregation=aggregation, window=window, **more)


STEADY = Feature(name="steady", aggregation=Count(), window=LONG)


def pair(right: Feature, wrong: Feature) -> tuple[View, View]:
    return view_of((right, STEADY)), view_of((wrong, STEADY))


def filtered(right: str | None, wrong: str | None) -> tuple[View, View]:
    return view_of((of(Sum(), measure="sure"), STEADY), where=right), view_of(
        (of(Sum(), measure="sure"), STEADY), where=wrong
    )


def tree(written: str) -> Tree:
    return parse(written)


NEARLY = {
    "no filter": filtered("maybe > 50", None),
    "a filter on null": filtered("maybe > 50", "maybe > 50 or maybe is null"),
    "not of null": filtered("not flag", "not flag or flag is null"),
    "another source": (view_of((of(Count()), STEADY)), view_of((of(Count()), STEADY), rows=2)),
    "another measure": pair(of(Sum(), measure="sure"), of(Sum(), measure="maybe")),
    "a truth value": pair(of(Sum(), measure="flag"), of(Mean(), measure="flag")),
    "rows for a measure": pair(of(Mean(), measure="maybe"), of(Mean(), condition=tree("maybe > 50"))),
    "nulls of a condition": pair(
        of(Mean(), condition=tree("flag")), of(Mean(), condition=tree("flag or flag is null"))
    ),
    "another item": pair(of(Distinct(), item="word"), of(Distinct(), item="name")),
    "a number as an item": pair(of(Distinct(), item="number"), of(Distinct(), item="word+number")),
    "a sign": pair(of(Sum(), measure="signed"), of(Sum(), measure="sure")),
    "squares of a sign": pair(of(Std(), measure="signed"), of(Std(), measure="sure")),
    "the least of a sign": pair(of(Min(), measure="signed"), of(Max(), measure="signed")),
    "a decimal": pair(of(Sum(), measure="price"), of(Mean(), measure="price")),
    "same as last": pair(
        of(SameAsLast(), None, item="word", current=False), of(SameAsLast(), None, item="name", current=False)
    ),
    "first seen": pair(
        of(FirstSeen(), item="word", current=False), of(FirstSeen(), LONG, item="word", current=False)
    ),
    "shares of items": pair(of(TopShare(k=1), item="word"), of(TopShare(k=1), item="number")),
    "the greatest": pair(of(Max(), measure="sure"), of(Last(), SESSION, measure="sure")),
    "the oldest": pair(of(First(), measure="sure"), of(Min(), measure="sure")),
    "the newest": pair(of(Last(), None, measure="sure"), of(Max(), LIFETIME, measure="sure")),
    "the newest two": pair(of(LastK(k=2), None, measure="sure"), of(LastK(k=2), None, measure="maybe")),
    "a quantile": pair(
        of(Quantile(per_mille=500), measure="sure"), of(Quantile(per_mille=510), measure="sure")
    ),
    "a half-life": pair(
        of(DecayedSum(half_life_ms=9_000), None, measure="sure"),
        of(DecayedSum(half_life_ms=9_001), None, measure="sure"),
    ),
    "since the oldest": pair(of(SinceFirst(), LONG), of(SinceFirst(), SHORT)),
    "since the newest": pair(of(SinceLast(), None, current=False), of(SinceLast(), None)),
    "the current row": pair(of(Sum(), measure="sure"), of(Sum(), measure="sure", current=False)),
    "a count of other rows": pair(of(Count(), NEWEST), of(Count(), LIFETIME)),
    "a session": pair(of(Sum(), SESSION, measure="sure"), of(Sum(), SHORT, measure="sure")),
    "a delay": pair(of(Sum(), DELAYED, measure="sure"), of(Sum(), SHORT, measure="sure")),
    "a lifetime": pair(of(Sum(), LIFETIME, measure="sure"), of(Sum(), LONG, measure="sure")),
    "a hop": pair(
        of(Sum(), measure="sure"), of(Sum(), Window.of(minutes=1, hop_ms=6_000), measure="sure")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NEARLY)
def test_a_planted_fault_is_told_apart(name):
    """The comparison with the definition is not blind: each pair gives other numbers on ordinary rows."""
    right, wrong = (entity_of(found) for found in NEARLY[name])
    random = np.random.default_rng(5)
    rows = [
        (int(s), 0, int(t), int(a), None if m < 30 else int(m), None if f == 2 else bool(f),
         None if w == 3 else int(w), int(n), None if i == 3 else int(i), g, None if p > 80 else p)
        for s, t, a, m, f, w, n, i, g, p in random.integers(
            (1, 0, 0, 0, 0, 0, 0, 0, -99, -99), (3, 300_000, 100, 100, 3, 4, 4, 4, 99, 99), (60, 10)
        ).tolist()
    ]  # fmt: skip
    rows.sort(key=lambda row: row[2])
    told = np.concatenate([t.values for t in folded(EntityState(right), rows, 60)])
    assert_same_bits(told, by_definition(right, rows)[0], right.columns)
    with pytest.raises(AssertionError):
        assert_same_bits(told, by_definition(wrong, rows)[0], right.columns)


def test_what_was_seen_first_is_exact_or_null_past_its_bound():
    """Three hundred items of a key: what was left out is null, not wrong; through packing as well."""
    entity = entity_of(
        view_of((
            of(FirstSeen(), LONG, item="name", current=False), STEADY,
            replace(of(FirstSeen(), LIFETIME, item="name", current=False), name="g"),
        ))
    )  # fmt: skip
    random = np.random.default_rng(3)
    times = np.sort(random.integers(0, 400_000, 900))
    items = random.integers(0, 300, 900)
    rows = [(1, 0, int(t), 0, 0, True, 0, int(i), 0, 0, 0) for t, i in zip(times, items, strict=True)]
    expected, _, _ = by_definition(entity, rows)
    state, told = EntityState(entity), []
    for begin in range(0, len(rows), 100):
        told.append(state.apply(columns_of(rows[begin : begin + 100]), 1).values)
        state, before = EntityState(entity, forgets=False), state
        state.load(*before.take_dirty())
    values = np.concatenate(told)
    assert_same_bits(values, expected, entity.columns)
    seen = [set(items[:at].tolist()) for at in range(900)]
    lifetime = values[:, entity.columns.index("g")]
    truth = np.array([float(item not in before) for item, before in zip(items.tolist(), seen, strict=True)])
    known = ~np.isnan(lifetime)
    assert (lifetime[known] == truth[known]).all()
    assert 0 < known.sum() < 900


LABEL = st.tuples(
    st.integers(0, 1),
    st.integers(0, 400_000),
    st.integers(0, 6),
    st.booleans(),
    st.none() | st.integers(-99, 99),
)  # key, time, which event, positive, a measure of the label's own


@settings(max_examples=60, deadline=None)
@given(st.lists(LABEL, min_size=1, max_size=40), st.integers(1, 20))
def test_labels_replace_one_another_in_each_measure(rows, most):
    """Counts, positives and a nullable measure of labels: each event once, with its newest value."""
    features = (
        of(Count(), LONG), replace(of(Sum(), SHORT, measure="positive"), name="p"),
        replace(of(Mean(), LONG, measure="price"), name="m"),
        replace(of(Sum(), SHORT, measure="price"), name="n"),
    )  # fmt: skip
    view = View(
        name="v", rows=1, source="s1", time="at_1", features=features, item="name", items="replace",
        types=tuple(TYPES.items()),
    )  # fmt: skip
    entity, state = entity_of(view), EntityState(entity_of(view))
    columns = {
        "pos": np.arange(len(rows)), "key": strings([f"k{row[0]}" for row in rows]),
        "at_1": T0 + np.array([row[1] for row in rows]), "name": strings([f"n{row[2]}" for row in rows]),
        "positive": np.array([row[3] for row in rows], np.uint8), "price": whole([row[4] for row in rows]),
    }  # fmt: skip
    oracle = oracle_of(entity)
    expected = [oracle.row(1, row) for row in plain_rows(columns)]
    told, kept = [], {}
    for begin in range(0, len(rows), most):
        told.append(state.apply(take(columns, slice(begin, begin + most)), 1).values)
        kept |= dict(zip(*state.take_dirty(), strict=True))
        state = EntityState(entity, forgets=False)
        state.load(list(kept), list(kept.values()))
    assert_same_bits(np.concatenate(told), np.array(expected), entity.columns)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=40))
def test_the_deviation_of_signed_values_is_the_written_formula(values):
    """Squares of 2^80 and totals under zero, in tiles, sessions and after packing."""
    found = [replace(of(Std(), w, measure="signed"), name=w.label) for w in (SHORT, SESSION, LIFETIME)]
    state = EntityState(entity_of(view_of((*found, STEADY))))
    rows = columns_of([(1, 0, 0, 0, 0, True, 0, 0, 0, value, 0) for value in values])
    told = state.apply(rows, 1).values[-1, :3].tolist()
    loaded = EntityState(state.entity, forgets=False)
    loaded.load(*state.take_dirty())
    asked = loaded.at(np.array([b"k0"]), np.array([T0]))[0, :3].tolist()
    expected, written = None, Std()
    for value in values:
        expected = written.update(expected, value)
    assert told == asked == [written.finalise(expected)] * 3


def test_a_view_of_one_measure_and_one_item_is_one_group():
    alone = view_of((of(Sum(), measure="sure"), replace(of(Distinct(), item="name"), name="g"), STEADY))
    assert len(groups_of(alone)) == 1
    nullable = view_of((of(Sum(), measure="maybe"), replace(of(Distinct(), item="word"), name="g"), STEADY))
    assert [group.of.column for group in groups_of(nullable)] == ["maybe", "", ""]


def test_keys_that_are_whole_numbers_are_their_digits():
    state = EntityState(entity_of(view_of((STEADY,))))
    rows = columns_of([(1, 0, 0, 1, 1, True, 1, 1, 1, 1, 1)] * 3) | {"key": np.array([12, -3, 12])}
    assert state.apply(rows, 1).values[:, 0].tolist() == [1, 1, 2]
    assert state.latest().keys == [b"12", b"-3"]


@settings(max_examples=30, deadline=None)
@given(ROWS, st.sampled_from(("key != 'k1'", "number == 1", None)))
def test_a_view_may_read_the_key_itself_also_where_the_key_stands_for_another_column(rows, where):
    """The key is an item and is in the filter; with `KEY` the join key's own column is still the field."""
    types = (*TYPES.items(), ("key", text_type()))
    found = (replace(of(Distinct(), item="key"), name="d"), replace(STEADY, name="n"))
    view = replace(view_of(found, where=where), types=types)
    entity = entity_of(view)
    rows = [(1, *row[1:]) for row in rows]
    expected, _, _ = by_definition(entity, rows)
    columns = columns_of(rows)
    assert_same_bits(EntityState(entity).apply(columns, 1).values, expected, entity.columns)
    other = {**columns, KEY: np.char.add(b"other-", columns["key"])}
    assert_same_bits(EntityState(entity).apply(other, 1).values, expected, entity.columns)


@settings(max_examples=20, deadline=None)
@given(ENTITIES, ROWS)
def test_a_pending_row_is_answered_as_the_stream_would(entity, rows):
    """From packed states, each row alone, as the HTTP API asks; nulls and filters as in the stream."""
    state, finaliser = EntityState(entity, forgets=False), Finaliser(entity)
    for row in rows:
        pending = columns_of([row])
        packed = state.export(pending["key"])
        asked = finaliser.with_pending(packed, pending, row[0])
        assert not asked.unreadable.any()
        assert_same_bits(asked.values, state.apply(pending, row[0]).values, entity.columns)


def test_a_state_takes_at_least_what_is_said_before_it_is_loaded():
    """Of a key with all the items that `first_seen` keeps, which packing hardly makes smaller."""
    entity = entity_of(view_of((of(FirstSeen(), LIFETIME, item="name", current=False), STEADY)))
    state, loaded = EntityState(entity), EntityState(entity)
    rows = [(1, key, i, 0, 0, True, 0, i, 0, 0, 0) for i in range(400) for key in range(30)]
    state.apply(columns_of(rows), 1)
    keys, packed = state.take_dirty()
    loaded.load(keys, packed)
    assert loaded.used_bytes >= loaded.loaded_bytes(len(keys), sum(map(len, packed)))
