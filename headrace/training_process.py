"""A training as a child process: `headrace train`, one at a time, known by its id, gone with its parent."""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from contracts.errors import Stop
from headrace import log_files
from headrace.processes import Process, spawn
from inference.learning.ports import Outcome
from runtime import launch
from runtime.ending import END_NOTE

STOP_PATIENCE_S = 5.0


class _Entry(msgspec.Struct):
    id: str


class ChildTrainer:
    """Starts `headrace train --json` and reads what it printed when it has ended.

    Args:
        logs: folder of the run's logs; the training's output goes to `retrain.log` there.
        settle_s: how long the archive has to write what the learner has read, before the child reads it.
        environment: of the child (default: ours).
    """

    def __init__(
        self, logs: Path, settle_s: float = 0.0, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = logs / "retrain.log"
        self._settle_s = settle_s
        self._environment = dict(environment or os.environ)
        self._environment.pop(END_NOTE, None)  # it is of our own end
        self._waiting: tuple[int, float] | None = None  # training moment, and when the child may begin
        self._child: Process | None = None
        self._begins_at = 0

    def start(self, until_ms: int) -> None:
        """Begin a training on what was known at a moment.

        Raises:
            Stop: E_TRAINING_RUNS, one runs already, which the policy rules out.
        """
        if self._child is not None or self._waiting is not None:
            raise Stop(70, "E_TRAINING_RUNS", "a training runs already", str(self._log))
        self._waiting = (until_ms, time.monotonic() + self._settle_s)

    def outcome(self) -> Outcome | None:
        """Return how the training ended, once; None while it runs or when there is none. Ask now and then."""
        if self._waiting is not None and time.monotonic() >= self._waiting[1]:
            self._spawn(self._waiting[0])
            self._waiting = None
        if self._child is None or (code := self._child.exit_code()) is None:
            return None
        self._child = None
        text = self._log.read_bytes()[self._begins_at :].decode("utf-8", "replace")
        return _outcome(text, code)

    def _spawn(self, until_ms: int) -> None:
        log_files.rotate(self._log)
        self._begins_at = self._log.stat().st_size if self._log.exists() else 0
        command = launch.command("headrace", "train", "--json", "--until", str(until_ms))
        self._child = spawn(command, self._log, self._environment, tethered=True)

    def close(self) -> None:
        """End a training that still runs."""
        if self._child is not None:
            self._child.stop(STOP_PATIENCE_S)
            self._child = None


def _outcome(text: str, code: int) -> Outcome:
    """Return what a training's output says.

    >>> _outcome('{"id": "risk/0002-ab"}', 0).model
    'risk/0002-ab'
    >>> _outcome("Error E_TRAIN_POSITIVES: 3 positives", 6).code
    'E_TRAIN_POSITIVES'
    """
    if code == 0 and (begin := text.find("{")) >= 0:
        return Outcome(model=msgspec.json.decode(text[begin:].encode(), type=_Entry).id)
    named = re.search(r"^Error (E_[A-Z_]+): (.*)$", text, re.MULTILINE)
    if named is not None:
        return Outcome(code=named.group(1), what=named.group(2))
    return Outcome(code="E_TRAINING_ENDED", what=f"exit code {code}: {text.strip()[-300:]}")
