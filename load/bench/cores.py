"""Where a core's time goes on W1, in this process and with no server: `python -m load.bench.cores gate`.

Prints CPU µs an event without a profiler, then the functions of a profiled run by their own time. A
profiler makes calls dearer than they are, so its shares are for finding places, not for quoting.
"""

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Callable

from contracts.raw import RawBatch
from load.bench.w1.entity import stage
from load.bench.w1.headrace_run import Work
from load.bench.w1.json_rows import JsonWriter
from load.this_project import PIPELINE
from streams.gate.core import GateCore
from streams.stage.core import Marker, StageCore

EVENTS = 200_000
BATCHES_A_CHECKPOINT = 25  # 50,000 events: a second of a backlog
APPENDED_MS = 1_800_000_000_000


def main() -> None:
    """Time and profile one core."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.cores", description=__doc__)
    parser.add_argument("core", choices=("gate", "stage", "stage-json"))
    parser.add_argument("--rows", type=int, default=2_000, help="events a batch")
    parser.add_argument("--top", type=int, default=25, help="functions shown")
    asked = parser.parse_args()
    batches = _raw(asked.rows)
    run = _gate(batches) if asked.core == "gate" else _stage(batches, json=asked.core == "stage-json")
    run()  # compiles and warms
    began_s = time.process_time()
    run()
    took_us = 1e6 * (time.process_time() - began_s) / EVENTS
    sys.stdout.write(f"{asked.core}: {took_us:.2f} CPU us an event\n")
    profile = cProfile.Profile()
    profile.runcall(run)
    pstats.Stats(profile).sort_stats("tottime").print_stats(asked.top)


def _raw(rows: int) -> list[RawBatch]:
    records = Work.of(EVENTS).records[:EVENTS]
    return [
        RawBatch.of(
            [(0, first + row, APPENDED_MS, key, value, None) for row, (key, value) in enumerate(part)]
        )
        for first in range(0, EVENTS, rows)
        if (part := records[first : first + rows])
    ]


def _gate(batches: list[RawBatch]) -> Callable[[], list[bytes]]:
    def run() -> list[bytes]:
        core = GateCore(PIPELINE, partitions=1)
        core.assign("transactions", 0, 0)
        gated = [core.process("transactions", batch) for batch in batches]
        return [record.value or b"" for one in gated for record in one.records]

    return run


def _stage(batches: list[RawBatch], *, json: bool) -> Callable[[], None]:
    frames = _gate(batches)()
    made = stage(json=json)

    def run() -> None:
        writer = JsonWriter("events.customer/0", 0, made.entity.columns) if json else None
        marker = Marker(input_offset=0, lanes={}, definitions_hash="")
        core = StageCore("events.customer/0", made.rows(made.entity, 0, 1), marker, writer)
        for number, frame in enumerate(frames):
            core.batch([(number, frame)])
            if (number + 1) % BATCHES_A_CHECKPOINT == 0:
                core.snapshot()

    return run


if __name__ == "__main__":
    main()
