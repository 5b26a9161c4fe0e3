"""Parts of files judged as the gate judges records, and their raw records written; in several processes.

A part is judged alone and knows its raw offsets, so it does not matter where and when: results come back in
the order of the parts.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from contracts.frame import Columns
from contracts.hashed_fields import HashKeys
from contracts.raw import RawBatch
from contracts.verdict import judge
from features.project.running import project_at
from headrace.importing.history import FilePart, records_of
from headrace.importing.letters import RAW_PARTITION, ImportLetter
from headrace.traffic.form import Form, forms_of
from streams.archive.parquet_files import file_path, write_whole
from streams.archive.rows import fields_of
from streams.archive.source_fields import SourceFields

AHEAD = 2  # parts a process that wait for it


class JudgedWith(NamedTuple):
    """What all parts of an import are judged with.

    Args:
        project: its folder.
        lake: the folder of the lake to which raw records go.
        at_ms: the moment as of which records are judged; it stands for when the broker had them.
        keys: the secrets of personal keys; None where nothing is hashed.
    """

    project: str
    lake: Path
    at_ms: int
    keys: HashKeys | None


class JudgedPart(NamedTuple):
    """How many records a part of a source had, the columns of the good ones, and what was refused."""

    source: str
    path: Path
    size: int
    good: Columns
    letters: list[ImportLetter]


def judged(parts: Iterable[FilePart], trial: JudgedWith, workers: int) -> Iterator[JudgedPart]:
    """Yield all parts judged, in their order; with one worker in this process.

    Raises:
        ConfigError: as `headrace.importing.history.records_of`.
    """
    if workers == 1:
        yield from (judge_part(part, trial) for part in parts)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        waiting = deque[Future[JudgedPart]]()
        try:
            for part in parts:
                waiting.append(pool.submit(judge_part, part, trial))
                if len(waiting) > AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def judge_part(part: FilePart, trial: JudgedWith) -> JudgedPart:
    """Judge one part as of the moment, and write its raw records."""
    form, fields = _read_with(trial.project, part.source)
    records, source = records_of(part, form), form.source
    keys, values = [key for key, _ in records], [value for _, value in records]
    offsets = range(part.first, part.first + len(records))
    batch = RawBatch(
        [RAW_PARTITION] * len(records), list(offsets), [trial.at_ms] * len(records), keys, values,
        [None] * len(records),
    )  # fmt: skip
    verdict = judge(source, batch, trial.keys)
    letters = [
        ImportLetter(source.number, part.first + bad.row, bad.code, bad.reason, "gate", *records[bad.row])
        for bad in verdict.bad
    ]
    table = pa.table(
        {
            "offset": pa.array(offsets, pa.int64()),
            "appended_ms": pa.array(batch.timestamps_ms, pa.int64()),
            "key": pa.array(keys, pa.binary()),
            "value": pa.array(values, pa.binary()),
            **fields.columns(values),
        }
    )
    path = file_path(trial.lake, source.topic, RAW_PARTITION, part.first)
    write_whole(table, path, part.first, part.first + len(records))
    return JudgedPart(part.source, part.path, len(records), verdict.good, letters)


@cache
def _read_with(project: str, source: str) -> tuple[Form, SourceFields]:
    """Return how a source's records are written, and what they are found by."""
    form = forms_of(project_at(project).pipeline)[source]
    return form, fields_of(form.source)
