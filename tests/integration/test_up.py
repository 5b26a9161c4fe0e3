"""`headrace up` as an operator meets it: a process that keeps others running, and takes them with it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from headrace.__main__ import cli
from headrace.processes import alive_pid
from runtime.run import Run
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
WORKERS = ["archive", "gate", "score", "stream-customer", "stream-terminal"]


def pids(run: Run) -> dict[str, int]:
    return {path.stem: msgspec.json.decode(path.read_bytes())["pid"] for path in run.ports.glob("*.json")}


@contextmanager
def up(run: Run, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `headrace up` on the session's servers until it says that it is up; it is ended with the block."""
    log = run.home / "up.log"
    with log.open("wb") as output, subprocess.Popen(
        [sys.executable, "-m", "headrace", "up", *words], stdout=output, stderr=output, env=os.environ
    ) as process:  # fmt: skip
        try:
            until(lambda: "up; Ctrl-C" in log.read_text(), timeout_s=120, what=f"up is up: {log.read_text()}")
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_killed_worker_comes_back_and_sigterm_stops_everything(run: Run) -> None:
    with up(run) as process:
        before = pids(run)
        assert sorted(before) == WORKERS
        assert "already up" in CliRunner().invoke(cli, ["up"]).output
        os.kill(before["gate"], signal.SIGKILL)
        until(lambda: pids(run)["gate"] != before["gate"], timeout_s=60, what="the gate is back")
        after = pids(run)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not [name for name, pid in after.items() if alive_pid(pid)]
    assert "gate was started again (1)" in (run.home / "up.log").read_text()


def test_no_worker_outlives_an_up_that_was_killed(run: Run) -> None:
    with up(run) as process:
        workers = pids(run)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        until(lambda: not any(map(alive_pid, workers.values())), timeout_s=10, what="the workers ended too")
    assert "nothing was running" in CliRunner().invoke(cli, ["down"]).output


def test_a_worker_that_cannot_start_is_told_and_tried_on_while_the_others_work(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with up(run, "--serve", "--serve-port", str(port)) as process:
            said = (run.home / "up.log").read_text()
            assert f"E_SERVE_PORT: port {port} is taken" in said
            assert (
                "serve ended with exit code 2, E_SERVE_PORT" in said or "serve ended with exit code 4" in said
            )
            assert sorted(pids(run)) == WORKERS
            again = CliRunner().invoke(cli, ["up"])
            assert (again.exit_code, "serve is not ready" in again.output) == (4, True)
            taken.close()
            until(lambda: "serve" in pids(run), timeout_s=90, what="the HTTP API has its port")
            assert process.poll() is None


def test_doctor_finds_a_deployment_in_order(run: Run, tmp_path: Path) -> None:
    answer = CliRunner().invoke(cli, ["doctor", "--json"])
    findings = {row["check"]: row for row in msgspec.json.decode(answer.output)}
    assert [name for name, row in findings.items() if row["state"] == "wrong"] == []
    assert findings["model"]["next_step"] == "run `headrace train --promote`"
    assert answer.exit_code == 0


def test_doctor_says_what_is_wrong_and_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    answer = CliRunner().invoke(cli, ["doctor"])
    assert answer.exit_code == 1
    assert "WRONG kafka         E_KAFKA_UNREACHABLE" in answer.output
    assert "next: run `headrace up`" in answer.output


def test_doctor_refuses_a_session_that_the_brokers_refuse(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_GATE_SESSION_TIMEOUT_MS", "500")
    answer = CliRunner().invoke(cli, ["doctor"])
    assert answer.exit_code == 1
    assert "WRONG sessions      E_KAFKA_SESSION" in answer.output
    assert "group.min.session.timeout.ms" in answer.output
