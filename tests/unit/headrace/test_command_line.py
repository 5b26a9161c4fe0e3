"""The console script: commands by file name, errors as one message and an exit code."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from headrace.__main__ import cli


def test_a_file_with_an_underscore_is_a_command_with_a_dash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rebuild_store.py").touch()
    (tmp_path / "_shared.py").touch()
    monkeypatch.setattr("headrace.__main__.COMMANDS", tmp_path)
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


def test_an_unknown_command_is_refused() -> None:
    assert CliRunner().invoke(cli, ["nope"]).exit_code == 2
