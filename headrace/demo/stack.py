"""What a demo runs on: a stack of its own, and what a demo asks of its lake, its store and its models."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from contracts.errors import ClusterError, ConfigError, HeadraceError
from headrace.demo.night_job import NightJob
from headrace.servers import LocalServers
from headrace.stack import FreshStack
from headrace.supervisor import workers_of_project
from runtime import launch
from runtime.redis_socket import RedisSocket

MODEL_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 900.0
CHECK_S = 0.2


class CommandFailed(ClusterError):
    """A command of ours ended with an error; `reason` is that error's own code ("" when it had none)."""

    def __init__(self, name: str, stderr: str, exit_code: int, log: Path) -> None:
        what = f"`{name}` ended with {exit_code}: {stderr.strip()[-1500:]}"
        super().__init__("E_DEMO_COMMAND", what, str(log), "read its log")
        found = re.search(r"^Error (E_[A-Z_]+)", stderr, re.MULTILINE)
        self.reason = found.group(1) if found else ""


class DemoStack(FreshStack):
    """A fresh run's servers and workers, and what a demo asks of them."""

    def __init__(self, root: Path, name: str, partitions: int) -> None:
        super().__init__(root, name, partitions)
        self._lake_seen: dict[Path, int] = {}
        self._night_job: NightJob | None = None
        self._next_check_s = 0.0

    def begin(self) -> None:
        """Start the workers that every run has."""
        self.start(*workers_of_project())

    def check(self) -> None:
        """Start ended workers again; asked often, it looks a few times a second.

        Raises:
            ClusterError: E_WORKER_ENDED, one ends again and again.
        """
        if self.workers is not None and time.monotonic() >= self._next_check_s:
            self._next_check_s = time.monotonic() + CHECK_S
            self.workers.check()

    def close(self) -> None:
        """Stop what this stack started."""
        if self._night_job is not None:
            self._night_job.close()
            self._night_job = None
        super().close()

    def lake_rows(self, dataset: str) -> int:
        """Return how many rows of a dataset are in files; each file is opened once."""
        total = 0
        for path in (self.run.lake / dataset).rglob("*.parquet"):
            if path not in self._lake_seen:
                self._lake_seen[path] = pq.ParquetFile(path).metadata.num_rows
            total += self._lake_seen[path]
        return total

    def materialize(self, end_ms: int) -> None:
        """Compute the batch view from the lake up to an event time and put it into the online store."""
        if self._night_job is None:
            self._night_job = NightJob(self.run.home, self.run.logs / "materialize.log")
        self._night_job.materialize(end_ms)

    def train(self, *, event_alone: bool = False) -> dict[str, Any]:
        """Train on the lake, promote, and return the entry: its `version`, its `metrics`.

        Args:
            event_alone: also train without window features, for the comparison of that name.
        """
        more = ["--event-alone"] if event_alone else []
        entry: dict[str, Any] = json.loads(self._call("train", "--promote", "--json", *more))
        return entry

    def await_model(self, version: str) -> None:
        """Wait until the scorer says that it serves a version.

        Raises:
            ClusterError: E_MODEL_NOT_LIVE, it refused the model or said nothing.
        """
        deadline_s = time.monotonic() + MODEL_TIMEOUT_S
        log = self.run.logs / "score.log"
        while time.monotonic() < deadline_s:
            for event in _model_events(log):
                if event.get("event") == "model_live" and event.get("version") == version:
                    return
                if event.get("event") == "model_refused":
                    raise ClusterError("E_MODEL_NOT_LIVE", str(event.get("error")), str(log))
            self.check()
            time.sleep(0.1)
        raise ClusterError(
            "E_MODEL_NOT_LIVE", f"the scorer does not serve {version} after {MODEL_TIMEOUT_S:.0f} s",
            str(log), "read the scorer's log",
        )  # fmt: skip

    def explain(self, prediction_id: str) -> dict[str, Any]:
        """Return the explanation of one prediction from the lake, or why there is none."""
        if not prediction_id:
            return {}
        try:
            text = self._call("explain", prediction_id)
        except HeadraceError as error:
            return {"prediction_id": prediction_id, "text": str(error)}
        return {"prediction_id": prediction_id, "text": text.strip()}

    def store_keys(self) -> int:
        """Return how many keys the run's online store holds."""
        return int(self._redis_command("DBSIZE"))

    def flush_redis(self) -> None:
        """Empty the run's online store."""
        self._redis_command("FLUSHDB")

    def stop_redis(self) -> None:
        """Stop the local Redis."""
        self.with_servers(self._servers().stop_redis)

    def start_redis(self) -> None:
        """Start it again, empty."""
        self.with_servers(self._servers().start_redis)

    def restart_kafka(self) -> None:
        """Stop Kafka and start it again on the same ports."""
        self.with_servers(self._servers().restart_kafka)

    def _servers(self) -> LocalServers:
        if self.local is None:
            raise ConfigError(
                "E_DEMO_FAULTS", "servers named in the environment are not stopped from here",
                "HEADRACE_BOOTSTRAP_SERVERS", "unset it to run the faults on local servers",
            )  # fmt: skip
        return self.local

    def _redis_command(self, word: str) -> Any:
        with RedisSocket(self.redis, 5.0, 5.0) as line:
            return line.command(word)

    def _call(self, name: str, *arguments: str) -> str:
        """Run a command of ours in a process of its own and return what it printed."""
        done = subprocess.run(
            launch.command("headrace", name, *arguments),
            capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip
        (self.run.logs / f"{name}.log").write_text(done.stderr)
        if done.returncode:
            raise CommandFailed(name, done.stderr, done.returncode, self.run.logs / f"{name}.log")
        return done.stdout


def _model_events(log: Path) -> list[dict[str, Any]]:
    """Return what the scorer's log tells about models, oldest first."""
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [orjson.loads(line) for line in lines if line.startswith(b"{") and b'"model_' in line]
