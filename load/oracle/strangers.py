"""Which code a record between the stages is refused with, after the page of frames; none if a stage wrote it.

The questions come in the order in which a reader asks them, and the first that is answered wrongly gives the
code: is it a frame, is its schema one, are its bytes all there, does the topic have rows of that kind, are
its columns the declared ones, are its positions possible, can its cells hold what they hold, is its lane one
of the topic's, and has the lane's input come that far.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from load.oracle.frames import HEAD, ROW_BITS, Frame, read_frame
from load.oracle.sources import POSITIVE, ProjectOracle, SourceOracle
from load.oracle.terms import NULL, TIME_MAX_MS, Field

OFFSET_MAX = 1 << 40
POSITION_MAX = OFFSET_MAX << ROW_BITS
PARTITION_MAX = (1 << 16) - 1
PARTITIONS_MAX, COLUMNS_MAX, TEXT_BYTES_MAX = 1000, 512, 256
LOG = "features.log"
ORIGIN = {"pos", "raw_partition", "raw_offset", "appended_ms"}
_COLUMN = re.compile(
    rb"([A-Za-z_][A-Za-z0-9_]*):(?:([0-9]{1,4})\*)?(<[iu][248]|<f[48]|\|[iu]1|\|b1|\|S[1-9][0-9]{0,4})"
)


class SchemaPart(NamedTuple):
    """A column as a schema names it; a width of 0 is one value a row."""

    name: str
    width: int
    dtype: str


class Cells(NamedTuple):
    """What a column's cells may be: their type, the bounds of a number, what a text must be."""

    dtype: str
    bounds: tuple[int, int] | None = None
    nullable: bool = False
    filled: bool = False  # of a text: never empty, and no NUL inside


class FrameOracle:
    """What a record of each topic between a project's stages may be."""

    def __init__(self, project: ProjectOracle) -> None:
        self._project = project
        numbers = {source.number for source in project.sources}
        self.needed: dict[str, dict[int, set[str]]] = {}
        self.lanes: dict[str, dict[str, set[int]]] = {}
        for link in project.links:
            before = project.links[: link.place]
            self.needed[link.input] = {
                source.number: ORIGIN | source.columns | _added(source, [one.name for one in before])
                for source in project.sources
            }
            self.lanes[link.input] = (
                {before[-1].input: numbers} if before
                else {source.topic: {source.number} for source in project.sources}
            )  # fmt: skip
        values = {f"{link.name}_values" for link in project.links}
        self.needed[LOG] = {
            source.number: {"pos", "appended_ms", source.time, *(values if source.is_scored else ())}
            for source in project.sources
        }
        self.lanes[LOG] = {project.links[-1].input: numbers}
        self._cells = _cells(project)
        self._values = values
        self._same = {f"{link.name}_definitions" for link in project.links}
        self._code = lru_cache(maxsize=1 << 18)(self._found)

    def is_ours(self, data: bytes, topic: str, ends: Mapping[str, int]) -> bool:
        """Tell whether a stage could have written a record of a topic between stages."""
        return not self.code_due(data, topic, ends)

    def code_due(self, data: bytes, topic: str, ends: Mapping[str, int]) -> str:
        """Return the code that a reader of the topic refuses a record with; empty if it may believe it.

        Found once for each record: faults are planted in copies of a run, which share nearly all of them.

        Args:
            ends: by lane, where its input ended when the log was read; 0 where it never had a record.
        """
        return self._code(data, topic, tuple(sorted(ends.items())))

    def _found(self, data: bytes, topic: str, ends: tuple[tuple[str, int], ...]) -> str:
        if len(data) < HEAD.size or data[:4] != b"HRF1":
            return "E_FRAME_MAGIC"
        columns = _columns(data)
        if columns is None:
            return "E_FRAME_SCHEMA"
        if _bytes_due(data, columns) != len(data):
            return "E_FRAME_LENGTH"
        frame = read_frame(data)
        if frame.kind not in self.needed[topic]:
            return "E_FRAME_KIND"
        if not self._good_types(columns, self.needed[topic][frame.kind]):
            return "E_FRAME_TYPES"
        if not 0 <= frame.frm <= frame.to <= POSITION_MAX:
            return "E_FRAME_JUMP"
        return self._code_of_content(frame, topic, dict(ends))

    def _good_types(self, columns: list[SchemaPart], needed: set[str]) -> bool:
        names = [column.name for column in columns]
        if len(set(names)) < len(names) or len(names) > COLUMNS_MAX or not needed <= set(names):
            return False
        return all(self._good_type(column) for column in columns)

    def _good_type(self, column: SchemaPart) -> bool:
        """Tell whether a column has its type; one that is not declared may have any, but no wider text."""
        if column.name in self._values:
            return column.width > 0 and column.dtype == "<f8"
        known = self._cells.get(column.name)
        if (known.dtype if known else column.dtype[:2]) == "|S":
            return not column.width and column.dtype[:2] == "|S" and int(column.dtype[2:]) <= TEXT_BYTES_MAX
        return known is None or (column.width, column.dtype) == (0, known.dtype)

    def _code_of_content(self, frame: Frame, topic: str, ends: Mapping[str, int]) -> str:
        """Return the code of a whole frame of the right kind, types and span, by its rows and its lane."""
        places = [row["pos"] for row in frame.rows]
        in_order = all(a < b for a, b in zip([frame.frm - 1, *places], [*places, frame.to], strict=True))
        same = all(len({row[name] for row in frame.rows if name in row}) <= 1 for name in self._same)
        cells = all(self._good_cell(name, cell) for row in frame.rows for name, cell in row.items())
        if frame.rows and not (in_order and same and cells):
            return "E_FRAME_RANGE"
        source, _, number = frame.src.rpartition("/")
        good_number = number.isdigit() and str(int(number)) == number and int(number) < PARTITIONS_MAX
        if not good_number or frame.kind not in self.lanes[topic].get(source, set()) or frame.src not in ends:
            return "E_FRAME_LANE"
        end = ends[frame.src]
        return "E_FRAME_JUMP" if end and frame.to > end << ROW_BITS else ""

    def _good_cell(self, name: str, cell: Any) -> bool:
        known = self._cells.get(name)
        if known is None:
            return True
        if known.dtype == "|S":
            try:
                text = cell.decode()
            except UnicodeDecodeError:
                return False
            return not known.filled or (bool(text) and "\0" not in text)
        if known.bounds is None or (known.nullable and cell == NULL):
            return True
        return bool(known.bounds[0] <= cell <= known.bounds[1])


def _added(source: SourceOracle, before: list[str]) -> set[str]:
    """Return the columns that a row has besides its own, where it comes from the gate or behind entities."""
    if not before:
        return {"content_hash"} if source.drops_repeats else set()
    made = ("partition", "pos", "values") if source.is_scored else ("partition", "pos")
    return {"late", *(f"{name}_{what}" for name in before for what in made)}


def _cells(project: ProjectOracle) -> dict[str, Cells]:
    names = [link.name for link in project.links]
    offsets, partitions = (0, OFFSET_MAX), (0, PARTITION_MAX)
    return {
        **{name: _field_cells(project, name) for source in project.sources for name in source.kinds},
        "pos": Cells("<i8"), "raw_offset": Cells("<i8", offsets), "appended_ms": Cells("<i8", (-1, 1 << 43)),
        "raw_partition": Cells("<i4", partitions), "content_hash": Cells("<u8"),
        "late": Cells("|u1", (0, (1 << len(names)) - 1)), "traceparent": Cells("|S"),
        POSITIVE: Cells("|u1", (0, 1)),
        **{f"{name}_partition": Cells("<i4", partitions) for name in names},
        **{f"{name}_pos": Cells("<i8", (0, POSITION_MAX)) for name in names},
        **{f"{name}_definitions": Cells("<u8") for name in names},
    }  # fmt: skip


def _field_cells(project: ProjectOracle, name: str) -> Cells:
    having = [source for source in project.sources if name in source.kinds]
    if any(source.time == name for source in project.sources):
        return Cells("<i8", (0, TIME_MAX_MS))
    always = all(source.never_lacks([name]) for source in having)
    fields = [terms.by_name[name] for one in having for terms in one.versions if name in terms.by_name]
    if having[0].kinds[name] == "text":
        return Cells("|S", filled=always)
    if fields[0].column == "float":
        return Cells("<f8")
    bounds = [_column_bounds(field) for field in fields]
    return Cells("<i8", (min(low for low, _ in bounds), max(high for _, high in bounds)), nullable=not always)


def _column_bounds(field: Field) -> tuple[int, int]:
    low, high = field.bounds
    if field.written == "epoch_s":
        return low * 1000, high * 1000
    return (low // 1000, high // 1000) if field.written == "epoch_us" else (low, high)


def _columns(data: bytes) -> list[SchemaPart] | None:
    """Return the columns of a schema, None where it is none."""
    begin = HEAD.size + data[6]
    found = [
        _COLUMN.fullmatch(part)
        for part in data[begin : begin + int.from_bytes(data[7:9], "little")].split(b";")
    ]
    columns = [SchemaPart(one[1].decode(), int(one[2] or 0), one[3].decode()) for one in found if one]
    return columns if len(columns) == len(found) else None


def _bytes_due(data: bytes, columns: list[SchemaPart]) -> int:
    rows = int.from_bytes(data[25:29], "little")
    a_row = sum((column.width or 1) * np.dtype(column.dtype).itemsize for column in columns)
    return HEAD.size + data[6] + int.from_bytes(data[7:9], "little") + rows * a_row
