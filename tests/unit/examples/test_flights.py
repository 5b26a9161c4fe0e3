"""The project `examples/flights`: its declarations are right, its generator keeps to its contracts."""

import doctest
import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from contracts.errors import ConfigError
from features.project.check import check_project
from features.project.load import run_file
from features.project.running import project_at
from headrace.testing.passage import passed
from headrace.testing.written import WrittenRecord
from headrace.traffic.form import forms_of
from headrace.traffic.input_files import Record, Records
from headrace.traffic.workloads import Generator

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "flights"
Tables = dict[str, pa.Table]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return run_file(FOLDER / "generate.py")


@pytest.fixture(scope="module")
def made(generator: ModuleType) -> Tables:
    tables: Tables = generator.generate(generator.WORKLOADS["small"])
    return tables


def test_the_project_is_right_and_all_of_it_is_run() -> None:
    project = check_project(FOLDER)
    assert project.problems == ()
    assert project.needs == ()
    assert project.declared is not None
    assert [entity.name for entity in project.declared.chain] == ["carrier", "origin", "dest", "tail"]


def test_every_record_keeps_to_its_contract_and_passes_every_stage(generator: ModuleType) -> None:
    project = project_at(str(FOLDER))
    forms = forms_of(project.pipeline)
    found = Generator.of(FOLDER).records("small", 300, forms)
    records = [
        (at_ms, WrittenRecord(form=form, value=value or b"", document={}, key=key, delivered_ms=at_ms))
        for form, rows in found.items()
        for at_ms, (key, value) in zip(rows.moment_ms.tolist(), all_of(rows), strict=True)
    ]
    through = passed(project, [record for _, record in sorted(records, key=lambda one: one[0])])
    assert through.refused == {}
    assert through.repeated == frozenset()
    assert {kind: len(places) for kind, places in through.places.items()}[1] == 300
    scored = through.rows[1]
    unassigned = scored["tail"] == b""
    assert unassigned.any()
    assert np.isnan(scored["tail_values"][unassigned]).all()
    assert not np.isnan(scored["origin_values"]).all()


def test_a_seed_makes_the_same_flights_again_and_another_seed_others(
    generator: ModuleType, made: Tables
) -> None:
    small = generator.WORKLOADS["small"]
    again = generator.generate(small)
    assert all(again[name].equals(made[name]) for name in made)
    other = generator.generate(generator.Plan(seed=small.seed + 1, days=2, flights_a_day=40, aircraft=20))
    assert not other["schedules"].equals(made["schedules"].slice(0, len(other["schedules"])))


def test_the_made_flights_are_of_the_form_of_the_real_ones(made: Tables) -> None:
    schedules, departures, arrivals = (made[name] for name in ("schedules", "departures", "arrivals"))
    assert schedules["tail"].null_count > 0
    assert departures["tail"].null_count == 0
    assert pc.min(departures["dep_delay_min"]).as_py() < 0 < pc.max(departures["dep_delay_min"]).as_py()
    never = set(schedules["flight_id"].to_pylist()) - set(arrivals["flight_id"].to_pylist())
    assert 0.01 < len(never) / len(schedules) < 0.1
    late = pc.mean(pc.equal(arrivals["outcome"], "late")).as_py()
    assert 0.1 < late < 0.4
    assert pc.all(pc.greater(arrivals["known_at"], arrivals["due_time"])).as_py()
    for table, time in ((schedules, "event_time"), (departures, "event_time"), (arrivals, "known_at")):
        assert (np.diff(table[time].to_numpy()) >= 0).all()


def test_an_aircraft_carries_its_delay_to_its_next_flight(made: Tables) -> None:
    """What the windows are to find is in the data: else the example would teach nothing."""
    rows = sorted(made["arrivals"].to_pylist(), key=lambda row: (row["tail"], row["due_time"]))
    pairs = [
        (before["arr_delay_min"], after["arr_delay_min"])
        for before, after in itertools.pairwise(rows)
        if before["tail"] == after["tail"] and after["due_time"] - before["due_time"] < 8 * 3_600_000
    ]
    first, second = np.array(pairs, float).T
    assert np.corrcoef(first, second)[0, 1] > 0.3


def test_the_real_flights_are_read_from_the_folder_that_is_named(
    generator: ModuleType, made: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLIGHTS_DATA", str(tmp_path))
    workload = generator.WORKLOADS["new_york"]
    with pytest.raises(ConfigError, match=r"E_INPUT_FILE.*FLIGHTS_DATA"):
        generator.records(workload)
    for name, table in made.items():
        pq.write_table(table.take(np.arange(len(table))[::-1]), tmp_path / f"{name}.parquet")
    found = generator.records(workload)
    assert all(sorted(found[name]["flight_id"].to_pylist()) == sorted(ids(made[name])) for name in made)
    assert (np.diff(found["arrivals"]["known_at"].to_numpy()) >= 0).all()
    fewer = generator.records(workload, 50)
    assert len(fewer["schedules"]) == 50
    assert set(ids(fewer["departures"])) <= set(ids(fewer["schedules"]))


def test_a_split_parts_every_source_at_one_moment_and_loses_nothing(
    generator: ModuleType, made: Tables
) -> None:
    before, after = (generator.split(made, 0.667)[part] for part in ("before", "after"))
    moment_ms = pc.min(after["schedules"]["event_time"]).as_py()
    for name, table in made.items():
        time = generator.COMES[name]
        assert pc.max(before[name][time]).as_py() < moment_ms <= pc.min(after[name][time]).as_py()
        assert ids(before[name]) + ids(after[name]) == ids(table)
    assert 0.6 < len(before["schedules"]) / len(made["schedules"]) <= 0.667
    assert set(ids(before["schedules"])) & set(ids(after["arrivals"]))  # known only afterwards


def all_of(rows: Records) -> list[Record]:
    return rows.slice(0, len(rows.moment_ms))


def ids(table: pa.Table) -> list[Any]:
    found: list[Any] = table["flight_id"].to_pylist()
    return found


def test_the_example_in_the_generator_runs() -> None:
    assert doctest.testmod(run_file(FOLDER / "generate.py")) == (0, 5)
