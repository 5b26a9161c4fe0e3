"""A run of its own with a Redis of its own, as a Feast user finds them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from headrace.servers.ports import free, from_environment
from headrace.servers.redis import Redis
from runtime.run import Run

CHECKOUT = Path(__file__).resolve().parents[2]


class Place(NamedTuple):
    """A run with a lake, and its Redis."""

    root: Path
    run: Run
    url: str

    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        return ours | {"HEADRACE_ROOT": str(self.root), "PYTHONPATH": str(CHECKOUT)}

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def feast(self, *words: str) -> str:
        """Run the `feast` command in feature_repo/, as a user would."""
        command = [str(Path(sys.executable).with_name("feast")), *words]
        done = subprocess.run(
            command, cwd=CHECKOUT / "feature_repo", env=self.environment(), text=True, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout


@contextmanager
def place_with_redis(root: Path, name: str) -> Iterator[Place]:
    """Yield a fresh run under `root`, its Redis running and named in this process's environment."""
    run = Run.create(root, name)
    server = Redis(root / ".headrace" / "servers" / "redis", tethered=True)
    running = server.launch((next(free(from_environment())),))
    server.await_ready(running)
    address = f"redis://127.0.0.1:{running.ports[0]}"
    (root / ".headrace" / "servers.json").write_text(json.dumps({"redis_url": address}))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HEADRACE_REDIS_URL", raising=False)
        patch.delenv("HEADRACE_RUN", raising=False)
        patch.setenv("HEADRACE_ROOT", str(root))
        yield Place(root, run, f"{address}/{run.redis_db}")
    server.stop()
