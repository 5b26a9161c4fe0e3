"""What a part of a declaration costs a stage chain: `python -m load.bench.prices`.

Small projects that differ in one thing fold the same seeded records in turns, in one process: a chain of two
entities, and with a third, with two fields for a key where one would do (there are as many keys), with a view
that counts under a filter, and with one that counts all. What counts is the CPU time of stages on record
batches of the gate: decoding, windows, output batches, checkpoints. A project's price is the median of the
pairs' ratios against the chain of two.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from contracts.frame import position
from contracts.raw import RawBatch
from features.project.running import RunningProject, project_at
from load.bench.checks import paired
from load.bench.outcome import commit, machine, store
from streams.gate.core import GateCore
from streams.stage.core import Marker, StageCore
from streams.stage.definition import StageDefinition, stage_of

EVENTS, BATCH_EVENTS, BATCHES_A_CHECKPOINT = 60_000, 1_000, 10
APPENDED_MS = 1_800_000_000_000
START_MS, SPAN_MS = 1_790_000_000_000, 30 * 86_400_000
KEYS = {"a_id": 3_000, "b_id": 2_000, "c_id": 2_500}
WINDOWS = '[count("1h 24h 7d"), sum_of("amount", "24h 7d"), since_last()]'

TEXT = "logicalTypeOptions: {minLength: 1, maxLength: 32}"
CONTRACT = f"""apiVersion: v3.1.0
kind: DataContract
id: events
name: events
version: "1.0.0"
status: active
description: {{purpose: "Records that are made for a benchmark."}}
customProperties:
  - {{property: eventTime, value: at}}
schema:
  - name: Event
    physicalName: events
    physicalType: topic
    logicalType: object
    description: One record.
    properties:
      - name: event_id
        logicalType: string
        required: true
        primaryKey: true
        description: Names the record.
        {TEXT}
      - name: at
        logicalType: integer
        physicalType: epoch_ms
        required: true
        description: When it happened.
        logicalTypeOptions: {{minimum: 946684800000, maximum: 4102444800000}}
      - {{name: a_id, logicalType: string, required: true, description: A key., {TEXT}}}
      - {{name: b_id, logicalType: string, required: true, description: A key., {TEXT}}}
      - {{name: b_twin, logicalType: string, required: true, description: Says what b_id says., {TEXT}}}
      - {{name: c_id, logicalType: string, required: true, description: A key., {TEXT}}}
      - name: amount
        logicalType: integer
        required: true
        description: A measure.
        logicalTypeOptions: {{minimum: 0, maximum: 1000000}}
      - name: result
        logicalType: string
        required: true
        description: Its outcome.
        enum: [{{value: "failed"}}, {{value: "passed"}}]
"""
HEAD = """from headrace import Entity, Project, Source, col, count, since_last, sum_of, view
events = Source("contracts/events.yaml")
a, b, c = Entity("a_id"), Entity("b_id"), Entity("c_id")
"""
TWO = f"by_a = view(a, events, {WINDOWS})\nby_b = view(b, events, {WINDOWS})\n"
PROJECTS = {
    "two entities": TWO + "views, chain = [by_a, by_b], [a, b]\n",
    "a third entity": TWO + f"views, chain = [by_a, by_b, view(c, events, {WINDOWS})], [a, b, c]\n",
    "a key of two fields": (
        "both = Entity('b_id', 'b_twin')\n"
        f"views, chain = [view(a, events, {WINDOWS}), view(both, events, {WINDOWS})], [a, both]\n"
    ),
    "a view under a filter": TWO
    + 'failed = view(a, events, [count("1h 24h 7d")], where=col("result") == "failed", name="failed")\n'
    "views, chain = [by_a, failed, by_b], [a, b]\n",
    "the same view without": TWO + 'again = view(a, events, [count("1h 24h 7d")], name="again")\n'
    "views, chain = [by_a, again, by_b], [a, b]\n",
}
BASE = "two entities"


def main() -> None:
    """Time the pairs and print and store one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.prices", description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--store", action="store_true", help="keep the result in load/results/prices.jsonl")
    asked = parser.parse_args()
    found: dict[str, Any] = {
        "scenario": "prices", "commit": commit(), "machine": machine(), "events": EVENTS,
        "pairs": asked.pairs,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as root:
        chains = {name: chain_of(Path(root), name, text) for name, text in PROJECTS.items()}
        for name in [name for name in PROJECTS if name != BASE]:
            found[name] = paired(chains[name], chains[BASE], asked.pairs)._asdict()
    if asked.store:
        store(found)
    sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")


def chain_of(root: Path, name: str, text: str) -> Callable[[], int]:
    """Return what folds all records through a project's chain anew, and says how many they were."""
    folder = root / name.replace(" ", "-")
    (folder / "contracts").mkdir(parents=True)
    (folder / "contracts" / "events.yaml").write_text(CONTRACT)
    last = 'project = Project("prices", scored=events, chain=chain, views=views)\n'
    (folder / "features.py").write_text(HEAD + text + last)
    project = project_at(str(folder))
    batches = list(_gated(project))

    def fold() -> int:
        log = batches
        for entity in project.entities:
            log = list(_staged(project, entity.name, log))
        return EVENTS

    return fold


def _gated(project: RunningProject) -> Iterator[bytes]:
    """Yield the record batches that the gate makes of the seeded records."""
    rng = np.random.default_rng(7)
    at_ms = START_MS + np.sort(rng.integers(0, SPAN_MS, EVENTS))
    keys = {field: rng.zipf(1.3, EVENTS) % count for field, count in KEYS.items()}
    amounts, failed = rng.integers(0, 100_000, EVENTS), rng.random(EVENTS) < 0.1
    core = GateCore(project.pipeline, partitions=1)
    core.assign("events", 0, 0)
    for first in range(0, EVENTS, BATCH_EVENTS):
        records = []
        for row in range(first, first + BATCH_EVENTS):
            document = {
                "event_id": f"e{row}", "at": int(at_ms[row]), "amount": int(amounts[row]),
                "result": "failed" if failed[row] else "passed",
                "b_twin": f"t{keys['b_id'][row]}",
                **{field: f"{field[0]}{numbers[row]}" for field, numbers in keys.items()},
            }  # fmt: skip
            records.append((0, row, APPENDED_MS, None, orjson.dumps(document), None))
        yield from (made.value or b"" for made in core.process("events", RawBatch.of(records)).records)


def _staged(project: RunningProject, entity: str, log: list[bytes]) -> Iterator[bytes]:
    """Yield the record batches that a stage makes of those on its input."""
    definition = StageDefinition(stage_of(project, entity), "", 1)
    marker = Marker(input_offset=0, lanes={}, definitions_hash=definition.definitions_hash)
    writer = definition.writer(0, position(0))
    core = StageCore(definition.source(0), definition.rows(0), marker, writer)
    for offset, batch in enumerate(log):
        yield from (made for _, made in core.batch([(offset, batch)]).records)
        if offset % BATCHES_A_CHECKPOINT == BATCHES_A_CHECKPOINT - 1:
            core.snapshot()


if __name__ == "__main__":
    main()
