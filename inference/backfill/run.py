"""A backfill from beginning to end: how far the lake is whole, the tasks, and what they came to."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname
from typing import Any, NamedTuple

import msgspec
import pyarrow.parquet as pq

from features.backfilled import FOLDER, Backfilled
from features.definition import Entity
from features.meaning import meaning_of
from inference.backfill.executors import Executor
from inference.backfill.fold import EXAMPLES, Fold, Folded, fold
from inference.backfill.frontier import Frontier, facts_differing, frontier
from inference.backfill.offline import folder_of, publish
from inference.backfill.rows import PLACE, origins
from inference.backfill.split import Split, SplitDone, dealt_folder, split
from inference.lake.beginning import seeded_partitions
from inference.lake.lake import Lake, LakeFile, ends_of, whole_flushes
from inference.lake.sql import database

Tell = Callable[[str], None]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, and within which bounds.

    `compare` judges every row by the value in the log; `write` publishes what was made, unless it differs.
    A task of the first step takes files of about `rows_a_task` rows, one of the second at most `memory_mb`
    for sorting a partition.
    """

    compare: bool = False
    write: bool = True
    rows_a_task: int = 1_000_000
    memory_mb: int = 512


class EntityReport(msgspec.Struct, kw_only=True):
    """One entity's outcome; `under_way` rows lie beyond the frontier and were left out."""

    rows: int
    keys: int
    partitions: int
    under_way: int
    seconds: float
    definitions_hash: str
    folder: str = ""
    compared: Folded | None = None

    @property
    def wrong(self) -> int:
        """Return how many rows and flags differ from the log."""
        if self.compared is None:
            return 0
        return self.compared.differences.rows_wrong + self.compared.late_flags_wrong


class Report(msgspec.Struct, kw_only=True):
    """What a backfill came to; `mismatches` is 0 when the lake says the same as its recomputation."""

    entities: dict[str, EntityReport]
    payments_pending: int
    facts_differing: int = 0

    @property
    def mismatches(self) -> int:
        """Return how many rows differ from the log, or from their raw records."""
        return self.facts_differing + sum(part.wrong for part in self.entities.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        parts = {name: _entity_dict(part) for name, part in self.entities.items()}
        return {
            "entities": parts, "payments_pending": self.payments_pending,
            "facts_differing": self.facts_differing, "mismatches": self.mismatches,
        }  # fmt: skip


def backfill(lake: Lake, entities: Sequence[Entity], options: Options, on: Executor, tell: Tell) -> Report:
    """Recompute these entities' features over the lake.

    Raises:
        StateError: E_LAKE_EMPTY.
    """
    with work_folder(lake.folder) as work:
        with database(work / "spilled", options.memory_mb) as connection:
            whole = frontier(lake, connection)
            differing = facts_differing(lake, connection) if options.compare else 0
        offsets = ", ".join(f"{p}@{before}" for p, before in sorted(whole.before.items()))
        tell(f"the lake is whole up to raw payments {offsets}; {whole.pending:,} are under way")
        found = Report(entities={}, payments_pending=whole.pending, facts_differing=differing)
        for entity in entities:
            job = _Job(lake, entity, options, work / entity.name, tell)
            found.entities[entity.name] = job.run(on, whole)
    return found


class States(NamedTuple):
    """An entity's packed states: a folder with a file a partition, columns `key` and `state` (null for a key
    that was forgotten), and how many rows they came from."""

    folder: Path
    rows: int


@contextmanager
def states(
    lake: Lake, entity: Entity, below: Mapping[int, int], options: Options, on: Executor, tell: Tell,
    work_in: Path | None = None,
) -> Iterator[States]:  # fmt: skip
    """Recompute an entity's state from the rows below a position of each partition of its stage.

    Yields where the states are; the folder is gone afterwards.

    Args:
        below: by partition of the stage, the first position that does not count.
        work_in: the lake's folder to work in, where it is not the lake that is read.
    """
    with work_folder(work_in or lake.folder) as work:
        job = _Job(lake, entity, options, work / entity.name, tell, below)
        yield job.states(on)


class _Job:
    """One entity's backfill; with `below`, of its state as of a position of each partition."""

    def __init__(
        self, lake: Lake, entity: Entity, options: Options, work: Path, tell: Tell,
        below: Mapping[int, int] | None = None,
    ) -> None:  # fmt: skip
        self._lake, self._entity, self._options, self._work, self._tell = lake, entity, options, work, tell
        self._below = below

    def states(self, on: Executor) -> States:
        files, _ = self._files()
        dealt = self._split(on, files, None)
        self._fold(on, None)
        return States(self._work / "state", dealt.rows)

    def run(self, on: Executor, whole: Frontier) -> EntityReport:
        began_s = time.monotonic()
        files, before = self._files()
        customer = self._entity.name == "customer"
        dealt = self._split(on, files, whole.before if customer else None)
        made = self._work / "made"
        folded = self._fold(on, made if self._options.write else None)
        report = EntityReport(
            rows=folded.rows, keys=folded.keys, partitions=folded.partitions,
            under_way=dealt.left_out, seconds=time.monotonic() - began_s,
            definitions_hash=meaning_of(self._entity).hash,
            compared=folded if self._options.compare else None,
        )  # fmt: skip
        if made.exists() and not report.wrong:
            by = PLACE if customer else ("partition", "offset")
            bounds = dict(whole.before) if customer else before
            about = Backfilled(
                meaning=meaning_of(self._entity), rows=folded.rows, keys=folded.keys, by=by, before=bounds
            )
            target = folder_of(self._lake.folder, self._entity)
            publish(made, target, about)
            report.folder = str(target)
        return report

    def _files(self) -> tuple[dict[str, list[LakeFile]], dict[int, int]]:
        """Return each dataset's files, and by partition of the feature log the offset they end before."""
        both = {name: self._lake.files(name) for name in ("features", "label_log")}
        flushes = whole_flushes([file for files in both.values() for file in files])
        wanted = {origin.dataset for origin in origins(self._entity)}
        files = {
            name: [file for file in both[name] if (file.partition, file.first_offset) in flushes]
            for name in wanted
        }
        return files, ends_of(flushes)

    def _split(
        self, on: Executor, files: Mapping[str, list[LakeFile]], before: Mapping[int, int] | None
    ) -> SplitDone:
        tasks = list[Split]()
        for origin in origins(self._entity):
            for group in _grouped(files[origin.dataset], self._options.rows_a_task):
                tasks.append(
                    Split(
                        entity=self._entity.name, origin=origin, files=group, before=before,
                        below=self._below, work=self._work / "dealt", logged=self._options.compare,
                    )
                )  # fmt: skip
        rows = left_out = 0
        for done in on.map(split, tasks):
            rows, left_out = rows + done.rows, left_out + done.left_out
        self._tell(f"{self._entity.name}: {rows:,} rows dealt out, {left_out:,} under way")
        return SplitDone(rows=rows, left_out=left_out)

    def _task(self, number: int, made: Path | None) -> Fold:
        folder = dealt_folder(self._work / "dealt", number)
        return Fold(
            lake=self._lake.folder, entity=self._entity.name, partition=number,
            files=tuple(sorted(folder.glob("*.parquet"))),
            target=None if made is None else made / f"part-{number:05d}.parquet",
            state=None if self._below is None else self._work / "state" / f"{number}.parquet",
            work=self._work, logged=self._options.compare, memory_mb=self._options.memory_mb,
        )  # fmt: skip

    def _fold(self, on: Executor, made: Path | None) -> Folded:
        dealt = {int(f.name.partition("=")[2]) for f in (self._work / "dealt").glob("partition=*")}
        seeded = set() if self._below is None else set(seeded_partitions(self._lake, self._entity))
        tasks = [self._task(number, made) for number in sorted(dealt | seeded)]
        total, began_s = Folded(partitions=0, examples=[]), time.monotonic()
        for done, part in enumerate(on.map(fold, tasks), start=1):
            _add(total, part)
            rate = total.rows / (time.monotonic() - began_s)
            parts = f"{self._entity.name}: {done} of {len(tasks)} partitions"
            self._tell(f"{parts}, {total.rows:,} rows, {rate:,.0f} a second")
        return total


def _add(total: Folded, part: Folded) -> None:
    total.partitions += part.partitions
    total.rows += part.rows
    total.keys += part.keys
    total.seconds += part.seconds
    total.differences.add(part.differences)
    total.late_flags_wrong += part.late_flags_wrong
    total.not_logged += part.not_logged
    total.examples += part.examples[: EXAMPLES - len(total.examples)]


def _entity_dict(part: EntityReport) -> dict[str, Any]:
    found = {name: getattr(part, name) for name in part.__struct_fields__ if name != "compared"}
    if part.compared is not None:
        compared = part.compared
        found["compared"] = {
            "rows": compared.differences.rows, "rows_wrong": compared.differences.rows_wrong,
            "late_flags_wrong": compared.late_flags_wrong, "not_logged": compared.not_logged,
            "features": compared.differences.differing(), "examples": compared.examples,
        }  # fmt: skip
    return found


def _grouped(files: Sequence[LakeFile], rows_max: int) -> Iterator[tuple[LakeFile, ...]]:
    """Yield runs of files of about `rows_max` rows each."""
    group, rows = list[LakeFile](), 0
    for file in files:
        count = _rows(file)
        if group and rows + count > rows_max:
            yield tuple(group)
            group, rows = [], 0
        group.append(file)
        rows += count
    if group:
        yield tuple(group)


def _rows(file: LakeFile) -> int:
    return int(pq.read_metadata(file.path).num_rows)


@contextmanager
def work_folder(lake: Path) -> Iterator[Path]:
    """A hidden folder in the lake, which every worker sees; gone at the end, whatever happened."""
    for left in (lake / FOLDER).glob(f".work-{gethostname()}-*"):
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)  # its process was killed
    work = lake / FOLDER / f".work-{gethostname()}-{os.getpid()}"
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
