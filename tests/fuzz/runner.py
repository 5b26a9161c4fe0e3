"""Runs a decoder's inputs in child processes: a crash or a hang is a fault, and the rest goes on."""

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
CHECKED = ROOT / "build" / "fuzz-compiled"
SILENT_S = 60.0  # on one input: whatever takes longer hangs, on however busy a machine
LOOK_S = 0.02
DEATHS_MAX = 20


class Result(NamedTuple):
    """What came of a run: how many inputs, what became of them, and each fault."""

    count: int
    outcomes: dict[str, int]
    faults: list[dict[str, Any]]


class Asked(NamedTuple):
    """Which decoder, which inputs, and whether it is one with a known fault.

    With `bounds` compiled code checks each of its indices; that compiles it anew, in a cache of its own.
    """

    decoder: str
    seed: int
    first: int
    count: int
    broken: bool = False
    bounds: bool = False


def run(asked: Asked, said: Callable[[str], None] = lambda _: None, silent_s: float = SILENT_S) -> Result:
    """Feed the inputs; children that die or hang are replaced behind the input that did it."""
    outcomes: Counter[str] = Counter()
    faults: list[dict[str, Any]] = []
    first, end, deaths = asked.first, asked.first + asked.count, 0
    while first < end and deaths < DEATHS_MAX:
        reached, died, lines = _child(asked._replace(first=first, count=end - first), silent_s)
        for line in lines:
            outcomes.update(line.get("outcomes", {}))
            faults += [line] if "fault" in line else []
        if died is None:  # at its end, or it has told as many faults as it may
            first, end = reached, reached
        else:
            deaths += 1
            faults.append({"number": reached, "fault": died})
            said(f"{asked.decoder} {reached}: {died}")
            first = reached + 1
    return Result(first - asked.first, dict(outcomes), faults)


def _child(asked: Asked, silent_s: float) -> tuple[int, str | None, list[dict[str, Any]]]:
    """Run one child; return the input it was at, how it died if it did, and its lines."""
    with tempfile.TemporaryDirectory() as folder:
        progress, report = Path(folder) / "progress", Path(folder) / "report"
        progress.write_bytes(struct.pack("<q", asked.first - 1))
        report.touch()
        words = [
            asked.decoder,
            str(asked.seed),
            str(asked.first),
            str(asked.count),
            str(progress),
            str(report),
        ]
        words += ["broken"] if asked.broken else []
        command = [sys.executable, "-m", "tests.fuzz.child", *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        if asked.bounds:
            environment |= {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(CHECKED)}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as child:
            died = _watch(child, progress, asked.first, silent_s)
        reached = struct.unpack("<q", progress.read_bytes())[0]
        return max(reached, asked.first), died, [json.loads(line) for line in report.read_text().splitlines()]


def _watch(child: "subprocess.Popen[bytes]", progress: Path, first: int, silent_s: float) -> str | None:
    """Wait for the child's end; return what is wrong with it, None when nothing is."""
    at, since_s = first - 1, time.monotonic()
    while child.poll() is None:
        now = struct.unpack("<q", progress.read_bytes())[0]
        if now != at:
            at, since_s = now, time.monotonic()
        limit_s = silent_s if at >= first else 900.0  # it compiles, and makes its seeds
        if time.monotonic() - since_s > limit_s:
            child.kill()
            child.wait()
            return f"no end in {limit_s:g} s"
        time.sleep(LOOK_S)
    if child.returncode == 0:
        return None
    trace = (child.stderr.read() if child.stderr else b"").decode(errors="replace").strip()
    return f"the process ended with {child.returncode}: {trace[-300:]}"
