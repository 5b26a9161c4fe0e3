"""The supervisor: a fault is followed by a restart, an answer is not."""

import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest

from contracts.errors import ClusterError
from headrace import log_files
from headrace.supervisor import Supervisor, numbered
from runtime import ending
from runtime.run import Run
from tests.waiting import until

READY = (
    "import os, json, pathlib, sys, time\n"
    "home = pathlib.Path(os.environ['HEADRACE_RUN'])\n"
    "note = home / 'ports' / f'{os.getpid()}'\n"
    "note.write_text(json.dumps({'pid': os.getpid(), 'port': 1}))\n"
    "note.replace(note.with_suffix('.json'))\n"
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


def test_a_worker_that_a_restart_does_not_cure_is_tried_on_while_the_others_work(run: Run) -> None:
    note = "import os, pathlib, sys\nfrom runtime.ending import note_end\n"
    note += "from contracts.errors import StateError\n"
    note += "note_end(StateError('E_DEFINITIONS', 'others were used', 'marker', 'run `headrace backfill`'))\n"
    workers = Supervisor(run, [("gate",), ("archive",)])
    workers.workers[0].command = [sys.executable, "-c", note + "sys.exit(5)"]
    workers.workers[1].command = [sys.executable, "-c", READY + "time.sleep(60)"]
    workers.launch()
    gate, archive = workers.workers

    def tried_on() -> bool:
        workers.look()
        return gate.restarts >= 2 and gate.last_end is not None and workers.is_ready(archive)

    until(tried_on, timeout_s=60, what="two restarts of the gate")
    assert gate.last_end is not None
    assert gate.last_end.lines == [
        "ended with exit code 5, E_DEFINITIONS: others were used (marker)",
        "next: run `headrace backfill`",
    ]
    assert archive.restarts == 0
    workers.stop()


def test_the_same_answer_after_a_long_start_still_lengthens_the_pause(run: Run) -> None:
    """A restore that reads for half a minute before it is refused would else be tried again at once."""
    worker = supervisor(run, "").workers[0]
    note = ending.EndNote(code="E_STATE_LIMIT", what="too much", where="", next_step="", exit_code=5)
    pauses = []
    for _ in range(4):
        worker.note.write_bytes(msgspec.json.encode(note))
        worker.started_s = 0.0
        worker.ended(5, 30.0)
        pauses.append(worker.start_again_s - 30.0)
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6])
    worker.ended(72, 30.0)
    assert worker.start_again_s == pytest.approx(30.2)


def test_what_waited_for_a_server_starts_at_once_when_it_is_back(run: Run) -> None:
    workers = supervisor(run, "import sys; sys.exit(1)")
    worker = workers.workers[0]
    worker.in_a_row, worker.start_again_s = 9, time.monotonic() + 60
    workers.start_now()
    workers.look()
    assert worker.restarts == 1
    workers.stop()


def test_a_workers_log_stays_bounded(run: Run) -> None:
    workers = supervisor(run, READY + "time.sleep(60)")
    log = workers.workers[0].log
    log.write_bytes(b"x" * (log_files.MAX_BYTES + 1))
    workers.look()
    assert (log.stat().st_size, log.with_name("gate.log.1").stat().st_size) == (0, log_files.MAX_BYTES + 1)
    workers.stop()


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


SPARE = "from runtime import standby\nstandby.await_turn()\n" + READY + "time.sleep(60)"


def with_spare(run: Run) -> Supervisor:
    """Return a gate that runs and has a spare."""
    workers = Supervisor(run, [("gate",)], spares=True)
    workers.workers[0].command = [sys.executable, "-c", SPARE]
    workers.start()
    until(lambda: workers.look() == [] and workers.workers[0].spare is not None, timeout_s=30, what="a spare")
    return workers


def test_a_spare_takes_its_workers_place_and_another_takes_its_own(run: Run) -> None:
    workers = with_spare(run)
    [gate] = workers.workers
    assert gate.process is not None
    assert gate.spare is not None
    spare = gate.spare.process
    assert not workers.is_ready(gate) or gate.process.pid != spare.pid
    gate.process.kill()
    until(lambda: polled(workers, 1), timeout_s=20, what="the restart")
    assert gate.process is not None
    assert gate.process.pid == spare.pid
    until(lambda: workers.look() == [] and gate.spare is not None, timeout_s=30, what="the next spare")
    assert gate.spare is not None
    following = gate.spare.process
    workers.stop()
    assert not spare.alive()
    assert not following.alive()


def test_a_spare_that_has_died_is_passed_over(run: Run) -> None:
    workers = with_spare(run)
    [gate] = workers.workers
    assert gate.process is not None
    assert gate.spare is not None
    died = gate.spare.process
    died.kill()
    died.wait(10)
    gate.process.kill()
    gate.process.wait(10)
    until(lambda: polled(workers, 1), timeout_s=20, what="the restart")
    assert gate.process is not None
    assert gate.process.pid != died.pid
    workers.await_ready(20)
    workers.stop()
