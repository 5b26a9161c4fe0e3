"""A worker as its supervisor starts it, with an exception in it: exit code, end note and log say the same."""

import http.client
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from headrace.door_note import door_of
from headrace.worker_health import read_healths
from runtime.ending import END_NOTE, read_end
from runtime.run import Run
from tests.waiting import until


@pytest.mark.parametrize(
    ("worker", "error"),
    [("archive", "MemoryError"), ("score", "confluent_kafka.KafkaException"), ("learn", "OSError")],
)
def test_an_exception_in_a_worker_ends_it_with_70_and_its_reason(
    worker: str, error: str, tmp_path: Path
) -> None:
    run = Run.create(tmp_path, "main")
    environment = {
        **os.environ, "HEADRACE_RUN": str(run.home), "HEADRACE_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "HEADRACE_REDIS_URL": "redis://127.0.0.1:1/0", END_NOTE: str(tmp_path / "note"),
        "HEADRACE_CRASH_AT": f"guard.begin:1:RAISE={error}",
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-m", "headrace", worker], env=environment, capture_output=True, text=True,
        timeout=100,
    )  # fmt: skip
    assert ended.returncode == 70, ended.stderr
    note = read_end(tmp_path / "note")
    assert note is not None
    assert (note.code, note.where, note.exit_code) == ("E_INTERNAL", "main thread", 70)
    assert "injected at guard.begin" in note.what
    lines = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    said = {line["event"]: line for line in lines}
    assert said["test_hook_armed"]["hook"] == "HEADRACE_CRASH_AT"
    assert error.rpartition(".")[2] in said["stopped"]["exception"]


def test_a_handler_that_fails_ends_the_http_api_with_70_after_its_answer(tmp_path: Path) -> None:
    """Redis is not there, which is no fault; a handler that raises is one."""
    run = Run.create(tmp_path, "main")
    token = "0123456789abcdef"
    environment = {
        **os.environ, "HEADRACE_RUN": str(run.home), "HEADRACE_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "HEADRACE_REDIS_URL": "redis://127.0.0.1:1/0", "HEADRACE_SERVE_TOKEN": token,
        END_NOTE: str(tmp_path / "note"), "HEADRACE_CRASH_AT": "serve.answer:1:RAISE=TypeError",
    }  # fmt: skip
    command = [sys.executable, "-m", "headrace", "serve", "--port", "0"]
    with (tmp_path / "log").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stderr=output)
    try:
        until((run.ports / "serve.json").exists, timeout_s=100, what="it is ready")
        (health,) = read_healths(run)
        assert (health.worker, health.status) == ("serve", "ok")
        assert {"loop", "answers", "policy-watch", "champion-watch"} <= set(health.parts)
        door = door_of(run)
        assert door is not None
        with closing(http.client.HTTPConnection("127.0.0.1", door.port, timeout=30)) as asked:
            asked.request("POST", "/features", b'{"customer_id":"c1"}', {"Authorization": f"Bearer {token}"})
            answer = asked.getresponse()
            assert (answer.status, json.loads(answer.read())["error"]["code"]) == (500, "E_SERVE_INTERNAL")
        assert process.wait(30) == 70
        note = read_end(tmp_path / "note")
        assert note is not None
        assert (note.code, note.where) == ("E_INTERNAL", "HTTP API")
    finally:
        process.kill()
        process.wait(10)
