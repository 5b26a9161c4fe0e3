"""A door as a process, and a caller of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

from headrace.door_note import door_of, token_of
from runtime.run import Run
from tests.waiting import until

CHECKOUT = Path(__file__).resolve().parents[2]
# A busy machine may keep Redis waiting longer than the 50 ms after which it is taken as down.
PATIENT = {"HEADRACE_READER_REPLY_TIMEOUT_MS": "5000", "HEADRACE_READER_CONNECT_TIMEOUT_MS": "5000"}


class Answer(NamedTuple):
    """Status, headers and JSON of an answer."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(self.body["error"]["code"])


class Caller:
    """Asks a door."""

    def __init__(self, address: str, token: str) -> None:
        self.address, self.token = address, token

    def post(self, path: str, content: Any, token: str | None = None, **headers: str) -> Answer:
        """Send JSON, or bytes as they are."""
        sent = {"Authorization": f"Bearer {self.token if token is None else token}", **headers}
        if isinstance(content, bytes):
            found = requests.post(self.address + path, data=content, headers=sent, timeout=30)
        else:
            found = requests.post(self.address + path, json=content, headers=sent, timeout=30)
        return Answer(found.status_code, dict(found.headers), found.json())

    def get(self, path: str, **headers: str) -> Answer:
        """Get JSON."""
        found = requests.get(self.address + path, headers=headers, timeout=30)
        return Answer(found.status_code, dict(found.headers), found.json())


@contextmanager
def open_door(run: Run, **settings: object) -> Iterator[Caller]:
    """Run `headrace serve` on a free port; SIGTERM must end it with exit code 0."""
    variables = PATIENT | {f"HEADRACE_SERVE_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "headrace", "serve", "--port", "0"]
    log = run.logs / "serve.log"
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, **variables}, stderr=output)
    try:
        until(lambda: is_open(run, process), timeout_s=90, what="the door is open")
        door = door_of(run)
        assert door is not None
        yield Caller(f"http://{door.host}:{door.port}", token_of(run))
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()[-3000:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def is_open(run: Run, process: "subprocess.Popen[bytes]") -> bool:
    """Tell whether the door has noted where it is."""
    assert process.poll() is None, (run.logs / "serve.log").read_text()[-3000:]
    door = door_of(run)
    return door is not None and door.pid == process.pid
