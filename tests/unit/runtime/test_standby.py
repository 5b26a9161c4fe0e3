"""A spare waits for its turn, and ends where it is not needed."""

import os
import subprocess
import sys

CODE = """
import sys
from runtime import standby
print(standby.is_spare())
standby.await_turn()
print(standby.is_spare(), sys.stdin.read())
"""


def spare(given: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", CODE]
    environment = os.environ | variables
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True, env=environment)


def test_it_begins_with_a_byte_and_reads_nothing_more() -> None:
    assert spare("\nmore", HEADRACE_STANDBY="1").stdout.split() == ["True", "False"]


def test_it_ends_where_nobody_needs_it() -> None:
    assert "False" not in spare("", HEADRACE_STANDBY="1").stdout


def test_any_other_process_begins_at_once() -> None:
    assert spare("text").stdout.split() == ["False", "False", "text"]
