"""Files of history, part by part: every record judged by the code of the gate, at one moment for all."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import ConfigError
from contracts.frame import Columns
from contracts.hashed_fields import HashKeys
from contracts.pipeline import Pipeline, SourceStream
from contracts.raw import RawBatch
from contracts.verdict import judge
from features.seeded import ImportedFile
from headrace.importing.letters import RAW_PARTITION, Letter
from headrace.traffic.form import Form
from headrace.traffic.input_files import LINES, LineRecords, Record, TableRecords, checked_rows, damaged
from headrace.traffic.named_files import forms_and_files

ROWS_A_PART = 50_000


class HistoryFile(NamedTuple):
    """A file as it was named, and what its records are."""

    form: Form
    path: Path


class Part(NamedTuple):
    """Records of a file one after the other; their raw offsets begin at `first`."""

    source: SourceStream
    first: int
    records: list[Record]


class JudgedPart(NamedTuple):
    """A part, the columns of its good records, and what was refused of it."""

    part: Part
    good: Columns
    letters: list[Letter]


def history_files(pipeline: Pipeline, given: Sequence[str]) -> list[HistoryFile]:
    """Return the files named `SOURCE=FILE`, several of a source or one, in the order given.

    Raises:
        ConfigError: E_INPUT_SOURCE, E_INPUT_FILE, E_INPUT_FORMAT.

    >>> from features.project.running import project_at
    >>> history_files(project_at("examples/logins").pipeline, ["resets=/no/such.parquet"])
    Traceback (most recent call last):
    contracts.errors.ConfigError: E_INPUT_FILE: no such file (/no/such.parquet); give a Parquet or NDJSON file
    """
    files = [HistoryFile(form, path) for form, path in forms_and_files(pipeline, given)]
    for file in files:
        if not file.path.is_file():
            raise ConfigError("E_INPUT_FILE", "no such file", str(file.path), "give a Parquet or NDJSON file")
        if file.path.suffix not in (".parquet", *LINES):
            raise ConfigError(
                "E_INPUT_FORMAT", "not a Parquet or NDJSON file", str(file.path), "convert it to Parquet"
            )
    return files


def named(file: HistoryFile) -> ImportedFile:
    """Return how the note of an import names a file: by its bytes."""
    with file.path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return ImportedFile(source=file.form.name, file=str(file.path), sha256=digest)


def parts_of(file: HistoryFile, first: int, rows_a_part: int = ROWS_A_PART) -> Iterator[Part]:
    """Yield a file's records, whose raw offsets count on from `first`.

    Raises:
        ConfigError: E_INPUT_DAMAGED, E_INPUT_FIELDS, E_INPUT_TYPE.
    """
    read = _of_table if file.path.suffix == ".parquet" else _of_lines
    for records in read(file, rows_a_part):
        yield Part(file.form.source, first, records)
        first += len(records)


def judged(part: Part, at_ms: int, keys: HashKeys | None) -> JudgedPart:
    """Judge a part's records as of one moment, which says what contract and what secret are in force."""
    count = len(part.records)
    batch = RawBatch(
        [RAW_PARTITION] * count, list(range(part.first, part.first + count)), [at_ms] * count,
        [key for key, _ in part.records], [value for _, value in part.records], [None] * count,
    )  # fmt: skip
    verdict = judge(part.source, batch, keys)
    letters = [
        Letter(part.source.number, part.first + bad.row, bad.code, bad.reason, "gate", *part.records[bad.row])
        for bad in verdict.bad
    ]
    return JudgedPart(part, verdict.good, letters)


def _of_table(file: HistoryFile, rows_a_part: int) -> Iterator[list[Record]]:
    for table in _tables(file.path, rows_a_part):
        rows = checked_rows(table, file.form, file.path)
        records = TableRecords(rows, file.form, np.zeros(table.num_rows, np.int64))
        yield records.slice(0, table.num_rows)


def _tables(path: Path, rows_a_part: int) -> Iterator[pa.Table]:
    try:
        for batch in pq.ParquetFile(path).iter_batches(rows_a_part):
            yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


def _of_lines(file: HistoryFile, rows_a_part: int) -> Iterator[list[Record]]:
    lines = [line for line in file.path.read_bytes().splitlines() if line.strip()]
    for at in range(0, len(lines), rows_a_part):
        part = lines[at : at + rows_a_part]
        yield LineRecords(part, file.form, first=at + 1).slice(0, len(part))
