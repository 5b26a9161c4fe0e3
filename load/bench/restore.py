"""Scenario `restore`: a real take-over from a real changelog of a million customers, as the stage does it."""

import time
from pathlib import Path

import numpy as np

from contracts.connections import KafkaConnection
from contracts.errors import StateError
from contracts.frame import Kind
from headrace.servers import Servers
from load.bench.activity import Activity, numbered
from load.bench.apart import apart
from load.bench.measure import Figures, Meter
from load.bench.outcome import Outcome
from load.bench.stack import BenchStack
from load.this_project import PROJECT
from streams.stage.changelog import Changelog, ChangelogReader
from streams.stage.core import Marker, Snapshot
from streams.stage.definition import StageDefinition, stage_of

CUSTOMERS, EVENTS = 1_000_000, 3_000_000
CHECKPOINTS_AT = (0.9, 1.0)  # shares of the events: what is paid between is in the log twice
SAMPLE = 2_000


def run(root: Path, servers: Servers) -> Outcome:
    """Fill a changelog in one process, take it over in another, and compare what both hold of some keys."""
    with BenchStack(root, servers, "restore") as stack:
        filled, wanted = apart(fill, stack.kafka, stack.run.topic_prefix)
        figures, found = apart(restore, stack.kafka, stack.run.topic_prefix)
    if found != wanted:
        raise StateError(
            "E_BENCH_RESTORE", "the restored state answers otherwise than the one it was made from",
            stack.run.topic_prefix, "look at features/packing.py and streams/stage/changelog.py",
        )  # fmt: skip
    return Outcome(
        figures=figures,
        parts={"filling": filled},
        more={"seconds": round(figures.wall_s, 2)},
        seed=Activity(1, 1).seed,
        notes=[
            f"{CUSTOMERS:,} customers of ordinary activity and a day of remembered transaction ids",
            f"an event is a restored key; {SAMPLE:,} of them answer with the same bits as before",
        ],
    )


def fill(kafka: KafkaConnection, prefix: str) -> tuple[Figures, list[bytes]]:
    """Fold the activity and write it to the changelog as the stage's checkpoints do."""
    definition = StageDefinition(stage_of(PROJECT, "customer"), prefix, 1)
    changelog = Changelog(kafka, definition.changelog_topic, 0, definition.transactional_id(0), 300.0)
    changelog.take_over(ChangelogReader(kafka), definition.definitions_hash)
    rows = definition.rows(0)
    at = [round(EVENTS * share) for share in CHECKPOINTS_AT]
    meter, done, records = Meter(), 0, 0
    for chunk in Activity(CUSTOMERS, EVENTS).chunks():
        rows.apply([(Kind.SCORED, chunk)])
        done += len(chunk["pos"])
        if at and done >= at[0]:
            at.pop(0)
            entries = rows.take_dirty()
            records += len(entries)
            marker = Marker(
                input_offset=done, lanes={}, definitions_hash=definition.definitions_hash, extra=rows.extra()
            )
            changelog.commit(Snapshot(entries, marker))
    return meter.read(EVENTS, keys=float(len(rows)), records=float(records)), _sample(rows)


def restore(kafka: KafkaConnection, prefix: str) -> tuple[Figures, list[bytes]]:
    """Take over: fence, read to the end, load; warm before, as a worker is when it joins."""
    definition = StageDefinition(stage_of(PROJECT, "customer"), prefix, 1)
    warm = definition.rows(0)
    warm.apply([(Kind.SCORED, next(Activity(1_000, 1_000).chunks()))])
    definition.rows(0).load(dict(_kept(warm.take_dirty())), {})
    reader = ChangelogReader(kafka)
    reader.warm(definition.changelog_topic)
    meter = Meter()
    began_s = time.perf_counter()
    changelog = Changelog(kafka, definition.changelog_topic, 0, definition.transactional_id(0))
    restored = changelog.take_over(reader, definition.definitions_hash)
    read_s = time.perf_counter() - began_s
    rows = definition.rows(0)
    rows.load(restored.entries, restored.marker.extra)
    load_s = time.perf_counter() - began_s - read_s
    figures = meter.read(len(rows), read_s=read_s, load_s=load_s)
    return figures, _sample(rows)


def _kept(entries: list[tuple[bytes, bytes | None]]) -> list[tuple[bytes, bytes]]:
    return [(key, blob) for key, blob in entries if blob is not None]


def _sample(rows: object) -> list[bytes]:
    """Return the packed state of some keys, which holds every bit of it."""
    keys = numbered(b"c", np.arange(0, CUSTOMERS, CUSTOMERS // SAMPLE), 7)
    packed: list[bytes] = rows._state.export(keys)  # type: ignore[attr-defined]
    return packed
