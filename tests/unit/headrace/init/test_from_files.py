"""`headrace init --from`: files of strangers become projects that pass `check` and fold their records."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from contracts.frame import Columns, concat, length
from contracts.hashed_fields import HashKey, HashKeys
from contracts.raw import RawBatch
from contracts.verdict import judge
from features.project.running import RunningProject, running_project
from headrace.init.begin import begin_from
from headrace.init.infer import Inferred, infer
from headrace.init.write_project import project_files
from headrace.testing.running import run_written
from headrace.testing.suite import read_suite
from headrace.traffic.form import Form, forms_of
from headrace.traffic.input_files import Records
from headrace.traffic.workloads import Generator
from streams.stage.entity_stage import EntityStage
from tests.unit.headrace.init.samples import Sample, samples

SAMPLES = samples()
KEYS = HashKeys((HashKey(version=1, from_ms=0, secret=b"a secret of tests"),))
CERTAIN = 0.9  # a guess that says so may not be wrong


class Made(NamedTuple):
    """A file, what was guessed of it, its project's folder, and what `check` finds there."""

    sample: Sample
    found: Inferred
    folder: Path
    problems: list[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    folder = tmp_path_factory.mktemp("files")
    projects = {}
    for name, sample in SAMPLES.items():
        file = folder / sample.file
        file.write_bytes(sample.data)
        found = infer(file, label=sample.label)
        projects[name] = Made(sample, found, folder / name, begin_from(found, folder / name, name))
    return projects


def guesses(one: Made) -> list[tuple[str, object, object, float]]:
    """Return what was guessed of a file beside what is true, and how sure the guess says it is."""
    found, truth = one.found, one.sample.truth
    by_name = {guess.name: guess for guess in found.guesses}

    def each(role: str, true: frozenset[str]) -> list[tuple[str, object, object, float]]:
        said = {guess.name for guess in found.of(role)}
        return [
            (f"{role} {name}", name in said, name in true, by_name[name].sure) for name in sorted(said | true)
        ]

    return [
        ("time", found.time.name, truth.time, found.time.sure),
        ("id", found.id.name if found.id else "", truth.id, found.id.sure if found.id else 0.0),
        *each("key", truth.keys),
        *each("measure", truth.measures),
        *((f"personal {guess.name}", guess.personal, guess.name in truth.personal, 0.6)
          for guess in found.guesses if guess.personal or guess.name in truth.personal),
    ]  # fmt: skip


def test_most_guesses_are_right_and_no_wrong_one_says_it_is_certain(made: dict[str, Made]) -> None:
    table = [(name, *guess) for name, one in made.items() for guess in guesses(one)]
    wrong = [row for row in table if row[2] != row[3]]
    shown = "\n".join(f"{name}: {what}: {guessed!r}, truly {true!r}, sure {sure:.1f}"
                      for name, what, guessed, true, sure in wrong)  # fmt: skip
    print(f"{len(table) - len(wrong)} of {len(table)} guesses are right; wrong:\n{shown}")
    assert len(wrong) <= 0.1 * len(table), shown
    assert [row for row in wrong if row[4] >= CERTAIN] == [], shown


@pytest.mark.parametrize("name", SAMPLES)
def test_the_project_is_right_and_folds_every_record(made: dict[str, Made], name: str) -> None:
    one = made[name]
    assert one.problems == []
    project = running_project(one.folder)
    forms = forms_of(project.pipeline)
    records = Generator.of(one.folder).records(None, None, forms)
    values = folded(project, records)
    assert len(values) == one.found.rows
    first = project.entities[0]
    count = first.columns.index(next(name for name in first.columns if "_count_" in name))
    assert np.nanmax(values[:, count]) > 1, "windows hold the records before"


@pytest.mark.parametrize("name", SAMPLES)
def test_its_first_test_holds(made: dict[str, Made], name: str) -> None:
    project = running_project(made[name].folder)
    suite = read_suite(project)
    assert not suite.problems
    (test,) = suite.tests
    result = run_written(project, test)
    assert result.passed, (result.mismatches, result.failure)
    text = (project.folder / "tests" / "first.yaml").read_text()
    personal = [guess for guess in made[name].found.guesses if guess.personal]
    assert not [value for guess in personal for value in guess.values if f'"{value}"' in text]


def folded(project: RunningProject, records: dict[Form, Records]) -> np.ndarray:
    """Return the first entity's values (rows, features) of all scored records, by gate and stages alone."""
    good = {form.source.number: accepted(form, rows) for form, rows in records.items()}
    parts = sorted(
        ((number, {name: column[at : at + 50] for name, column in rows.items()})
         for number, rows in good.items() for at in range(0, length(rows), 50)),
        key=lambda part: int(part[1]["appended_ms"][0]),
    )  # fmt: skip
    first: list[Columns] = []
    for entity in project.entities:
        stage, at, outcomes = EntityStage(project.pipeline, entity, 0, 1), 0, []
        for number, rows in parts:
            places = np.arange(at, at + length(rows), dtype=np.int64) << 20
            at += length(rows)
            (outcome,) = stage.apply([(number, {**rows, "pos": places})]).outcomes
            assert not length(outcome.refused) if isinstance(outcome.refused, dict) else True
            outcomes.append((number, outcome.rows))
        parts = outcomes
        first = first or [rows for number, rows in outcomes if number == 1]
    values = concat(first)[f"{project.entities[0].name}_values"]
    return np.asarray(values).reshape(length(concat(first)), -1)


def accepted(form: Form, records: Records) -> Columns:
    """Return a source's records as columns; the gate refuses none."""
    sent = records.slice(0, len(records.moment_ms))
    dated = zip(records.moment_ms.tolist(), sent, strict=True)
    batch = [(0, at, moment, key, value, None) for at, (moment, (key, value)) in enumerate(dated)]
    verdict = judge(form.source, RawBatch.of(batch), KEYS)
    assert verdict.bad == [], verdict.bad[:3]
    return verdict.good


def test_each_guess_stands_beside_its_field_with_what_to_change(made: dict[str, Made]) -> None:
    for name, one in made.items():
        contract = (one.folder / "contracts" / f"{one.found.source}.yaml").read_text()
        fields = [line for line in contract.splitlines() if line.startswith("      - name: ")]
        marks = [line for line in contract.splitlines() if line.startswith("      # guess ")]
        assert len(fields) == len(marks) == len(one.found.guesses), name
        readme = (one.folder / "README.md").read_text()
        assert all(f"| `{guess.name}` |" in readme for guess in one.found.guesses)


def test_the_same_file_makes_the_same_project(made: dict[str, Made]) -> None:
    for name in ("german_orders", "card_table", "repositories"):
        one = made[name]
        again = project_files(infer(one.found.file, label=one.sample.label), name)
        assert again == {path: (one.folder / path).read_text() for path in again}


def test_a_label_is_a_source_of_its_own_and_no_field_of_the_record(made: dict[str, Made]) -> None:
    one = made["card_table"]
    project = running_project(one.folder)
    forms = forms_of(project.pipeline)
    records = {form.name: rows for form, rows in Generator.of(one.folder).records(None, None, forms).items()}
    assert list(records) == ["tx", "tx_labels"]
    assert not any(b"is_fraud" in value or b"label" in value for _, value in records["tx"].slice(0, 180))
    said = Counter(value.split(b'"label":"')[1][:1] for _, value in records["tx_labels"].slice(0, 180))
    assert said.keys() == {b"0", b"1"}
    assert set(records["tx_labels"].ids()) == set(records["tx"].ids())
    assert (records["tx_labels"].moment_ms > records["tx"].moment_ms[0]).all()
