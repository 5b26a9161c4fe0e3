"""Any project that is declared: from its text to its values, against the definition of what was written.

What is asked for is drawn as data, once; it is written as declarations, which are compiled and run, and it is
given to the oracle, which knows no compiler.
"""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Columns, strings
from features import declare
from features.declare import DeclaredView, Entity, Project, Source
from features.definition import Window
from features.expressions import parse
from features.expressions.build import Expression
from features.project.compile import compile_project
from features.project.durations import windows_of
from features.state import EntityState
from load.oracle.windows import PartitionOracle
from tests.properties.test_windows import assert_same_bits

T0, MINUTE = 1_700_000_000_000, 60_000
NULL = np.iinfo(np.int64).min
FIELDS = """\
      - {name: at, logicalType: timestamp, required: true}
      - {name: account_id, logicalType: string, required: true}
      - {name: outcome, logicalType: string, required: true, enum: [{value: bad}, {value: good}]}
      - {name: shop, logicalType: string}
      - {name: tries, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0, maximum: 999}}
      - {name: balance, logicalType: integer, logicalTypeOptions: {minimum: -999, maximum: 999}}
      - {name: price, logicalType: number, physicalType: "decimal(4, 2)"}
      - {name: trusted, logicalType: boolean}
"""
CONTRACT = (
    """\
apiVersion: v3.1.0
kind: DataContract
id: NAME
version: "1.0.0"
customProperties:
  - {property: eventTime, value: at}
  - {property: knownAt, value: at}
schema:
  - name: Record
    physicalName: NAME
    properties:
      - {name: id, logicalType: string, required: true, primaryKey: true}
"""
    + FIELDS
)
NAMES = ("orders", "visits", "outcomes")
KINDS = {
    "account_id": ("text", False), "outcome": ("text", False), "shop": ("text", True),
    "tries": ("int", False), "balance": ("int", True), "price": ("decimal", True), "trusted": ("bool", True),
    "at": ("time", False),
}  # fmt: skip
WINDOWED = ("10m 1h", "2h lifetime", "session_30m", "1h_delay_1h", "last_3 1h")
TILED, OF_TILES = ("10m 1h", "1h lifetime"), ("quantile", "top_share", "first_seen")
MEASURES, ITEMS = ("tries", "balance", "price", "trusted"), ("shop", "outcome", "tries", "price", "trusted")
CONDITIONS = (
    "tries > 500", "shop == 's1'", "not (balance < 0)", "price >= 0.5 or trusted", "outcome in ('bad',)",
    "shop is null", "trusted and not (shop != 's2')", "hour(at) >= 4", "balance + tries > 200", "true",
)  # fmt: skip
LABELLED = ("count", "positives", "share", "sum", "mean")

# what is asked for -> how it is written, and the definition's name of it
OF_MEASURE = {
    "sum": "Sum", "mean": "Mean", "std": "Std", "min": "Min", "max": "Max", "first": "First", "last": "Last",
}  # fmt: skip


@st.composite
def asked(draw: Any, labels: bool) -> dict[str, Any]:
    """One aggregation as data."""
    functions = (
        LABELLED if labels else
        ("count", *OF_MEASURE, "last_k", "quantile", "decayed_sum", "since_first", "since_last", "distinct",
         "top_share", "share", "same_as_last", "first_seen")
    )  # fmt: skip
    function = draw(st.sampled_from(functions))
    signed = function not in ("quantile", "decayed_sum")
    windows = draw(st.sampled_from(TILED if function in OF_TILES else WINDOWED))
    if function in ("distinct", *LABELLED) and (labels or function == "distinct"):
        windows = "10m 1h 2h"
    if function == "last":
        windows = draw(st.sampled_from(("", "session_30m")))
    if function == "first":
        windows = draw(st.sampled_from(("1h", "lifetime")))
    return {
        "function": function,
        "field": draw(st.sampled_from(MEASURES if signed else ("tries", "trusted"))),
        "item": draw(st.sampled_from(ITEMS)), "windows": windows, "before": draw(st.booleans()),
        "condition": draw(st.sampled_from(CONDITIONS)),
    }  # fmt: skip


@st.composite
def view(draw: Any) -> dict[str, Any]:
    source = draw(st.integers(0, 2))
    found = draw(st.lists(asked(labels=source == 2), min_size=1, max_size=4))
    where = draw(st.none() | st.sampled_from(CONDITIONS))
    return {"source": source, "asked": [*found, one("count")], "where": where}


def one(function: str, **more: Any) -> dict[str, Any]:
    plain = {"windows": "1h", "before": False, "field": "", "item": "", "condition": ""}
    return {"function": function, **plain, **more}


def written(given: dict[str, Any], name: str, labels: bool) -> declare.Aggregate:
    """The declaration of what is asked for."""
    field, item, windows, before = given["field"], given["item"], given["windows"], given["before"]
    condition = Expression(parse(given["condition"])) if given["condition"] and not labels else None
    match given["function"]:
        case "count":
            return declare.count(windows, name=name, before=before)
        case "last":
            return declare.last_of(field, windows, name=name, before=before)
        case "last_k":
            return declare.last_values(field, 2, name=name, before=before)
        case "quantile":
            return declare.quantile_of(field, 500, windows, name=name, before=before)
        case "decayed_sum":
            return declare.decayed_sum(field, "10m", name=name, before=before)
        case "since_first":
            return declare.since_first(windows, name=name, before=before)
        case "since_last":
            return declare.since_last(name=name, before=before)
        case "distinct":
            return declare.distinct(item, windows, name=name)
        case "top_share":
            return declare.top_share(item, 1, windows, name=name, before=before)
        case "share":
            return declare.share(windows, condition, name=name, before=before)
        case "positives":
            return declare.positives(windows, name=name)
        case "same_as_last":
            return declare.same_as_last(item, name=name)
        case "first_seen":
            return declare.first_seen(item, windows, name=name)
    make = getattr(declare, f"{given['function']}_of")
    made: declare.Aggregate = make(field, windows, name=name, before=before)
    return made


def thing(name: str, **more: Any) -> Any:
    return type(name, (SimpleNamespace,), {})(**more)


def described(given: dict[str, Any], labels: bool) -> list[Any]:
    """What the definition is told of it: one feature a window."""
    function, field, item, condition = given["function"], "", "", None
    name, more = OF_MEASURE.get(function, ""), {}
    if function in OF_MEASURE:
        field = given["field"]
    match function:
        case "count" | "since_first" | "since_last":
            name = {"count": "Count", "since_first": "SinceFirst", "since_last": "SinceLast"}[function]
        case "last_k":
            name, field, more = "LastK", given["field"], {"width": 2}
        case "quantile":
            name, field, more = "Quantile", given["field"], {"per_mille": 500}
        case "decayed_sum":
            name, field, more = "DecayedSum", given["field"], {"half_life_ms": 10 * MINUTE}
        case "distinct" | "top_share" | "same_as_last" | "first_seen":
            name = {"distinct": "Distinct", "top_share": "TopShare"}.get(function, "")
            name = name or {"same_as_last": "SameAsLast", "first_seen": "FirstSeen"}[function]
            item, more = given["item"], {"k": 1} if function == "top_share" else {}
        case "positives":
            name, field = "Sum", "positive"
        case "share":
            name, field, condition = (
                ("Mean", "positive", None) if labels else ("Mean", "", given["condition"])
            )
    whole = function in ("since_last", "last_k", "decayed_sum", "same_as_last")
    windows: tuple[Window | None, ...] = (None,) if whole else windows_of(given["windows"]) or (None,)
    compared = function in ("same_as_last", "first_seen")
    current = not compared and (function in ("distinct", "positives") or not given["before"])
    return [
        SimpleNamespace(
            aggregation=thing(name, **more), window=window, current=current, measure=field, item=item,
            condition=condition,
        )
        for window in windows
    ]  # fmt: skip


def types() -> list[tuple[str, Any]]:
    return [
        (name, SimpleNamespace(kind=kind, nullable=null, scale=2 if kind == "decimal" else 0))
        for name, (kind, null) in KINDS.items()
    ]


def definition_of(views: list[dict[str, Any]], numbers: dict[str, int]) -> Any:
    """The entity as the oracle is told of it, from what was drawn."""
    told = []
    for drawn in views:
        labels = drawn["source"] == 2
        told.append(SimpleNamespace(
            rows=numbers[NAMES[drawn["source"]]], time="at", where=drawn["where"], measure="",
            item="id" if labels else "", items="replace" if labels else "none", types=types(),
            features=[f for each in drawn["asked"] for f in described(each, labels)],
        ))  # fmt: skip
    return SimpleNamespace(
        name="account", join_key="account_id", views=told,
        sources=[SimpleNamespace(number=number, time="at") for number in numbers.values()],
    )  # fmt: skip


def declared_of(views: list[dict[str, Any]]) -> Project:
    orders = Source("contracts/orders.yaml")
    sources = (
        orders, Source("contracts/visits.yaml"),
        Source("contracts/outcomes.yaml", labels=orders, positive=Expression(parse("outcome == 'bad'"))),
    )  # fmt: skip
    account = Entity("account_id")
    made: list[DeclaredView] = []
    for number, drawn in enumerate(views):
        where = None if drawn["where"] is None else Expression(parse(drawn["where"]))
        asked = [written(one, f"v{number}_{i}", drawn["source"] == 2) for i, one in enumerate(drawn["asked"])]
        made.append(declare.view(
            account, sources[drawn["source"]], asked, where=where, name=f"v{number}", rows_max=1_000
        ))  # fmt: skip
    return Project("shop", scored=orders, chain=[account], views=made)


ROW = st.tuples(
    st.integers(0, 2), st.integers(0, 1), st.integers(0, 6 * 60), st.integers(0, 5), st.booleans(),
    st.none() | st.integers(1, 4), st.integers(0, 999), st.none() | st.integers(-999, 999),
    st.none() | st.integers(-9_999, 9_999), st.none() | st.booleans(),
)  # source, key, minutes, id, bad, shop, tries, balance, price, trusted  # fmt: skip


def row_of(row: Any) -> Columns:
    """A row as it is on the wire."""
    source, key, minutes, event, bad, shop, tries, balance, price, trusted = row
    numbers = {"tries": tries, "balance": balance, "price": price, "trusted": trusted}
    wire = {name: np.array([NULL if v is None else int(v)], np.int64) for name, v in numbers.items()}
    wire |= {"positive": np.array([bad], np.uint8)} if source == 2 else {}
    return {
        "pos": np.zeros(1, np.int64), "account_id": strings([f"a{key}"]), "id": strings([f"e{event}"]),
        "at": np.array([T0 + minutes * MINUTE]), "outcome": strings(["bad" if bad else "good"]),
        "shop": strings(["" if shop is None else f"s{shop}"]), **wire,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("shop")
    (found / "contracts").mkdir()
    for name in NAMES:
        (found / "contracts" / f"{name}.yaml").write_text(CONTRACT.replace("NAME", name))
    return found


def both(
    folder: Path, views: list[Any], told: list[Any], rows: list[Any]
) -> tuple[Any, Any, tuple[str, ...]]:
    """What a project of these views answers to rows, what the definition of `told` does, and the columns."""
    declared = declared_of(views)
    project = compile_project(folder, declared)
    assert project.problems == ()
    assert project.needs == ()
    [entity] = project.engine_entities
    numbers = {source.name: number for number, source in enumerate(declared.sources, 1)}
    asked_of = {"orders", *(NAMES[drawn["source"]] for drawn in views)}
    assert {source.name: source.number for source in entity.sources} == {
        name: number for name, number in numbers.items() if name in asked_of
    }
    oracle, state = PartitionOracle(definition_of(told, numbers)), EntityState(entity)
    values, expected = [np.empty((0, len(entity.columns)))], []
    for row in rows:
        if NAMES[row[0]] in asked_of:
            columns, number = row_of(row), numbers[NAMES[row[0]]]
            values.append(state.apply(columns, number).values)
            expected.append(oracle.row(number, {name: value[0].item() for name, value in columns.items()}))
    return np.concatenate(values), np.array(expected).reshape(-1, len(entity.columns)), entity.columns


@settings(max_examples=200, deadline=None)
@given(st.lists(view(), min_size=1, max_size=3), st.lists(ROW, min_size=1, max_size=30), st.booleans())
def test_a_project_runs_as_it_was_written(folder, views, rows, in_order):
    rows = sorted(rows, key=lambda row: row[2]) if in_order else rows
    assert_same_bits(*both(folder, views, views, rows))


OTHERWISE = {  # a view, and one that the definition is told of in its place
    "no filter": ({"where": "tries > 500"}, {"where": None}),
    "null passes": ({"where": "not (balance < 0)"}, {"where": "not (balance < 0) or balance is null"}),
    "another source": ({"source": 0}, {"source": 1}),
    "the current row": (
        {"asked": [one("sum", field="tries", before=True)]}, {"asked": [one("sum", field="tries")]}
    ),
    "a sign": ({"asked": [one("min", field="balance")]}, {"asked": [one("max", field="balance")]}),
    "squares": ({"asked": [one("std", field="balance")]}, {"asked": [one("std", field="tries")]}),
    "a scale": ({"asked": [one("mean", field="price")]}, {"asked": [one("mean", field="balance")]}),
    "truth": ({"asked": [one("mean", field="trusted")]}, {"asked": [one("share", condition="trusted")]}),
    "null of a condition": (
        {"asked": [one("share", condition="shop != 's1'")]},
        {"asked": [one("share", condition="shop != 's1' or shop is null")]},
    ),
    "an item": ({"asked": [one("distinct", item="shop")]}, {"asked": [one("distinct", item="outcome")]}),
    "a number's item": (
        {"asked": [one("distinct", item="price")]}, {"asked": [one("distinct", item="tries")]}
    ),
    "the last item": (
        {"asked": [one("same_as_last", item="shop"), one("count")]},
        {"asked": [one("same_as_last", item="outcome"), one("count")]},
    ),
    "the window": (
        {"asked": [one("first_seen", item="shop")]},
        {"asked": [one("first_seen", item="shop", windows="10m")]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_is_planted_otherwise_is_told_apart(folder, name):
    """The comparison is not blind: what is written a little otherwise answers otherwise on ordinary rows."""
    plain = {"source": 0, "where": None, "asked": [one("count")]}
    random, rows = np.random.default_rng(7), []
    for _ in range(80):
        source, key, minutes, event, bad, shop, tries, balance, price, trusted = random.integers(
            (0, 0, 0, 0, 0, 0, 0, -999, -9_999, 0), (2, 2, 300, 6, 2, 5, 1_000, 1_000, 10_000, 3)
        ).tolist()
        rows.append((
            source, key, minutes, event, bool(bad), shop or None, tries, balance if tries % 4 else None,
            price if tries % 5 else None, (None, True, False)[trusted],
        ))  # fmt: skip
    rows.sort(key=lambda row: row[2])
    steady = {**plain, "source": 1}  # so that rows of both sources come in each case
    written_so, told_so = ([{**plain, **change}, steady] for change in OTHERWISE[name])
    told_steady = {**steady, "source": 0} if name == "another source" else steady
    assert_same_bits(*both(folder, written_so, written_so, rows))
    with pytest.raises(AssertionError):
        assert_same_bits(*both(folder, written_so, [told_so[0], told_steady], rows))


def test_a_decimal_is_served_in_its_own_unit(folder):
    drawn = {"source": 0, "where": None, "asked": [one("sum", field="price")]}
    [entity] = compile_project(folder, declared_of([drawn])).engine_entities
    row = (0, 0, 0, 0, False, None, 0, None, -1_025, None)
    assert EntityState(entity).apply(row_of(row), 1).values.tolist() == [[float(Fraction(-1_025, 100))]]
