"""What a demo runs on: a fresh run, servers and workers; every foreign part is met in this file.

Servers that run already are used and left running; outside servers named in the environment likewise.
"""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import pyarrow.parquet as pq

from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import ClusterError, ConfigError, HeadraceError
from headrace import environment, topics_admin
from headrace.demo.night_job import NightJob
from headrace.run import Run
from headrace.servers import LocalServers
from headrace.supervisor import Supervisor

MODEL_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 900.0
CHECK_S = 0.2
CODE = Path(__file__).resolve().parents[2]  # the commands are found from here, installed or not


class CommandFailed(ClusterError):
    """A command of ours ended with an error; `reason` is that error's own code ("" when it had none)."""

    def __init__(self, name: str, stderr: str, exit_code: int, log: Path) -> None:
        what = f"`{name}` ended with {exit_code}: {stderr.strip()[-1500:]}"
        super().__init__("E_DEMO_COMMAND", what, str(log), "read its log")
        found = re.search(r"^Error (E_[A-Z_]+)", stderr, re.MULTILINE)
        self.reason = found.group(1) if found else ""


class Deployment:
    """Servers and workers of one run; leaving the `with` block stops what it started, whatever happened."""

    def __init__(self, root: Path, name: str, partitions: int) -> None:
        self._root, self._name, self._partitions = root, name, partitions
        self._local: LocalServers | None = None
        self._stop_servers = False
        # Servers die with the thread that started them, so one thread that lives as long as the demo does it.
        self._hands = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")
        self._lake_seen: dict[Path, int] = {}
        self.workers: Supervisor | None = None
        self._night_job: NightJob | None = None
        self._next_check_s = 0.0

    def __enter__(self) -> "Deployment":
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        if "HEADRACE_BOOTSTRAP_SERVERS" not in os.environ:
            self._stop_servers = not LocalServers(self._root).running
            self._local = LocalServers(self._root, tethered=self._stop_servers)
            self._hands.submit(self._local.start).result()
        self.run = Run.create(self._root, self._name, partitions=self._partitions)
        os.environ["HEADRACE_RUN"] = str(self.run.home)  # for the commands that are started below
        self.kafka: KafkaConnection = environment.kafka_connection()
        self.redis: RedisConnection = environment.redis_connection(self.run)
        topics_admin.ensure(self.kafka, self.run.topic_prefix, partitions=self.run.partitions)
        self.workers = Supervisor(self.run)
        self.workers.start()

    def check(self) -> None:
        """Start ended workers again; asked often, it looks a few times a second.

        Raises:
            ClusterError: E_WORKER_ENDED, one ends again and again.
        """
        if self.workers is not None and time.monotonic() >= self._next_check_s:
            self._next_check_s = time.monotonic() + CHECK_S
            self.workers.check()

    def stop_workers(self) -> None:
        """Stop the workers in the order of the stream, so that each finishes what the one before sent."""
        if self.workers is not None:
            self.workers.stop()
            self.workers = None

    def close(self) -> None:
        """Stop what this deployment started."""
        if self._night_job is not None:
            self._night_job.close()
            self._night_job = None
        self.stop_workers()
        if self._local is not None and self._stop_servers:
            self._hands.submit(self._local.stop).result()
        self._hands.shutdown()

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

    def train(self) -> str:
        """Train on the lake, promote, and return the version."""
        command = [sys.executable, "-m", "headrace", "train", "--promote", "--json"]
        return str(json.loads(self._call("train", command))["version"])

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
        command = [sys.executable, "-m", "headrace", "explain", prediction_id]
        try:
            text = self._call("explain", command)
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
        self._hands.submit(self._servers().stop_redis).result()

    def start_redis(self) -> None:
        """Start it again, empty."""
        self._hands.submit(self._servers().start_redis).result()

    def restart_kafka(self) -> None:
        """Stop Kafka and start it again on the same ports."""
        self._hands.submit(self._servers().restart_kafka).result()

    def _servers(self) -> LocalServers:
        if self._local is None:
            raise ConfigError(
                "E_DEMO_FAULTS", "servers named in the environment are not stopped from here",
                "HEADRACE_BOOTSTRAP_SERVERS", "unset it to run the faults on local servers",
            )  # fmt: skip
        return self._local

    def _redis_command(self, word: str) -> Any:
        import redis

        to = self.redis
        with redis.Redis(
            host=to.host, port=to.port, db=to.db, username=to.username or None, password=to.password or None,
            ssl=to.tls, socket_timeout=5.0,
        ) as client:  # fmt: skip
            return client.execute_command(word)

    def _call(self, name: str, command: list[str]) -> str:
        """Run a command of ours in a process of its own and return what it printed."""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False, cwd=CODE
        )
        (self.run.logs / f"{name}.log").write_text(done.stderr)
        if done.returncode:
            raise CommandFailed(name, done.stderr, done.returncode, self.run.logs / f"{name}.log")
        return done.stdout


def _model_events(log: Path) -> list[dict[str, Any]]:
    """Return what the scorer's log tells about models, oldest first."""
    lines = log.read_bytes().splitlines() if log.exists() else []
    return [orjson.loads(line) for line in lines if line.startswith(b"{") and b'"model_' in line]
