"""The doctor: its checks need nothing but an installation, and it passes on what workers say."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from contracts import generate
from headrace import doctor, telemetry
from headrace.__main__ import cli
from headrace.deployment import Up
from headrace.last_end import LastEnd
from headrace.processes import Process
from headrace.up_state import UpState, WorkerState
from runtime.health import Health
from runtime.run import Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run.main(tmp_path)
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    monkeypatch.setenv("HEADRACE_RUN", str(made.home))
    return made


def finding(name: str) -> doctor.Finding:
    return next(found for found in doctor.examine() if found.check == name)


@pytest.fixture
def untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RUN", "BOOTSTRAP_SERVERS", "REDIS_URL"):
        monkeypatch.delenv(f"HEADRACE_{name}", raising=False)
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    return tmp_path


def states() -> dict[str, str]:
    return {found.check: found.state for found in doctor.examine()}


NEEDS_START = ("run", "kafka", "sessions", "topics", "redis", "guards", "input", "workers", "model")


def test_where_nothing_was_started_nothing_is_wrong(untouched: Path) -> None:
    found = {one.check: one for one in doctor.examine()}
    assert {found[name].state for name in NEEDS_START} == {"note"}
    assert (found["kafka"].what, found["kafka"].next_step) == ("not started yet", "`headrace up` starts it")
    answer = CliRunner().invoke(cli, ["doctor"])
    assert (answer.exit_code, answer.output.count("not started yet")) == (0, len(NEEDS_START))


def test_servers_that_were_started_and_are_gone_are_wrong(untouched: Path) -> None:
    (untouched / ".headrace" / "servers").mkdir(parents=True)
    assert states()["kafka"] == "wrong"
    assert states()["run"] == "note"  # there has still been none
    assert CliRunner().invoke(cli, ["doctor"]).exit_code == 1


def test_a_run_whose_folder_was_deleted_is_wrong(untouched: Path) -> None:
    Run.main(untouched)
    shutil.rmtree(untouched / ".headrace" / "runs")
    assert states()["run"] == "wrong"


def test_a_run_without_its_servers_is_wrong(untouched: Path) -> None:
    Run.main(untouched)
    assert states()["kafka"] == "wrong"


def test_a_run_that_is_named_and_not_there_is_wrong_in_an_untouched_folder(
    untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_RUN", "main")
    assert states()["run"] == "wrong"


def test_a_check_that_fails_as_nobody_expected_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> str:
        raise ModuleNotFoundError("No module named 'ruff'")

    monkeypatch.setattr(doctor, "_contracts", fails)
    found = {row.check: row for row in doctor.examine()}
    assert found["contracts"].what == (
        "E_INTERNAL: the check itself failed: ModuleNotFoundError(\"No module named 'ruff'\")"
    )
    assert (found["contracts"].state, found["java"].state, len(found)) == ("wrong", "ok", 15)


def test_contracts_are_compared_without_the_formatter(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_formatter(*_: object) -> str:
        raise ModuleNotFoundError("ruff")

    monkeypatch.setattr(generate, "_formatted", no_formatter)
    assert finding("contracts").state == "ok"


def test_a_contract_that_was_changed_since_is_found(tmp_path: Path) -> None:
    for path in [*generate.contract_files(generate.HERE), generate.HERE / "events.py"]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert generate.is_current(tmp_path)
    verdicts = tmp_path / "verdicts.yaml"
    verdicts.write_text(verdicts.read_text().replace("decided_at", "decided_when"))
    assert not generate.is_current(tmp_path)


def test_a_worker_that_is_stuck_or_looks_at_an_old_state_is_named(run: Run) -> None:
    now_s = 0.0
    health = Health(clock=lambda: now_s)
    loop, policy = health.part("loop", limit_s=5.0), health.part("policy", limit_s=60.0)
    telemetry.serve_metrics(run, "gate", CollectorRegistry(), health=health)
    assert finding("workers").state == "ok"
    policy.stale("E_POLICY: a mapping is needed")
    now_s = 4.0
    found = finding("workers")
    assert (found.state, found.what) == (
        "note", "gate is stale: policy for 4 s: E_POLICY: a mapping is needed",
    )  # fmt: skip
    now_s = 6.0
    assert finding("workers").state == "wrong"
    assert "loop has not moved for 6 s" in finding("workers").what
    loop.moved()
    assert finding("workers").state == "note"


def test_a_worker_that_waits_for_its_next_start_is_told_with_code_and_remedy(
    run: Run, tmp_path: Path
) -> None:
    up = Up(Process.this(), str(run.home))
    (tmp_path / ".headrace" / "up.json").write_bytes(msgspec.json.encode(up))
    end = LastEnd(exit_code=73, code="E_INPUT_HOLE", what="200 are missing", next_step="run `headrace go-on`")
    UpState(workers=[WorkerState(name="stream", state="waiting", last_end=end.lines)]).write(tmp_path)
    what = finding("workers").what
    assert "stream is not ready" in what
    assert "E_INPUT_HOLE: 200 are missing" in what
    assert "next: run `headrace go-on`" in what


@pytest.mark.parametrize(("name", "code"), [("JAVA", "E_JAVA"), ("REDIS_SERVER", "E_REDIS_SERVER")])
@pytest.mark.parametrize("path", ["/nonexistent", os.devnull])
def test_a_program_that_a_setting_names_is_used_or_refused(
    name: str, code: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"HEADRACE_{name}", path)
    found = finding({"JAVA": "java", "REDIS_SERVER": "redis-server"}[name])
    assert found.state == "wrong"
    assert f"{code}: it is no" in found.what
    assert f"HEADRACE_{name}={path}" in found.what
