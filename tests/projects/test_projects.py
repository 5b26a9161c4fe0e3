"""Random projects and the logins' example: whatever is declared and strikes, the oracle says the same."""

import itertools
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from contracts import hashed_fields, keys
from contracts.pipeline import Pipeline
from features import row_reader, vector
from features.expressions import wire
from features.project.running import running_project
from inference.policy import rules
from streams.stage import entity_stage
from streams.stage.deduplication import Deduplication
from streams.stage.entity_stage import EntityStage
from tests.projects import __main__ as command
from tests.projects.drawn import draw
from tests.projects.logins import logins
from tests.projects.records import Records
from tests.projects.run import run, scene_of
from tests.projects.told import DAY
from tests.simulation.__main__ import report
from tests.simulation.published import Published
from tests.simulation.simulation import simulate

SEEDS_A_TEST = 10
SEARCH_MAX = 60


def check(seeds: range) -> None:
    wrong = {seed: outcome.wrong[:3] for seed in seeds if (outcome := run(seed)).wrong}
    assert not wrong, f"again: python -m tests.projects --seeds {min(wrong)}\n{wrong}"


@pytest.mark.parametrize("first", range(0, 200, SEEDS_A_TEST))
def test_a_drawn_project_is_what_its_files_say_whatever_strikes(first: int) -> None:
    check(range(first, first + SEEDS_A_TEST))


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 3000, 100))
def test_thousands_of_drawn_projects(first: int) -> None:
    check(range(first, first + 100))


def test_the_logins_example_under_crashes() -> None:
    scene = logins()
    failed = [outcome for seed in range(20) if (outcome := simulate(seed, scene=scene)).wrong]
    assert not failed, "\n\n".join(report(outcome) for outcome in failed[:3])


def test_what_is_drawn_has_everything_that_a_project_may_have() -> None:
    found: set[str] = set()
    for seed in range(200):
        drawn = draw(seed)
        roles = [source.role for source in drawn.sources]
        found |= {
            f"{len(drawn.chain)} entities",
            f"{roles.count('labels')} labels",
            f"{roles.count('context')} context",
        }
        found |= {"model" if drawn.model else "no model", f"id of {len(drawn.sources[0].ids)} fields"}
        found |= {"compound" for _, fields in drawn.chain if len(fields) > 1}
        found |= {"hashed" for source in drawn.sources for one in source.fields if one.hashed}
        found |= {
            "missing key"
            for source in drawn.sources
            for one in source.fields
            if one.kind == "text" and not one.required
        }
        found |= {asked.function for view in drawn.views for asked in view.asked}
        found |= {"filter" for view in drawn.views if view.where[1]}
        found |= {"rules"} if drawn.rules else set()
    missing = {
        *(f"{n} entities" for n in range(1, 6)), *(f"{n} labels" for n in range(3)),
        *(f"{n} context" for n in range(3)), "model", "no model", "id of 0 fields", "id of 1 fields",
        "id of 2 fields", "compound", "hashed", "missing key", "filter", "rules",
        "count", "sum", "mean", "std", "min", "max", "first", "last", "last_k", "quantile",
        "decayed_sum", "since_first", "since_last",
        "distinct", "top_share", "share", "same_as_last", "first_seen", "positives",
    } - found  # fmt: skip
    assert missing == set()


def _raw(rows: Any, schema: Any, names: Any) -> Any:
    return {name: rows[name] for name in names}


def _no_lengths(rows: Any, fields: tuple[str, ...]) -> Any:
    """Parts of a key side by side: one of two fields loses where the first ends."""
    parts = [keys._text(rows[name]) for name in fields if name in rows]
    return parts[0] if len(fields) == 1 and parts else np.zeros(len(next(iter(rows.values()))), "S1")


def _unkeyed(self: Any, texts: list[str], timestamps_ms: list[int]) -> list[str]:
    return list(texts)


def _all_have_it(_self: Any, _source: Any, _keys: Any) -> slice:
    return slice(None)


def _never_seen(self: Any, rows: Any, source: Any) -> Any:
    none = np.zeros(len(rows.ids), bool)
    return SEEN(self, rows, source)._replace(first=~none, repeat=none, conflict=none)


def _not_null(column: Any) -> Any:
    return np.zeros(len(column), bool)


def _last_category(self: Any, column: Any) -> Any:
    found = CODES(self, column)
    return np.where(found == 0.0, 1.0, found)


SEEN, CODES = Deduplication.check, vector.Categories.codes_of
FAULTS: dict[str, tuple[Any, str, Any]] = {
    "a null of the event reaches the model as the number it is written as": (vector, "columns_of_wire", _raw),
    "a null of the event is a value to a rule": (rules, "columns_of_wire", _raw),
    "a null is a value where rows are counted": (row_reader, "columns_of_wire", _raw),
    "nothing on the wire is ever null": (wire, "is_null", _not_null),
    "a key of several fields is missing": (entity_stage, "key_of", _no_lengths),
    "a personal key leaves as it is": (hashed_fields.HashKeys, "hashed", _unkeyed),
    "a row without a key is folded": (EntityStage, "_keyed", _all_have_it),
    "a repeated record counts again": (Deduplication, "check", _never_seen),
    "an unknown category is the first": (vector.Categories, "codes_of", _last_category),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_engine_is_found_by_some_project(fault: str) -> None:
    with mock.patch.object(*FAULTS[fault]):
        assert any(run(seed).wrong for seed in range(SEARCH_MAX)), "no project shows it"


class Often(Records):
    """Many records, most of which come again, some after their contract's horizon."""

    def records(self, count: int) -> list[Published]:
        return [
            self._again() if self.made and self.rng.random() < 0.6 else self._next() for _ in range(5 * count)
        ]

    def _again(self) -> Published:
        return self._publish(*self.rng.choice(self.made))


def often(seed: int) -> list[str]:
    """Return what is wrong with a run of a project whose contracts name short horizons."""
    drawn = draw(seed)
    with tempfile.TemporaryDirectory() as folder:
        project = running_project(drawn.write(Path(folder) / drawn.name))
        scene = scene_of(drawn, project)
        often = replace(scene, producers=lambda rng, partitions: Often(drawn.sources, rng, partitions))
        return simulate(seed, scene=often).wrong


def is_hasty(seed: int) -> bool:
    """Return whether a project forgets the ids of scored records within hours; by keys that are many."""
    drawn = draw(seed)
    scored, (_, first) = drawn.sources[0], drawn.chain[0]
    return bool(scored.ids) and 0 < scored.deduplicate_ms < DAY and first[0] in ("account", "device")


def test_ids_are_forgotten_when_the_contract_says_and_a_stage_that_does_not_is_found() -> None:
    seeds = list(itertools.islice(filter(is_hasty, itertools.count()), 5))
    assert not [seed for seed in seeds if often(seed)]
    with mock.patch.object(Pipeline, "horizons_ms", {}):
        assert any(often(seed) for seed in seeds)


def test_results_are_kept_and_taken_up_again(tmp_path: Path) -> None:
    def told(seed: int) -> dict[str, Any]:
        return {
            "seed": seed,
            "wrong": ["it"] * (seed == 1),
            "steps": 1,
            "published": 2,
            "cpu_s": 0.5,
            "struck": {"crash": 1},
        }

    first = command.Lines(str(tmp_path))
    for seed in (0, 1):
        first.add(told(seed))
    again = command.Lines(str(tmp_path))
    assert sorted(again.told) == [0, 1]
    assert (again.summary()["failed"], again.summary()["failing"], again.summary()["struck"]) == (
        1,
        [1],
        {"crash": 2},
    )
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["seeds"] == 2
