"""`headrace check` as it is used: exit code, lines for people, JSON for programs, and whose project it is."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import headrace
from headrace.__main__ import cli
from runtime.project_folder import INSTALLED, project_folder
from tests.project_maker import FEATURES, write_project


def test_a_project_that_is_right_is_shown_and_ends_with_0() -> None:
    answer = CliRunner().invoke(cli, ["check", "--project", str(INSTALLED)])
    assert answer.exit_code == 0, answer.output
    assert answer.output.splitlines() == [
        "payments: 2 sources, 4 views, 51 features",
        "  customer_payments: sums of amount_minor fit up to 8,192 rows of a key",
        "  terminal_payments: sums of amount_minor fit up to 8,388,607 rows of a key",
    ]


def test_problems_have_a_line_each_and_end_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_project(tmp_path, FEATURES.replace('col("result")', 'col("reslt")'))
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(cli, ["check"])
    assert answer.exit_code == 2
    assert answer.output.splitlines() == [
        "features.py:7: E_EXPRESSION_NAME: there is no column 'reslt'; name one that is there:"
        " did you mean 'result'?",
        f"1 problem in {tmp_path}",
    ]


def test_a_program_reads_the_same_as_json(tmp_path: Path) -> None:
    write_project(tmp_path, FEATURES.replace('col("result")', 'col("reslt")'))
    answer = CliRunner().invoke(cli, ["check", "--project", str(tmp_path), "--json"])
    document = json.loads(answer.output)
    assert answer.exit_code == 2
    assert document["problems"] == [
        {
            "file": f"{tmp_path}/features.py", "line": 7, "code": "E_EXPRESSION_NAME",
            "what": "there is no column 'reslt'", "remedy": "name one that is there", "nearest": "result",
        }
    ]  # fmt: skip
    assert document["views"]["failed"]["features"] == ["failed_count_1h", "failed_count_24h"]


def test_a_wrong_policy_of_the_payments_is_shown_too(tmp_path: Path) -> None:
    for path in INSTALLED.rglob("*"):
        if path.suffix in (".yaml", ".sql") or path.name == "features.py":
            (tmp_path / path.relative_to(INSTALLED)).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / path.relative_to(INSTALLED)).write_bytes(path.read_bytes())
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy.read_text().replace("limit_minor: 1000000", "limit_minor: 1000000, other: 1"))
    answer = CliRunner().invoke(cli, ["check", "--project", str(tmp_path)])
    assert answer.exit_code == 2
    assert "policy.yaml:1: E_POLICY_RULE: " in answer.output


def test_the_project_is_the_named_one_then_the_environments_then_the_current_then_the_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in ("named", "environment", "current")]
    for folder in folders:
        folder.mkdir()
        write_project(folder)
    named, environment, current = folders
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    assert project_folder(here=tmp_path) == INSTALLED
    assert project_folder(here=current) == current
    monkeypatch.setenv("HEADRACE_PROJECT", str(environment))
    assert project_folder(here=current) == environment
    assert project_folder(str(named), here=current) == named
    answer = CliRunner().invoke(cli, ["check", "--project", str(tmp_path)])
    assert answer.exit_code == 2
    assert "E_PROJECT_FOLDER" in answer.output


def test_what_a_project_imports_is_all_there_and_nothing_else_is() -> None:
    for name in headrace.__all__:
        assert getattr(headrace, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Sorce'"):
        _ = headrace.Sorce
