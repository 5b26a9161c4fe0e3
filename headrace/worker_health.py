"""The health of running workers, as each says it at its metrics port."""

import http.client
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from runtime.run import Run

ANSWER_S = 2.0
ANSWER_BYTES_MAX = 1 << 20


class WorkerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker said: `status` is ok, stale, stuck, or unreachable when it did not answer.

    `parts` holds each part's report by name, as `runtime.health.Part.report` makes it.
    """

    worker: str
    status: str
    parts: dict[str, dict[str, Any]] = {}
    why: str = ""


def read_healths(run: Run, answer_s: float = ANSWER_S) -> list[WorkerHealth]:
    """Return the health of every worker that noted a metrics port in the run, by name."""
    return [read_health(note, answer_s) for note in sorted(run.ports.glob("*.json"))]


def read_health(note: Path, answer_s: float = ANSWER_S) -> WorkerHealth:
    """Ask the worker that noted its port in the file; no answer in `answer_s` seconds is unreachable.

    >>> read_health(Path("no/such/gate.json")).status
    'unreachable'
    """
    try:
        port = int(json.loads(note.read_bytes())["port"])
        said = json.loads(_ask(port, answer_s))
        return WorkerHealth(worker=note.stem, status=str(said["status"]), parts=dict(said["parts"]))
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        return WorkerHealth(worker=note.stem, status="unreachable", why=f"{type(error).__name__}: {error}")


def _ask(port: int, answer_s: float) -> bytes:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=answer_s)) as connection:
        connection.request("GET", "/health")
        return connection.getresponse().read(ANSWER_BYTES_MAX)
