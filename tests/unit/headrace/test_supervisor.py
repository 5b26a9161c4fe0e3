"""The supervisor: a fault is followed by a restart, an answer is not."""

import sys
import time
from pathlib import Path

import pytest

from contracts.errors import ClusterError
from headrace.run import Run
from headrace.supervisor import Supervisor
from tests.waiting import until

READY = (
    "import os, json, pathlib, sys, time\n"
    "home = pathlib.Path(os.environ['HEADRACE_RUN'])\n"
    "(home / 'ports' / f'{os.getpid()}.json').write_text(json.dumps({'pid': os.getpid(), 'port': 1}))\n"
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path, "main")


def supervisor(run: Run, code: str) -> Supervisor:
    made = Supervisor(run, [("gate",)])
    made.workers[0].command = [sys.executable, "-c", code]
    return made


def polled(workers: Supervisor, restarts: int) -> bool:
    workers.check()
    return workers.restarts.get("gate", 0) >= restarts


def test_a_fail_stop_is_followed_by_a_restart_after_a_growing_pause(run: Run) -> None:
    workers = supervisor(run, "import sys; sys.exit(72)")
    workers._spawn(workers.workers[0])
    began_s = time.monotonic()
    until(lambda: polled(workers, 3), timeout_s=30, what="three restarts")
    assert time.monotonic() - began_s > 0.2 + 0.4 + 0.8
    workers.stop()


def test_a_killed_worker_is_started_again_and_all_end_with_the_supervisor(run: Run) -> None:
    workers = supervisor(run, READY + "time.sleep(60)")
    workers.start()
    first = workers.workers[0].process
    assert first is not None
    first.kill()
    until(lambda: polled(workers, 1), timeout_s=20, what="the restart")
    workers.await_ready(20)
    second = workers.workers[0].process
    assert second is not None
    assert second.pid != first.pid
    workers.stop()
    assert not second.alive()
    assert workers.pids() == {}


def test_any_other_end_is_an_answer_that_is_passed_on(run: Run) -> None:
    workers = supervisor(run, "import sys; sys.exit('the setting is wrong')")
    with pytest.raises(ClusterError, match="gate ended with exit code 1") as caught:
        workers.start()
    assert "the setting is wrong" in caught.value.what
    workers.stop()


def test_a_worker_that_is_never_ready_is_named(run: Run) -> None:
    workers = supervisor(run, "import time; time.sleep(60)")
    workers._spawn(workers.workers[0])
    with pytest.raises(ClusterError, match="E_WORKER_SLOW"):
        workers.await_ready(timeout_s=0.3)
    workers.stop()
