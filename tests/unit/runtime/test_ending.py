"""An exception that nobody handles ends a real process with 70 and a note of why, wherever it is raised."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.ending import END_NOTE, EndNote, read_end

START = """
import asyncio, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from confluent_kafka import Producer
from contracts.errors import Stop
from runtime import ending

def fail():
    raise KINDS[sys.argv[1]]

KINDS = {
    "MemoryError": MemoryError("no more"), "TypeError": TypeError("no such type"),
    "OSError": OSError(28, "No space left on device"), "BrokenPipeError": BrokenPipeError(32, "Broken pipe"),
    "EOFError": EOFError("the end"), "SystemExit": SystemExit(0),
    "Stop": Stop(71, "E_DELIVERY", "not taken", "events.customer/0"),
}

async def forever(loop_does):
    loop = asyncio.get_running_loop()
    ending.guard_loop(loop)
    loop_does(loop)
    await asyncio.sleep(60)

async def failing():
    fail()

with ending.incarnation():
"""
WHERE = {
    "main thread": "fail()",
    "thread": "threading.Thread(target=fail, name='side').start(); time.sleep(60)",
    "timer": "threading.Timer(0, fail).start(); time.sleep(60)",
    "pool": "ending.guard_future(ThreadPoolExecutor().submit(fail), 'pool'); time.sleep(60)",
    "loop callback": "asyncio.run(forever(lambda loop: loop.call_soon(fail)))",
    "loop callback from a thread": "asyncio.run(forever(lambda loop: loop.call_soon_threadsafe(fail)))",
    "forgotten task": "asyncio.run(forever(lambda loop: ending.guard_future("
    "kept.append(loop.create_task(failing())) or kept[0], 'task')))",
    "delivery callback": "p = Producer({'bootstrap.servers': '127.0.0.1:1', 'log_level': 0});"
    " p.produce('t', b'', on_delivery=lambda *_: fail()); p.purge(); p.poll(60)",
    "delivery callback in a thread": "p = Producer({'bootstrap.servers': '127.0.0.1:1', 'log_level': 0});"
    " p.produce('t', b'', on_delivery=lambda *_: fail()); p.purge();"
    " threading.Thread(target=p.poll, args=(60,)).start(); time.sleep(60)",
    "finaliser": "weakref.finalize(kept, fail); del kept; time.sleep(60)",
}


def run(where: str, error: str, note: Path) -> "subprocess.CompletedProcess[str]":
    """Raise an error at a place of a process that would otherwise live on."""
    code = f"import weakref\nclass Kept(list): ...\nkept = Kept()\n{START}    {WHERE[where]}\n"
    return subprocess.run(
        [sys.executable, "-c", code, error],
        env={**os.environ, END_NOTE: str(note)}, capture_output=True, text=True, timeout=50,
    )  # fmt: skip


def noted(path: Path) -> EndNote:
    """Return the end note that is there."""
    note = read_end(path)
    assert note is not None
    return note


@pytest.mark.parametrize("where", WHERE)
def test_it_ends_with_70_and_its_reason_wherever_it_was_raised(where: str, tmp_path: Path) -> None:
    ended = run(where, "MemoryError", tmp_path / "note")
    assert ended.returncode == 70, ended.stderr
    note = noted(tmp_path / "note")
    assert (note.code, note.exit_code, note.what) == ("E_INTERNAL", 70, "MemoryError('no more')")
    assert "MemoryError" in ended.stdout + ended.stderr


def test_a_callback_of_the_loop_ends_the_process(tmp_path: Path) -> None:
    assert run("loop callback", "TypeError", tmp_path / "note").returncode == 70
    assert "TypeError" in noted(tmp_path / "note").what


def test_a_future_that_nobody_awaits_ends_the_process(tmp_path: Path) -> None:
    assert run("forgotten task", "OSError", tmp_path / "note").returncode == 70
    assert "No space left" in noted(tmp_path / "note").what


@pytest.mark.parametrize("error", ["BrokenPipeError", "EOFError"])
def test_errors_that_a_command_line_takes_for_its_users_end_it_too(error: str, tmp_path: Path) -> None:
    assert run("main thread", error, tmp_path / "note").returncode == 70


def test_a_thread_that_leaves_by_sys_exit_is_no_better_than_a_dead_one(tmp_path: Path) -> None:
    assert run("thread", "SystemExit", tmp_path / "note").returncode == 70


@pytest.mark.parametrize("where", ["main thread", "thread", "loop callback"])
def test_an_error_of_ours_keeps_its_code_on_the_same_path(where: str, tmp_path: Path) -> None:
    assert run(where, "Stop", tmp_path / "note").returncode == 71
    note = noted(tmp_path / "note")
    assert (note.code, note.where, note.exit_code) == ("E_DELIVERY", "events.customer/0", 71)
