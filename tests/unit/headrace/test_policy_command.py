"""`headrace policy`: who put which policy in force is kept, shown and gone back from."""

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from headrace.__main__ import cli
from load.this_project import PROJECT
from runtime.run import Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run under `tmp_path`, which is the current one."""
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    return Run.create(tmp_path, "main", redis_db=1)


def _policy(*words: str) -> Result:
    return CliRunner().invoke(cli, ["policy", *words])


def test_a_policy_is_put_in_force_shown_with_its_history_and_rolled_back(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "night.yaml"
    file.write_bytes(PROJECT.policy_path.read_bytes() + b"\n# at night\n")
    done = _policy("activate", str(file), "--why", "fewer reviews at night", "--json")
    assert done.exit_code == 0, done.output
    row = orjson.loads(done.stdout)
    assert (row["action"], row["why"], bool(row["who"])) == ("activate", "fewer reviews at night", True)
    shown = _policy("show").output
    assert row["sha256"] in shown
    assert "fewer reviews at night" in shown
    back = _policy("rollback", "--why", "too many")
    assert (back.exit_code, row["before"] in back.output) == (0, True)
    audit = orjson.loads(_policy("show", "--json").stdout)["audit"]
    assert [one["why"] for one in audit] == ["fewer reviews at night", "too many"]
    (run.models / "policy.yaml").write_bytes(file.read_bytes())
    assert "by hand" in _policy("show").output
