"""Reading the lake: whole datasets, or the one row that was asked for.

Files are named by the first offset they hold. An archive that was paused while another took its place may
have written rows that the next file holds too; they are equal, and a file counts only up to the first
offset of the next one.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import StateError
from features.project.running import RunningProject, project_at

PARTITION = "partition"


class LakeFile(NamedTuple):
    """One file of a dataset and the offsets it counts for: [first_offset, before_offset)."""

    path: Path
    partition: int
    first_offset: int
    before_offset: int | None


class Lake:
    """The datasets under one folder, of one project.

    >>> Lake(Path("no/such/lake"), project_at("examples/logins")).has("features")
    False
    """

    def __init__(self, folder: Path, project: RunningProject) -> None:
        self.folder, self.project = folder, project

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process makes the lake of: the project goes by its folder."""
        return {**vars(self), "project": str(self.project.folder)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` returned."""
        vars(self).update(state | {"project": project_at(state["project"])})

    @property
    def logs(self) -> tuple[str, ...]:
        """The datasets that hold the feature log, one a source."""
        pipeline = self.project.pipeline
        return tuple(pipeline.log_dataset(source) for source in pipeline.sources)

    def has(self, dataset: str) -> bool:
        """Return whether the dataset has any file."""
        return next((self.folder / dataset).glob("partition=*/[0-9]*.parquet"), None) is not None

    def files(self, dataset: str) -> list[LakeFile]:
        """Return the dataset's files by partition and offset; hidden (unfinished) ones are passed over."""
        found: list[LakeFile] = []
        folders = (self.folder / dataset).glob("partition=*")
        for folder in sorted(folders, key=lambda f: int(f.name.partition("=")[2])):
            partition = int(folder.name.partition("=")[2])
            paths = sorted(folder.glob("[0-9]*.parquet"))
            starts = [int(path.stem) for path in paths]
            found += [
                LakeFile(path, partition, first, before)
                for path, first, before in zip(paths, starts, [*starts, None][1:], strict=True)
            ]
        return found

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows in log order, partition after partition, with the column `partition`.

        Raises:
            StateError: E_LAKE_EMPTY, the dataset has no file.
        """
        tables = [read_file(file, columns) for file in self.files(dataset)]
        if not tables:
            raise StateError(
                "E_LAKE_EMPTY", f"no rows of {dataset}", str(self.folder / dataset),
                "run `headrace archive` (or `headrace up`) until the topics are in the lake",
            )  # fmt: skip
        return pa.concat_tables(tables, promote_options="permissive")

    def find(self, dataset: str, column: str, value: str | int) -> dict[str, Any] | None:
        """Return the first row whose `column` is `value`; only that column is read of the other files."""
        return next(self.find_all(dataset, column, value), None)

    def find_all(self, dataset: str, column: str, value: str | int) -> Iterator[dict[str, Any]]:
        """Yield the rows whose `column` is `value`, in log order within a partition."""
        for file in self.files(dataset):
            hits = pc.indices_nonzero(pc.equal(read_file(file, [column])[column], value))
            if len(hits):
                yield from read_file(file, None).take(hits).to_pylist()

    def at(self, dataset: str, partition: int, offset: int) -> dict[str, Any] | None:
        """Return the row of one offset of a dataset that has a row a record."""
        for file in self.files(dataset):
            if file.partition == partition and file.first_offset <= offset:
                before = file.before_offset
                if before is None or offset < before:
                    table = read_file(file, None)
                    rows = table.filter(pc.equal(table["offset"], offset)).to_pylist()
                    return rows[0] if rows else None
        return None


class FixedLake(Lake):
    """The lake as it is at one moment: files that come later are not seen, so that row numbers stay.

    A flush of the feature log of which some datasets are not written yet is not seen either.
    """

    def __init__(self, folder: Path, project: RunningProject) -> None:
        super().__init__(folder, project)
        self._files: dict[str, list[LakeFile]] = {}
        found = {name: super(FixedLake, self).files(name) for name in self.logs}
        self.flushes = whole_flushes([file for files in found.values() for file in files])
        for name, files in found.items():
            self._files[name] = [f for f in files if (f.partition, f.first_offset) in self.flushes]

    def has(self, dataset: str) -> bool:
        """Return whether the dataset had any file."""
        return bool(self.files(dataset))

    def files(self, dataset: str) -> list[LakeFile]:
        """Return the files that the dataset had when it was first asked for."""
        if dataset not in self._files:
            self._files[dataset] = super().files(dataset)
        return self._files[dataset]

    def log_of(self, partition: int) -> "FixedLake":
        """Return the lake with the feature log of one partition alone."""
        part = copy(self)
        part._files = {
            name: [file for file in self._files[name] if file.partition == partition] for name in self.logs
        }
        return part


def read_file(file: LakeFile, columns: Sequence[str] | None) -> pa.Table:
    """Return the rows that the file counts for, in log order, with the column `partition`.

    Args:
        columns: those wanted (`offset` comes with them), or None for all; one that the file lacks is left
            out, which happens to features that were declared after the file was written.
    """
    wanted = None if columns is None else [name for name in columns if name != PARTITION]
    if wanted is not None and "offset" not in wanted:
        wanted.append("offset")
    # Opened as one file, so that the folder's name is not read as a second column `partition`.
    table = pq.ParquetFile(file.path).read(columns=wanted, use_threads=False).replace_schema_metadata(None)
    if file.before_offset is not None:
        offsets = table["offset"]
        if table.num_rows and pc.max(offsets).as_py() >= file.before_offset:
            table = table.filter(pc.less(offsets, file.before_offset))
    partition = pa.array([file.partition] * table.num_rows, pa.int32())
    return table.append_column(PARTITION, partition)


def whole_flushes(files: Sequence[LakeFile]) -> dict[tuple[int, int], int]:
    """Return (partition, first offset) -> next offset of the flushes of the feature log that are whole.

    A flush writes up to a file a source, one after the other, and each says which of them there are to be; so
    only the last flush of a partition can be seen in the middle of being written.
    """
    there = {(file.path.parents[1].name, file.partition, file.first_offset) for file in files}
    found: dict[tuple[int, int], int] = {}
    for file in files:
        about = pq.read_metadata(file.path).metadata or {}
        named = about.get(b"headrace.datasets", b"").decode()
        siblings = [name for name in named.split(",") if name]
        if all((name, file.partition, file.first_offset) in there for name in siblings):
            found[file.partition, file.first_offset] = int(about[b"headrace.next_offset"])
    return found


def ends_of(flushes: Mapping[tuple[int, int], int]) -> dict[int, int]:
    """Return, by partition, the offset of the feature log that whole flushes end before.

    >>> ends_of({(0, 0): 5, (0, 5): 9, (1, 0): 2})
    {0: 9, 1: 2}
    """
    ends: dict[int, int] = {}
    for (partition, _), end in flushes.items():
        ends[partition] = max(ends.get(partition, 0), end)
    return ends
