"""The supervisor: a fault is followed by a restart, an answer is not."""

import signal
import sys
import time
from pathlib import Path

import pytest

from contracts.errors import ClusterError
from headrace.run import Run
from headrace.supervisor import Supervisor, numbered
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


ENDS_WELL = READY + (
    "import signal\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    "time.sleep(60)\n"
)  # fmt: skip


def test_a_worker_that_was_asked_to_end_is_started_again(run: Run) -> None:
    workers = supervisor(run, ENDS_WELL)
    workers.start()
    workers.ask_to_end(workers.workers[0])
    until(lambda: polled(workers, 1), timeout_s=20, what="the restart")
    workers.await_ready(20)
    workers.workers[0].process.signal(signal.SIGTERM)  # nobody asked: an answer
    with pytest.raises(ClusterError, match="gate ended with exit code 0"):
        until(lambda: polled(workers, 9), timeout_s=20, what="the end")
    workers.stop()


def test_workers_of_a_kind_come_and_go_under_names_of_their_own(run: Run) -> None:
    workers = supervisor(run, READY + "time.sleep(60)")
    one, two = (workers._worker(("gate",)) for _ in range(2))
    assert (one.name, two.name) == ("gate-1", "gate-1")  # the number is taken once a worker is added
    added = [workers.add(("score",)) for _ in range(2)]
    assert [worker.name for worker in added] == ["score", "score-1"]
    assert added[1].command[-2:] == ["--slot", "1"]
    assert [worker.name for worker in workers.of_kind(("score",))] == ["score", "score-1"]
    workers.remove(added[0])
    assert workers._worker(("score",)).name == numbered(("score",), 0)
    workers.stop()
    assert workers.pids() == {}
