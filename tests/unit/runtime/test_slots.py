"""Numbers of workers: no two live processes have one, and it is free again however its process ended."""

import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from contracts.connections import KafkaConnection
from runtime.slots import take, with_member
from streams.gate.settings import GateSettings
from tests.waiting import until

HOLD = """
import sys, time
from pathlib import Path
from runtime.slots import take
print(take(Path(sys.argv[1]), "score").number, flush=True)
time.sleep(600)
"""


def holder(folder: Path) -> "tuple[subprocess.Popen[str], int]":
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_each_process_has_a_number_of_its_own_and_its_successor_the_same(tmp_path: Path) -> None:
    processes = [holder(tmp_path) for _ in range(3)]
    try:
        assert [number for _, number in processes] == [0, 1, 2]
        processes[1][0].kill()
        processes[1][0].communicate()
        processes[1] = holder(tmp_path)
        assert processes[1][1] == 1
    finally:
        for process, _ in processes:
            process.kill()
            process.communicate()
    until(lambda: take(tmp_path, "score").number == 0, timeout_s=10, what="all are free")


def test_a_number_that_is_wanted_is_taken_also_from_one_who_may_be_dead(tmp_path: Path) -> None:
    first = take(tmp_path, "score", 0)
    again = take(tmp_path, "score", 0)
    assert (first.number, again.number, again.descriptor) == (0, 0, -1)
    assert take(tmp_path, "score").number == 1


def test_a_worker_that_comes_back_has_its_predecessors_name_in_the_group(tmp_path: Path) -> None:
    settings = GateSettings(kafka=KafkaConnection(bootstrap_servers="127.0.0.1:1"))
    first, second = (with_member(settings, tmp_path, "gate").member for _ in range(2))
    assert (first, second) == (f"gate-{socket.gethostname()}-0", f"gate-{socket.gethostname()}-1")
    assert with_member(msgspec.structs.replace(settings, member="mine"), tmp_path, "gate").member == "mine"
