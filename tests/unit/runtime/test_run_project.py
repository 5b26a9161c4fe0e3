"""A run is of one project in one form; commands find the project by name, place or run."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from contracts.errors import ConfigError, StateError
from headrace.__main__ import cli
from headrace.run_project import adopt_project, own_run
from runtime import environment
from runtime.project_folder import ENVIRONMENT, INSTALLED, project_folder
from runtime.run import Run
from runtime.run_project import FILE, RunProject, admit, note_project, project_of_run
from tests.project_maker import write_project

SHOP = RunProject(name="shop", folder="/srv/shop", parts={"entity user": "1", "contract of orders": "2"})


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root folder of its own, and nobody's choice of run or project."""
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    for name in (ENVIRONMENT, "HEADRACE_RUN"):
        monkeypatch.setenv(name, "")  # so that what a command puts there is taken away again
        monkeypatch.delenv(name)
    return tmp_path


def test_the_first_worker_says_whose_run_it_is_and_the_same_project_is_let_in_again(tmp_path: Path) -> None:
    admit(tmp_path, SHOP)
    admit(tmp_path, SHOP)
    assert project_of_run(tmp_path) == SHOP


def test_another_project_is_refused(tmp_path: Path) -> None:
    admit(tmp_path, SHOP)
    with pytest.raises(ConfigError, match=r"E_RUN_PROJECT.*of the project shop, this is bank"):
        admit(tmp_path, RunProject(name="bank", folder="/srv/bank", parts=SHOP.parts))


def test_a_changed_project_is_refused_with_what_changed_until_it_is_adopted(tmp_path: Path) -> None:
    changed = RunProject(name="shop", folder="/srv/shop", parts={"entity user": "3", "model buy": "4"})
    admit(tmp_path, SHOP)
    with pytest.raises(StateError) as caught:
        admit(tmp_path, changed)
    assert caught.value.code == "E_PROJECT_CHANGED"
    assert caught.value.what.endswith("entity user is another, contract of orders is gone, model buy is new")
    note_project(tmp_path, changed)
    admit(tmp_path, changed)


def test_a_damaged_note_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ConfigError, match="E_RUN_FILE"):
        admit(tmp_path, SHOP)


def test_a_command_works_on_the_project_that_is_named_then_here_then_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, here = tmp_path / "named", tmp_path / "here"
    for folder in (named, here):
        write_project(folder)
    run = Run.create(tmp_path, "trial")
    assert project_folder() == INSTALLED
    assert chosen(monkeypatch) is None
    note_project(run.home, RunProject(name="named", folder=str(named), parts={}))
    assert chosen(monkeypatch) == str(named)
    monkeypatch.chdir(here)
    assert chosen(monkeypatch) == str(here)
    assert chosen(monkeypatch, "--project", str(named)) == str(named)
    monkeypatch.setenv(ENVIRONMENT, str(named))
    assert CliRunner().invoke(cli, ["check"]).output.startswith("logins:")


def chosen(monkeypatch: pytest.MonkeyPatch, *words: str) -> str | None:
    """Return the folder that a command's processes are given."""
    import os

    monkeypatch.delenv(ENVIRONMENT, raising=False)
    CliRunner().invoke(cli, [*words, "code", "E_RUN_PROJECT"])
    found = os.environ.get(ENVIRONMENT)
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    return found


def test_a_folder_without_a_project_is_refused_by_every_command(tmp_path: Path) -> None:
    answer = CliRunner().invoke(cli, ["--project", str(tmp_path), "topics", "check"])
    assert isinstance(answer.exception, SystemExit)
    assert "E_PROJECT_FOLDER" in answer.output


def test_the_current_run_is_one_of_the_project_that_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, older, newer = (Run.create(tmp_path, name) for name in ("bank", "older", "newer"))
    note_project(bank.home, SHOP)
    for run in (older, newer):
        note_project(run.home, RunProject(name="other", folder=str(tmp_path / "other"), parts={}))
    assert environment.current_run() == bank
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "other"))
    assert environment.current_run() in (older, newer)
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "third"))
    with pytest.raises(ConfigError, match="E_RUN_NONE"):
        environment.current_run()


def test_the_installed_project_has_the_run_called_main_and_a_change_is_adopted_by_a_command(
    tmp_path: Path,
) -> None:
    run = own_run(tmp_path)
    assert (run.name, run.topic_prefix, run.project) == ("main", "", "headrace")
    assert adopt_project(run) == []
    now = project_of_run(run.home)
    assert now is not None
    note_project(run.home, RunProject(name=now.name, folder=now.folder, parts={**now.parts, "chain": "x"}))
    assert CliRunner().invoke(cli, ["runs", "adopt"]).output.splitlines()[-1] == "chain is another"
    assert project_of_run(run.home) == now
    assert {"chain", "entity customer", "contract of labels"} <= set(now.parts)


def test_a_new_run_has_the_partitions_that_are_asked_for_and_one_that_is_there_keeps_its_own(
    tmp_path: Path,
) -> None:
    assert own_run(tmp_path, 1).partitions == 1
    assert own_run(tmp_path).partitions == own_run(tmp_path, 1).partitions == 1
    with pytest.raises(ConfigError, match=r"E_RUN_EXISTS.*with 1 partitions"):
        own_run(tmp_path, 2)
