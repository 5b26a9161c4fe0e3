"""A project's generator: by its path, its records by source, and every mistake of it told with its place."""

from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ConfigError
from features.project.running import running_project
from headrace.traffic.form import forms_of
from headrace.traffic.read_back import facts_of, truth_of
from headrace.traffic.workloads import Generator
from runtime.project_folder import INSTALLED

LOGINS = running_project(Path(__file__).resolve().parents[4] / "examples" / "logins")
FORMS = forms_of(LOGINS.pipeline)


def generator(folder: Path, text: str) -> Generator:
    (folder / "generate.py").write_text(text)
    return Generator.of(folder)


def test_the_logins_are_made_by_source_in_the_projects_order() -> None:
    made = Generator.of(LOGINS.folder).records("small", None, FORMS)
    assert [form.name for form in made] == ["logins", "takeovers", "resets"]
    logins, takeovers = made[FORMS["logins"]], made[FORMS["takeovers"]]
    assert (np.diff(logins.moment_ms) >= 0).all()
    facts = facts_of(FORMS["logins"], logins, LOGINS.event)
    assert np.array_equal(facts.event_ms, logins.moment_ms)
    assert facts.key.tolist() == [key for key, _ in logins.slice(0, len(facts.key))]
    truth = truth_of({FORMS["takeovers"]: takeovers}, LOGINS.event)
    assert set(truth.ids) <= set(logins.ids())
    assert 0 < truth.positive.sum() < len(truth.ids)


def test_fewer_events_are_fewer_accounts_over_the_same_weeks() -> None:
    whole = Generator.of(LOGINS.folder).records("small", None, FORMS)[FORMS["logins"]]
    few = Generator.of(LOGINS.folder).records("small", 3_000, FORMS)[FORMS["logins"]]
    assert 500 < len(few.moment_ms) < len(whole.moment_ms) / 2
    assert np.ptp(few.moment_ms) == pytest.approx(np.ptp(whole.moment_ms), rel=0.05)


def test_the_usual_workload_is_the_demos_else_the_first(tmp_path: Path) -> None:
    assert Generator.of(INSTALLED).chosen(None) == "demo"
    made = generator(tmp_path, "WORKLOADS = {'b': 1, 'a': 2}\ndef records(w, events=None): return {}\n")
    assert made.chosen(None) == "b"
    with pytest.raises(ConfigError, match=r"E_WORKLOAD_NAME.*choose one of b, a"):
        made.chosen("zzz")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("WORKLOADS = {}", "E_WORKLOAD_NONE"),
        ("def records(w, events): return {}", "E_WORKLOAD_NONE"),
        ("import nothing_of_this_name", "E_WORKLOAD_PYTHON"),
        ("WORKLOADS = {'a': 1}\n\ndef records(w, events):\n    return 1 / 0\n", "E_WORKLOAD_PYTHON"),
        ("WORKLOADS = {'a': 1}\ndef records(w, events): return [1]\n", "E_WORKLOAD_RECORDS"),
        ("WORKLOADS = {'a': 1}\ndef records(w, events): return {'logins': 5}\n", "E_WORKLOAD_RECORDS"),
        ("WORKLOADS = {'a': 1}\ndef records(w, events): return {'login': []}\n", "E_INPUT_SOURCE"),
        (
            "WORKLOADS = {'a': 1}\ndef records(w, events): return {'resets': ([{}, {}], [5, 4])}\n",
            "E_WORKLOAD_RECORDS",
        ),
    ],
)
def test_a_mistake_of_a_generator_is_told(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(ConfigError) as found:
        generator(tmp_path, text).records(None, None, FORMS)
    assert found.value.code == code
    if "1 / 0" in text:
        assert found.value.where == f"{tmp_path / 'generate.py'}:4"


def test_a_project_without_a_generator_is_told_to_give_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"E_WORKLOAD_NONE.*SOURCE=FILE"):
        Generator.of(tmp_path)
