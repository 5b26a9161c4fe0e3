"""Files of history, part by part: what was asked for, and the parts in which it is read."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import ConfigError
from contracts.pipeline import Pipeline
from features.seeded import ImportedFile
from headrace.traffic.form import Form
from headrace.traffic.input_files import LINES, LineRecords, Record, TableRecords, checked_rows, damaged
from headrace.traffic.named_files import forms_and_files

ROWS_A_PART = 50_000


class HistoryFile(NamedTuple):
    """A file as it was named, and what its records are."""

    form: Form
    path: Path


class FilePart(NamedTuple):
    """Records of a file one after the other, as they were read.

    `given` is a table, or the lines of a file of lines. In the file they begin with record `row`, from 1; in
    the source's raw log at offset `first`.
    """

    source: str
    path: Path
    row: int
    first: int
    given: "pa.Table | list[bytes]"

    @property
    def size(self) -> int:
        """How many records they are."""
        return len(self.given)


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


def parts_of(files: Sequence[HistoryFile], rows_a_part: int = ROWS_A_PART) -> Iterator[FilePart]:
    """Yield the files' records in their order; raw offsets count on over the files of a source.

    Raises:
        ConfigError: E_INPUT_DAMAGED.
    """
    first: dict[str, int] = {}
    for file in files:
        row, name = 1, file.form.name
        read = _tables if file.path.suffix == ".parquet" else _lines
        for given in read(file.path, rows_a_part):
            yield FilePart(name, file.path, row, first.get(name, 0), given)
            row, first[name] = row + len(given), first.get(name, 0) + len(given)


def records_of(part: FilePart, form: Form) -> list[Record]:
    """Return a part's records as a producer would send them.

    Raises:
        ConfigError: E_INPUT_DAMAGED, E_INPUT_FIELDS, E_INPUT_TYPE.
    """
    if isinstance(part.given, list):
        return LineRecords(part.given, form, first=part.row).slice(0, part.size)
    rows = checked_rows(part.given, form, part.path)
    return TableRecords(rows, form, np.zeros(part.size, np.int64)).slice(0, part.size)


def _tables(path: Path, rows_a_part: int) -> Iterator[pa.Table]:
    try:
        for batch in pq.ParquetFile(path).iter_batches(rows_a_part):
            yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


def _lines(path: Path, rows_a_part: int) -> Iterator[list[bytes]]:
    lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    for at in range(0, len(lines), rows_a_part):
        yield lines[at : at + rows_a_part]
