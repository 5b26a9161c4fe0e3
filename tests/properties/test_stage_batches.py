"""A stage makes the same of records however they are batched, with sources in any order between each other.

The definition is one record a batch: no rows of two sources are ever folded together. How the rows are cut
into records, and what these say of their lanes, is as when each run of one source were a batch of its own.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.frame import Columns, Frame, decode, length, position, strings, take
from contracts.lanes import LaneWriter, accept
from contracts.pipeline import SourceStream
from contracts.row_columns import entered_columns
from features.project.load import load_project
from features.project.running import RunningProject
from runtime.project_folder import INSTALLED
from streams.stage.core import Marker, StageCore, Step
from streams.stage.definition import StageDefinition, stage_of
from streams.stage.warm_up import nobody

PROJECTS = (RunningProject(load_project(INSTALLED)), RunningProject(load_project(Path("examples/logins"))))
START = Marker(input_offset=0, lanes={}, definitions_hash="")
T0, HOUR_MS = 1_700_000_000_000, 3_600_000
Log = list[bytes]


def record_rows(
    project: RunningProject, source: SourceStream, rng: np.random.Generator, first: int
) -> Columns:
    """Return one to four rows as the gate makes them: few keys and ids, some missing, repeated and late."""
    count = int(rng.integers(1, 5))
    template = take(nobody(project), np.zeros(count, np.intp))
    rows = {name: template[name] for name in template if name in entered_columns(source)}
    keys = {field for link in project.pipeline.chain.links for field in link.fields} | set(source.ids)
    for name in keys & set(source.names):
        low = int(source.always_has_field(name))
        kinds = 12 if name in source.ids else 3
        rows[name] = strings([f"k{n}" if n else "" for n in rng.integers(low, kinds + 1, count).tolist()])
    rows["raw_offset"] = first + np.arange(count)
    rows["pos"] = rows["raw_offset"] << 20
    late_ms = (rng.random(count) < 0.2) * rng.integers(0, 60, count) * 24 * HOUR_MS
    rows[source.time] = T0 + first * HOUR_MS + rng.integers(0, HOUR_MS, count) - late_ms
    if "content_hash" in rows:
        rows["content_hash"] = rng.integers(0, 2, count).astype(np.uint64)
    return rows


def gate_log(project: RunningProject, rng: np.random.Generator, records: int) -> Log:
    """Return the first stage's input: records of all sources, in an order that is drawn."""
    sources = project.pipeline.sources
    lanes = {source.number: LaneWriter(f"{source.topic}/0", 0) for source in sources}
    offsets = dict.fromkeys(lanes, 0)
    log = Log()
    for number in rng.integers(1, len(sources) + 1, records).tolist():
        rows = record_rows(project, sources[number - 1], rng, offsets[number])
        offsets[number] += length(rows)
        nowhere = np.zeros(length(rows), np.int32)
        log += [data for _, data in lanes[number].emit(number, rows, nowhere, position(offsets[number]))]
    return log


def plain(frame: Frame, rows: Columns) -> list[dict[str, Any]]:
    """Return rows without the widths of texts, and whether columns are there at all."""
    cells = {
        name: [row.tobytes() for row in column] if column.ndim == 2 else column.tolist()
        for name, column in rows.items()
        if name != "pos"
    }
    return [{"kind": frame.kind} | {name: cells[name][row] for name in cells} for row in range(length(rows))]


def header_of(frame: Frame) -> tuple[Any, ...]:
    return (frame.src, frame.frm, frame.to, frame.claim, frame.kind, frame.rows["pos"].tolist())


class Found:
    """All that a stage made of a log, as its readers see it."""

    def __init__(self, core: StageCore, log: Log, cuts: list[int]) -> None:
        self.logs: dict[int, Log] = {}
        self.store: dict[bytes, tuple[bytes, int, int]] = {}
        self.letters: list[tuple[Any, ...]] = []
        for begin, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
            step = core.batch(list(enumerate(log))[begin:end])
            assert len(step.store_rows) <= 1, "rows of a batch go to the store at once"
            self._take(step)
        self.rows = {target: self._read(one) for target, one in self.logs.items()}
        self.records = {
            target: [header_of(decode(data)) for data in one] for target, one in self.logs.items()
        }
        counts = core.counts
        self.counts = (counts.rows, counts.late_rows, counts.repeats, counts.refused, counts.lane_gaps)
        latest = core.rows.latest()
        self.latest = {
            key: (latest.values[i].tobytes(), int(latest.event_time_ms[i]), int(latest.positions[i]))
            for i, key in enumerate(latest.keys.tolist())
        }

    def _take(self, step: Step) -> None:
        for target, data in step.records:
            self.logs.setdefault(target, []).append(data)
        for rows in step.store_rows:
            for i, key in enumerate(rows.keys.tolist()):
                at = int(rows.event_time_ms[i]), int(rows.positions[i])
                self.store[key] = (rows.values[i].tobytes(), *at)
        self.letters += [
            (one.code, one.kind, one.frm, one.to, one.claim, one.row) for one in step.dead_letters
        ]

    @staticmethod
    def _read(log: Log) -> list[dict[str, Any]]:
        lanes, found = dict[str, int](), []
        for data in log:
            frame = decode(data)
            rows = accept(frame, lanes, lambda gap: pytest.fail(f"gap at {gap.frm}"))
            found += plain(frame, rows)
        return found


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
@pytest.mark.parametrize("seed", range(12))
def test_batches_of_many_sources_make_what_single_records_make(project: RunningProject, seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = gate_log(project, rng, 60)
    for link in project.pipeline.chain.links:
        definition = StageDefinition(stage_of(project, link.name), "", 2)
        cuts = set(rng.integers(1, len(log), int(rng.integers(0, 6))).tolist())
        kinds = [decode(data).kind for data in log]
        changes = {at for at in range(1, len(log)) if kinds[at] != kinds[at - 1]}
        alone, runs, together = (
            Found(StageCore(definition.source(0), definition.rows(0), START), log, sorted(at))
            for at in (set(range(1, len(log))), cuts | changes, cuts)
        )
        assert {row["kind"] for rows in alone.rows.values() for row in rows} == set(kinds)
        other = [
            name
            for name in ("rows", "letters", "counts", "store", "latest")
            if vars(together)[name] != vars(alone)[name]
        ]
        assert other == []  # the values are too long to be shown
        assert alone.store == alone.latest
        assert together.records == runs.records
        log = max(alone.logs.values(), key=len)
