"""A stack whose sources change starts its workers again, of the code that is there now."""

import sys
from pathlib import Path

from headrace.reload import SourceWatch
from headrace.supervisor import Supervisor
from runtime.run import Run
from tests.unit.headrace.test_supervisor import READY
from tests.waiting import until


def test_changed_sources_are_named_once_and_other_files_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    source = folder / "gate.py"
    source.write_text("A = 1\n")
    watch = SourceWatch(folder)
    assert watch.changed() == []
    (folder / "notes.txt").write_text("nothing")
    source.write_text("A = 2\n")
    seen: list[Path] = []
    until(lambda: bool(seen.extend(watch.changed()) or seen), timeout_s=30, what="the change")
    assert seen == [source]
    assert watch.changed() == []


def test_workers_that_begin_again_are_of_the_new_code(tmp_path: Path) -> None:
    run, code = Run.create(tmp_path, "main"), tmp_path / "worker.py"
    code.write_text(READY + "time.sleep(60)\n")
    workers = Supervisor(run, [("gate",)])
    [gate] = workers.workers
    gate.command = [sys.executable, str(code)]
    workers.start()
    first = gate.process
    code.write_text(READY + f"open({str(tmp_path / 'new')!r}, 'w').close()\ntime.sleep(60)\n")
    workers.begin_again()

    def is_new() -> bool:
        workers.look()
        return (tmp_path / "new").exists() and workers.is_ready(gate)

    until(is_new, timeout_s=30, what="a worker of the new code")
    assert first is not None
    assert not first.alive()
    workers.stop()
