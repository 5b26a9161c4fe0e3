"""Compile what a stage compiles, once, on rows of nobody: otherwise the first events would wait for it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.contract_version import ContractField
from contracts.frame import Columns, position, strings
from contracts.frame_check import rules_of
from contracts.lanes import LaneWriter
from features.feast_tiles import arguments
from features.project.running import RunningProject, project_of_process
from features.warm_up import exercise
from streams.stage.core import Marker, StageCore
from streams.stage.definition import StageDefinition, stage_of


def warm_up(definition: StageDefinition) -> None:
    """Fold a row of each kind through a stage that is thrown away, and ask its state all it may be asked."""
    exercise(definition.entity)
    core = StageCore(
        definition.source(0), definition.rows(0), Marker(input_offset=0, lanes={}, definitions_hash="")
    )
    offset = 0
    for kind in core.rows.columns:
        lane = LaneWriter(f"{_source_of(definition, kind)}/0", 0)
        for many in (1, 2):  # the columns of one record are its bytes; those of several are copies
            records = []
            for _ in range(many):
                row = nobody(definition.project) | {"pos": np.array([position(offset)])}
                made = lane.emit(kind, row, np.zeros(1, np.int32), position(offset + 1))
                records.append((offset, made[0][1]))
                offset += 1
            core.batch(records)
    assert not core.counts.unreadable_records, "rows of nobody are refused, and nothing was compiled"
    again = definition.rows(0)
    again.load({key: blob for key, blob in core.snapshot().entries if blob is not None}, {})
    rows = again.latest()
    if rows.tiles is not None:
        arguments(np.zeros((1, 1), np.uint8), rows.tiles.packed)


def _source_of(definition: StageDefinition, kind: int) -> str:
    """Return a topic whose lanes bring rows of a source to this stage."""
    lanes = rules_of(definition.pipeline).lanes_of(definition.source(0).rpartition("/")[0])
    return next(topic for topic, kinds in lanes.items() if kind in kinds)


def nobody(project: RunningProject) -> Columns:
    """Return one row with the columns of every source."""
    pipeline = project.pipeline
    fields = [fields[0] for fields in pipeline.fields_by_name.values()]
    rows: Columns = {name: np.ones(1, np.int64) for name in ("pos", "raw_offset", "appended_ms")}
    rows |= {field.name: _some(field) for field in fields}
    rows["traceparent"] = strings(["warm"])
    rows |= {mark: np.zeros(1, np.uint8) for source in pipeline.sources for mark in source.marks}
    rows["raw_partition"], rows["late"] = np.zeros(1, np.int32), np.zeros(1, np.uint8)
    for link, entity in zip(pipeline.chain.links, project.entities, strict=True):
        rows[link.partition] = np.zeros(1, np.int32)
        rows[link.position] = np.ones(1, np.int64)
        rows[link.values] = np.zeros((1, len(entity.columns)))
    rows["content_hash"] = np.zeros(1, np.uint64)
    return rows


def _some(field: ContractField) -> NDArray[Any]:
    """Return a column of one value of a field."""
    if field.column == "text":
        return strings(["warm"])
    return np.full(1, field.column_bounds[0], np.int64) if field.column == "int64" else np.zeros(1)


def main() -> None:
    """Compile into the cache on disk, as the set-up does, so that no first start waits for it."""
    project = project_of_process()
    for name in project.pipeline.chain.names:
        warm_up(StageDefinition(stage_of(project, name), ""))


if __name__ == "__main__":
    main()
