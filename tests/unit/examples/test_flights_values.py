"""Every stored value of the flights' example, recomputed from the definition of the windows.

What features.py declares stands here a second time, as data for the oracle's slow windows: all rows kept,
nothing shared with the kernel.
"""

import math
import types
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest

from features.project.load import run_file
from features.project.running import project_at
from headrace.testing.passage import passed
from headrace.testing.written import WrittenRecord
from headrace.traffic.form import forms_of
from headrace.traffic.input_files import TableRecords
from load.oracle.declared import _thing
from load.oracle.windows import PartitionOracle
from streams.stage.entity_stage import EntityStage
from tests.projects.told import Asked, Typed, ViewOf, columns_of, told_view

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "flights"
SOURCES = {"schedules": (1, "event_time"), "arrivals": (2, "known_at"), "departures": (3, "event_time")}
TYPES = {"dep_delay_min": Typed("int", False)}
LATE = ("", "dep_delay_min > 15")


def out(entity: str, windows: str) -> ViewOf:
    return ViewOf(f"{entity}_out", entity, "departures", (
        Asked("count", f"{entity}_out_count", windows),
        Asked("mean", f"{entity}_out_delay_mean", windows, "dep_delay_min"),
        Asked("share", f"{entity}_out_late_share", windows, condition=LATE),
    ))  # fmt: skip


def came(entity: str, windows: str) -> ViewOf:
    return ViewOf(f"{entity}_in", entity, "arrivals", (
        Asked("count", f"{entity}_in_count", windows),
        Asked("mean", f"{entity}_in_delay_mean", windows, "arr_delay_min"),
        Asked("share", f"{entity}_in_late_share", windows),
    ))  # fmt: skip


VIEWS = (
    out("carrier", "1h 3h 24h"), came("carrier", "3h 24h 7d"),
    ViewOf("origin_due", "origin", "schedules",
           (Asked("count", "origin_due_count", "1h 3h 1h_delay_2h 3h_delay_2h"),)),
    out("origin", "1h 3h 24h"), came("origin", "3h 24h 7d"), out("dest", "3h 24h"), came("dest", "3h 24h 7d"),
    ViewOf("tail_schedules", "tail", "schedules", (
        Asked("count", "tail_schedules_count", "24h"),
        Asked("since_last", "tail_schedules_since_last_ms", "", before=True),
        Asked("distinct", "tail_schedules_dest_distinct", "24h", item="dest"),
    )),
    ViewOf("tail_out", "tail", "departures", (
        Asked("count", "tail_out_count", "6h 24h"),
        Asked("mean", "tail_out_delay_mean", "6h 24h", "dep_delay_min"),
        Asked("last", "tail_out_delay_last", "", "dep_delay_min", before=True),
        Asked("since_last", "tail_out_since_last_ms", "", before=True),
    )),
    ViewOf("tail_in", "tail", "arrivals", (
        Asked("count", "tail_in_count", "6h 24h"),
        Asked("mean", "tail_in_delay_mean", "3h 6h 24h 7d", "arr_delay_min"),
    )),
)  # fmt: skip
Row = dict[str, Any]


def told(entity: str) -> types.SimpleNamespace:
    """Return an entity as the oracle is told of it."""
    views = []
    for view in (view for view in VIEWS if view.entity == entity):
        number, time = SOURCES[view.source]
        ids = ("flight_id",) if view.source == "arrivals" else ()
        views.append(told_view(view, number, time, ids, TYPES))
    read = dict.fromkeys(["schedules", *(view.source for view in VIEWS if view.entity == entity)])
    sources = [{"number": SOURCES[name][0], "time": SOURCES[name][1]} for name in read]
    found: types.SimpleNamespace = _thing(
        {"name": entity, "join_key": "#key", "sources": sources, "views": views}
    )
    return found


def delivered() -> list[tuple[str, Row]]:
    """Return seeded flights of all sources in order of delivery, some of which come a second time."""
    generator = run_file(FOLDER / "generate.py")
    made: dict[str, pa.Table] = generator.generate(
        generator.Plan(seed=5, days=10, flights_a_day=24, aircraft=8, destinations=4, unassigned=0.1)
    )
    rows = [(row[SOURCES[name][1]], name, row) for name, table in made.items() for row in table.to_pylist()]
    rows.sort(key=lambda one: (one[0], SOURCES[one[1]][0]))
    return [(name, row) for _, name, row in rows]


def by_engine(rows: list[tuple[str, Row]]) -> dict[str, list[dict[str, float]]]:
    project = project_at(str(FOLDER))
    forms = forms_of(project.pipeline)
    records = [
        WrittenRecord(
            form=forms[name], value=TableRecords(pa.Table.from_pylist([row]), forms[name]).slice(0, 1)[0][1]
            or b"", document={}, key=b"k", delivered_ms=row[SOURCES[name][1]],
        )
        for name, row in rows
    ]  # fmt: skip
    through = passed(project, records)
    assert not through.refused
    found: dict[str, list[dict[str, float]]] = {}
    for entity in project.entities:
        values: list[dict[str, float]] = [{} for _ in rows]
        for kind, places in through.places.items():
            matrix = through.rows[kind].get(f"{entity.name}_values")
            if matrix is not None:
                for at, row in zip(places.tolist(), matrix.tolist(), strict=True):
                    values[at] = dict(zip(entity.columns, row, strict=True))
        found[entity.name] = values
    return found


def by_definition(rows: list[tuple[str, Row]], entity: str) -> list[dict[str, float]]:
    oracle, columns = PartitionOracle(told(entity)), [
        name for view in VIEWS if view.entity == entity for name in columns_of(view)
    ]  # fmt: skip
    found: list[dict[str, float]] = []
    for source, row in rows:
        if row[entity] is None:
            found.append(dict.fromkeys(columns, math.nan))
            continue
        texts = {name: value.encode() for name, value in row.items() if isinstance(value, str)}
        facts = {**row, **texts, "#key": row[entity], "positive": int(row.get("outcome") == "late")}
        if SOURCES[source][0] in {read.number for read in oracle.entity.sources}:
            found.append(dict(zip(columns, oracle.row(SOURCES[source][0], facts), strict=True)))
        else:
            found.append({})
    return found


def differences(rows: list[tuple[str, Row]]) -> list[str]:
    """Return where engine and definition say something else, bit for bit but for the kind of null."""
    wrong, engine = [], by_engine(rows)
    for entity, values in engine.items():
        for at, (one, other) in enumerate(zip(values, by_definition(rows, entity), strict=True)):
            assert not one or one.keys() == other.keys(), (entity, one.keys() ^ other.keys())
            wrong += [
                f"record {at}, {rows[at][0]}: {name} is {one[name]}, not {other[name]}"
                for name in one
                if one[name] != other[name] and not (math.isnan(one[name]) and math.isnan(other[name]))
            ]
    return wrong


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, Row]]:
    return delivered()


def test_every_value_is_that_of_the_definition(rows: list[tuple[str, Row]]) -> None:
    assert len(rows) > 500
    assert differences(rows) == []


def _all_have_it(_self: Any, _source: Any, _keys: Any) -> slice:
    return slice(None)


def test_a_planted_fault_is_found(rows: list[tuple[str, Row]]) -> None:
    """A flight without an aircraft is folded all the same."""
    with mock.patch.object(EntityStage, "_keyed", _all_have_it):
        assert differences(rows)
