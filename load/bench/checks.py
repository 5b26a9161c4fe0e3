"""What the checks between the stages and in the store cost: `python -m load.bench.checks`.

Each pair runs the same seeded work with and without its check, in turns in one process, so that a busy
machine hits both alike; the median of the pairs' ratios counts. A stage's pair is the whole core on frames
of the gate: decoding, windows, output frames and a checkpoint each second of a backlog. The store's pair is
packing the changed keys and encoding their rows for Redis, with and without the packed state's checksum.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

from contracts.frame import Frame, decode
from contracts.frame_check import FrameReader
from contracts.lanes import Lanes
from contracts.raw import RawBatch
from features.feast_row import RowWriterCodec
from features.feast_tiles import TilesView
from features.state import EntityState
from load.bench.outcome import commit, store
from load.bench.w1.headrace_run import Work
from load.this_project import CUSTOMER, PIPELINE
from streams.gate.core import GateCore
from streams.stage.core import Marker, StageCore
from streams.stage.entity_rows import with_tiles
from streams.stage.entity_stage import EntityStage
from streams.store.rows import StoreRows

EVENTS = 20_000
APPENDED_MS = 1_800_000_000_000
ROWS_A_CHECKPOINT = 25_000


class Pair(NamedTuple):
    """CPU µs an event with and without a check, and the median of the pairs' ratios."""

    with_us: float
    without_us: float
    ratio: float


class Unchecked(FrameReader):
    """The reader as it was: names of columns, and nothing else."""

    def read(self, data: bytes, lanes: Lanes) -> Frame:
        """Return the frame."""
        frame = decode(data)
        assert self._needed[frame.kind] <= frame.rows.keys()
        return frame


def main() -> None:
    """Time the pairs and print and store one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.checks", description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    asked = parser.parse_args()
    found: dict[str, Any] = {"scenario": "checks", "commit": commit(), "events": EVENTS, "pairs": asked.pairs}
    for rows in (10, 100, 2_000):
        found[f"stage, {rows} rows a frame"] = _stage(rows, asked.pairs)._asdict()
    found["store rows"] = _store(asked.pairs)._asdict()
    store(found)
    sys.stdout.write(json.dumps(found) + "\n")


def paired(with_it: Callable[[], int], without: Callable[[], int], pairs: int) -> Pair:
    """Run both sides in turns; each returns how many events it did."""
    with_it()  # compiles and warms
    without()
    sides: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs):
        order = (with_it, without) if number % 2 else (without, with_it)
        for side in order:
            began_s = time.process_time()
            events = side()
            sides[side is without].append(1e6 * (time.process_time() - began_s) / events)
    ratios = [one / other for one, other in zip(*sides, strict=True)]
    return Pair(*(round(statistics.median(figures), 4) for figures in (*sides, ratios)))


def frames_of(rows: int, events: int = EVENTS) -> list[bytes]:
    """Return the gate's frames of W1, so many events a batch."""
    core = GateCore(PIPELINE, partitions=1)
    core.assign("transactions", 0, 0)
    records = Work.of(events).records[:events]
    made = []
    for first in range(0, events, rows):
        part = records[first : first + rows]
        batch = [(0, first + row, APPENDED_MS, key, value, None) for row, (key, value) in enumerate(part)]
        made += [record.value or b"" for record in core.process("transactions", RawBatch.of(batch)).records]
    return made


def _stage(rows: int, pairs: int) -> Pair:
    frames = frames_of(rows)

    def run(reader: type[FrameReader]) -> int:
        made = EntityStage(PIPELINE, CUSTOMER, 0, 4)
        marker = Marker(input_offset=0, lanes={}, definitions_hash="")
        core = StageCore(
            "events.customer/0", made, marker, frames=reader("events.customer", PIPELINE, made.columns)
        )
        for number, frame in enumerate(frames):
            core.batch([(number, frame)])
            if (number + 1) * rows % ROWS_A_CHECKPOINT == 0:
                core.snapshot()
        assert core.counts.rows >= EVENTS - core.counts.repeats
        return EVENTS

    return paired(lambda: run(FrameReader), lambda: run(Unchecked), pairs)


def _store(pairs: int) -> Pair:
    """Time packed rows on their way to Redis, as the stage's writer makes them."""
    rows = EntityStage(PIPELINE, CUSTOMER, 0, 4)
    rows.tiles = True
    core = StageCore("events.customer/0", rows, Marker(input_offset=0, lanes={}, definitions_hash=""))
    frames = frames_of(1_000)
    written: list[StoreRows] = []
    for number, frame in enumerate(frames):
        written += core.batch([(number, frame)]).store_rows
    state = rows._state
    views = [(view.name, view.columns) for view in CUSTOMER.views]
    codec = RowWriterCodec("bench", CUSTOMER.join_key, views, TilesView.of(CUSTOMER))

    def run() -> int:
        count = 0
        for part in written:
            made = with_tiles(state, part._replace(tiles=None))
            codec.encode(made.keys, made.values, made.event_time_ms, made.positions, 1, made.tiles)
            count += len(made.keys)
        return count

    def without() -> int:
        with mock.patch.object(EntityState, "_put_sums", return_value=None):
            return run()

    return paired(run, without, pairs)


if __name__ == "__main__":
    main()
