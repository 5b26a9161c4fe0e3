"""What was refused of an import: dead letters in its lake, as the archive keeps those of a stream."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

RAW_PARTITION = 0  # imported records lie in one, in the order of the files


class ImportLetter(NamedTuple):
    """A refused record: its source's number, raw offset, why, by which stage, and its own bytes."""

    kind: int
    offset: int
    code: str
    reason: str
    stage: str
    key: bytes | None
    value: bytes | None


class Origins:
    """Which row of which file each record of a source was, by its raw offset.

    >>> origins = Origins()
    >>> origins.add("a.parquet", 3)
    >>> origins.add("b.parquet", 2)
    >>> origins.of(2), origins.of(3)
    (('a.parquet', 3), ('b.parquet', 1))
    """

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._files: list[str] = []
        self.total = 0

    def add(self, file: str, rows: int) -> None:
        """Note that the next records are the next rows of a file."""
        if not self._files or self._files[-1] != file:
            self._begins.append(self.total)
            self._files.append(file)
        self.total += rows

    def of(self, offset: int) -> tuple[str, int]:
        """Return the file of a record, and its number there, from 1."""
        at = bisect_right(self._begins, offset) - 1
        return self._files[at], offset - self._begins[at] + 1


def letter_table(letters: Sequence[ImportLetter], topic: str, origins: Origins, at_ms: int) -> pa.Table:
    """Return one row a letter, with the columns of the archive, and `file` and `row` beside them."""
    placed = [origins.of(letter.offset) for letter in letters]
    count = len(letters)
    return pa.table(
        {
            "offset": pa.array(range(count), pa.int64()),
            "appended_ms": pa.array([at_ms] * count, pa.int64()),
            "key": pa.array([letter.key for letter in letters], pa.binary()),
            "value": pa.array([letter.value for letter in letters], pa.binary()),
            "code": pa.array([letter.code for letter in letters], pa.string()),
            "reason": pa.array([letter.reason for letter in letters], pa.string()),
            "stage": pa.array([letter.stage for letter in letters], pa.string()),
            "origin_topic": pa.array([topic] * count, pa.string()),
            "origin_partition": pa.array([RAW_PARTITION] * count, pa.int64()),
            "origin_offset": pa.array([letter.offset for letter in letters], pa.int64()),
            "origin_timestamp": pa.array([at_ms] * count, pa.int64()),
            "file": pa.array([file for file, _ in placed], pa.string()),
            "row": pa.array([row for _, row in placed], pa.int64()),
        }
    )
