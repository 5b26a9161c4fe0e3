"""Logs are bounded while their writer keeps its file open, and what libraries say keeps to a rate."""

import logging
import os
from pathlib import Path

from headrace.log_files import LogStream, rotate
from headrace.log_limit import LINES_A_WINDOW, WINDOW_S, RateLimit


def test_a_writer_that_keeps_its_file_open_goes_on_in_an_empty_one(tmp_path: Path) -> None:
    log = tmp_path / "gate.log"
    writer = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in range(6):
        os.write(writer, f"{number}".encode() * 100)
        assert rotate(log, max_bytes=50, keep=3)
        os.write(writer, b"after\n")
    os.close(writer)
    assert log.read_bytes() == b"after\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gate.log", "gate.log.1", "gate.log.2", "gate.log.3",
    ]  # fmt: skip
    assert log.with_name("gate.log.1").read_bytes() == b"after\n" + b"5" * 100
    assert log.with_name("gate.log.1").stat().st_mode & 0o077 == 0


def test_a_short_or_missing_log_stays(tmp_path: Path) -> None:
    (tmp_path / "short.log").write_bytes(b"x")
    assert not rotate(tmp_path / "short.log", max_bytes=1)
    assert not rotate(tmp_path / "missing.log", max_bytes=1)


def line(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("kafka", logging.WARNING, "", 0, message, arguments, None)


def test_one_kind_of_line_is_limited_and_counted_and_others_are_not() -> None:
    now_s = 0.0
    limit = RateLimit(clock=lambda: now_s)
    through = [limit.filter(line("no broker at %s", port)) for port in range(1000)]
    assert sum(through) == LINES_A_WINDOW
    assert limit.filter(line("another thing"))
    now_s = WINDOW_S
    next_one = line("no broker at %s", 1)
    assert limit.filter(next_one)
    assert next_one.__dict__["kept_back"] == 1000 - LINES_A_WINDOW


def test_kinds_without_end_do_not_take_memory_without_end() -> None:
    limit = RateLimit(clock=lambda: 0.0)
    assert all(limit.filter(line(f"kind {number}")) for number in range(5000))
    assert len(limit._kinds) <= 500


def test_a_full_disk_costs_lines_of_the_log_and_not_the_process(tmp_path: Path) -> None:
    log = tmp_path / "gate.log"
    with Path("/dev/full").open("w") as full, log.open("w") as roomy:
        stream = LogStream(full)
        for number in range(3):
            stream.write(f"lost {number}\n")
        stream._stream = roomy  # as if there were space again
        stream.write("a line in")
        stream.write(" two pieces\n")
    lost = '{"level": "warning", "event": "log_lines_lost", "count": 3}'
    assert log.read_text().splitlines() == [lost, "a line in two pieces"]
