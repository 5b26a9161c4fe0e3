"""A lake of any project as its archive would write it: gate and stages themselves, no servers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, concat, length, take
from contracts.hashed_fields import HashKey, HashKeys
from contracts.keys import partition_of, targets_of
from contracts.meaning import Meanings
from contracts.pipeline import SourceStream
from contracts.raw import RawBatch
from contracts.verdict import judge
from features.meaning import meaning_of
from features.project.running import RunningProject
from inference.offline.lake.lake import FixedLake
from streams.archive.frames import feature_table
from streams.archive.parquet_files import file_path, write_whole
from streams.archive.rows import JsonRows, fields_of
from streams.stage.entity_stage import EntityStage
from tests.lake_maker import Record

PARTITIONS = 4
KEYS = HashKeys((HashKey(version=1, from_ms=0, secret=b"a secret of tests"),))


class Sent(NamedTuple):
    """A record as a producer sends it."""

    at_ms: int  # when the broker had it
    key: bytes
    value: bytes


class _Run(NamedTuple):
    """Rows of one source that come to a partition of a stage one after the other."""

    kind: int
    rows: Columns


def make_project_lake(
    folder: Path, project: RunningProject, sent: Mapping[str, Sequence[Sent]], partitions: int = PARTITIONS
) -> FixedLake:
    """Write the raw datasets and the log of features of records by source, and return the lake.

    The first stage takes them in the order in which the broker had them; labels come as all others do.
    """
    pipeline = project.pipeline
    entered = [
        run
        for source in pipeline.sources
        for run in _entered(folder, source, sent.get(source.name, ()), partitions)
    ]
    inputs = _dealt(project, entered, partitions)
    for entity in project.entities:
        stages = [EntityStage(pipeline, entity, number, partitions) for number in range(partitions)]
        outputs: list[list[_Run]] = [[] for _ in range(partitions)]
        for number, runs in enumerate(inputs):
            for run in _placed(runs):
                (made,) = stages[number].apply([(run.kind, run.rows)]).outcomes
                for row, target in enumerate(made.targets.tolist()):  # alone: rows of others may come between
                    outputs[target].append(_Run(run.kind, take(made.rows, slice(row, row + 1))))
        inputs = [sorted(runs, key=lambda run: int(run.rows["appended_ms"][0])) for runs in outputs]
    _write_log(folder, project, inputs)
    return FixedLake(folder, project)


def _entered(folder: Path, source: SourceStream, sent: Sequence[Sent], count: int) -> list[_Run]:
    """Write a source's raw dataset, and return its good rows, each alone, as they come to the first stage."""
    if not sent:
        return []
    partitions = partition_of(np.array([one.key for one in sent], np.bytes_), count)
    records: list[tuple[int, int, int, bytes, bytes, None]] = []
    for number in range(count):
        mine = [sent[i] for i in np.flatnonzero(partitions == number).tolist()]
        records += [(number, at, one.at_ms, one.key, one.value, None) for at, one in enumerate(mine)]
        rows = [Record(at, one.at_ms, one.key, one.value) for at, one in enumerate(mine)]
        if rows:
            table = JsonRows(fields_of(source)).table(rows)  # type: ignore[arg-type]  # as the archive reads it
            write_whole(table, file_path(folder, source.topic, number, 0), 0, len(rows))
    good = judge(source, RawBatch.of(records), KEYS).good
    order = np.argsort(good["appended_ms"], kind="stable")
    return [_Run(source.number, take(good, order[at : at + 1])) for at in range(len(order))]


def _dealt(project: RunningProject, entered: list[_Run], partitions: int) -> list[list[_Run]]:
    """Return what comes to each partition of the first stage, in order of arrival."""
    first, by_number = project.pipeline.chain.first, project.pipeline.by_number
    inputs: list[list[_Run]] = [[] for _ in range(partitions)]
    for run in sorted(entered, key=lambda run: int(run.rows["appended_ms"][0])):
        target = int(targets_of(run.rows, first, by_number[run.kind], partitions)[0])
        inputs[target].append(run)
    return inputs


def _placed(runs: list[_Run]) -> list[_Run]:
    """Return the runs of a partition with their positions; those of one source that follow are one."""
    joined: list[list[_Run]] = []
    for run in runs:
        if joined and joined[-1][0].kind == run.kind:
            joined[-1].append(run)
        else:
            joined.append([run])
    at, placed = 0, []
    for group in joined:
        rows = concat([run.rows for run in group])
        pos: NDArray[np.int64] = (np.arange(at, at + length(rows), dtype=np.int64)) << 20
        placed.append(_Run(group[0].kind, {**rows, "pos": pos}))
        at += length(rows)
    return placed


def _write_log(folder: Path, project: RunningProject, inputs: list[list[_Run]]) -> None:
    pipeline = project.pipeline
    meanings = Meanings(tuple(meaning_of(entity) for entity in project.entities))
    for number, runs in enumerate(inputs):
        at, by_source = 0, dict[int, list[Columns]]()
        for run in runs:
            rows = {**run.rows, "offset": np.arange(at, at + length(run.rows), dtype=np.int64)}
            at += length(rows)
            by_source.setdefault(run.kind, []).append(rows)
        names = {kind: pipeline.log_dataset(pipeline.by_number[kind]) for kind in by_source}
        for kind, parts in by_source.items():
            table = feature_table(parts, pipeline.by_number[kind], meanings)
            write_whole(table, file_path(folder, names[kind], number, 0), 0, at, names.values())
