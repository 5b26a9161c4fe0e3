"""The console script: commands by file name, errors as one message and an exit code."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from headrace.__main__ import OF_A_CHECKOUT, cli
from headrace.groups import NearestGroup
from runtime.ending import read_end


def test_a_file_with_an_underscore_is_a_command_with_a_dash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rebuild_store.py").touch()
    (tmp_path / "_shared.py").touch()
    monkeypatch.setattr("headrace.__main__.COMMANDS", tmp_path)
    monkeypatch.setattr("headrace.__main__.BESIDE", tmp_path)
    assert cli.list_commands(None) == ["rebuild-store"]  # type: ignore[arg-type]


def test_an_error_of_ours_is_one_message_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    answer = CliRunner().invoke(cli, ["topics", "check"])
    assert answer.exit_code == 2
    assert answer.stderr.startswith("Error E_SERVERS_NONE: no server is named, and none runs here\n  where: ")
    assert "  next:  run `headrace up`" in answer.stderr
    assert "Traceback" not in answer.output


@pytest.mark.parametrize("name", OF_A_CHECKOUT)
def test_a_command_of_the_checkout_is_listed_in_one_and_refused_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    assert f"\n  {name} " in CliRunner().invoke(cli, ["--help"]).output
    monkeypatch.setattr("headrace.__main__.BESIDE", tmp_path)
    assert f"\n  {name} " not in CliRunner().invoke(cli, ["--help"]).output
    answer = CliRunner().invoke(cli, [name, "--help"])
    assert answer.exit_code == 2
    assert answer.stderr.startswith(f"Error E_COMMAND_CHECKOUT: `headrace {name}` is not part of")


def test_an_unknown_command_is_refused() -> None:
    assert CliRunner().invoke(cli, ["nope"]).exit_code == 2


@pytest.mark.parametrize(("words", "near"), [(["modles"], "models"), (["models", "lst"], "list")])
def test_an_unknown_command_is_answered_with_the_nearest(words: list[str], near: str) -> None:
    answer = CliRunner().invoke(cli, words)
    assert answer.exit_code == 2
    assert f"Did you mean '{near}'?" in answer.output


def test_every_group_of_commands_answers_with_the_nearest() -> None:
    commands = [cli.get_command(None, name) for name in cli.list_commands(None)]  # type: ignore[arg-type]
    groups = [command for command in commands if isinstance(command, click.Group)]
    assert len(groups) > 5
    assert [group.name for group in groups if not isinstance(group, NearestGroup)] == []


def test_a_supervisor_finds_why_a_command_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    monkeypatch.setenv("HEADRACE_END_NOTE", str(tmp_path / "note.json"))
    CliRunner().invoke(cli, ["gate"])
    note = read_end(tmp_path / "note.json")
    assert note is not None
    assert (note.code, note.exit_code) == ("E_RUN_NONE", 2)


UNEXPECTED = """
import click, headrace.__main__ as main
@main.cli.command(name="fails")
def fails():
    {}
main.COMMANDS = __import__("pathlib").Path("/nowhere")
main.LazyGroup.list_commands = lambda *_: ["fails"]
main.LazyGroup.get_command = lambda *_: fails
main.main()
"""


def ended(body: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command that does what `body` says, as the console script would."""
    command = [sys.executable, "-c", UNEXPECTED.format(body), "fails"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


def test_what_nobody_expected_is_one_message_and_a_file_with_the_traceback(tmp_path: Path) -> None:
    done = ended("raise KeyError(7)", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 70
    assert done.stderr.startswith("Error E_INTERNAL: something failed that nobody expected: KeyError(7)")
    (file,) = tmp_path.glob("headrace-*.txt")
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    assert "raise KeyError(7)" in file.read_text() or "KeyError: 7" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("error", ["BrokenPipeError(32, 'a socket')", "EOFError()"])
def test_a_workers_broken_connection_is_not_taken_for_a_reader_that_left(error: str) -> None:
    done = ended(f"import runtime.ending\n    with runtime.ending.incarnation(): raise {error}")
    assert done.returncode == 70
    assert "E_INTERNAL" in done.stderr + done.stdout


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    text = "headrace doctor --settings | true"
    shell = ["bash", "-c", f"set -o pipefail; {sys.executable} -m {text}"]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 1, 141)  # 0 where it was quicker than the reader


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed: str) -> None:
    shell = ["bash", "-c", f"{sys.executable} -m headrace doctor --settings {closed}"]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_that_could_not_be_written_is_refused_before_the_work() -> None:
    answer = CliRunner().invoke(cli, ["demo", "--json", "/nowhere/summary.json"])
    assert answer.exit_code == 2
    assert "the folder '/nowhere' is not there" in answer.output
