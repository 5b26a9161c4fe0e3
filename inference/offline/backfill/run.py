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
from inference.offline.backfill.deal import Deal, deal, dealt, dealt_partitions
from inference.offline.backfill.executors import Executor
from inference.offline.backfill.frontier import Frontier, ends_below, facts_differing, frontier
from inference.offline.backfill.offline import folder_of, publish
from inference.offline.backfill.task import PartitionDone, PartitionTask, fold_partition
from inference.offline.fold.compare import Comparison
from inference.offline.fold.ordered import Selection, wanted
from inference.offline.fold.rows import PLACE, Origin, origins
from inference.offline.lake.beginning import seeded_partitions
from inference.offline.lake.known_losses import words
from inference.offline.lake.lake import PARTITION, FixedLake, Lake, LakeFile, ends_of
from inference.offline.lake.sql import database

Tell = Callable[[str], None]
Limits = Mapping[str, Mapping[int, int]]


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
    compared: Comparison | None = None

    @property
    def wrong(self) -> int:
        """Return how many rows and flags differ from the log."""
        return 0 if self.compared is None else self.compared.wrong


class Report(msgspec.Struct, kw_only=True):
    """What a backfill came to; `mismatches` is 0 when the lake says the same as its recomputation.

    `holes` are what somebody has accepted as lost, and `records_lost` how many archived records that was.
    """

    entities: dict[str, EntityReport]
    records_pending: int
    facts_differing: int = 0
    holes: list[str] = []
    records_lost: int = 0

    @property
    def mismatches(self) -> int:
        """Return how many rows differ from the log, or from their raw records."""
        return self.facts_differing + sum(part.wrong for part in self.entities.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        parts = {name: _entity_dict(part) for name, part in self.entities.items()}
        return {
            "entities": parts, "records_pending": self.records_pending,
            "facts_differing": self.facts_differing, "mismatches": self.mismatches,
            "holes": self.holes, "records_lost": self.records_lost,
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
            limits = {entity.name: ends_below(lake, connection, entity, whole) for entity in entities}
        for topic, before in whole.before.items():
            offsets = ", ".join(f"{p}@{offset}" for p, offset in sorted(before.items()))
            tell(f"the lake is whole up to raw {topic} {offsets or 'nothing'}")
        tell(f"{whole.pending:,} records are under way")
        found = Report(
            entities={},
            records_pending=whole.pending,
            facts_differing=differing,
            holes=words(lake),
            records_lost=whole.lost,
        )
        for entity in entities:
            job = _Job(lake, entity, options, work / entity.name, tell, limits[entity.name])
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
        job = _Job(lake, entity, options, work / entity.name, tell, below, is_kept=True)
        yield job.states(on)


class _Job:
    """One entity's backfill; with `below`, of the rows below a position of each partition of its stage."""

    def __init__(
        self, lake: Lake, entity: Entity, options: Options, work: Path, tell: Tell,
        below: Mapping[int, int] | None = None, is_kept: bool = False,
    ) -> None:  # fmt: skip
        self._lake, self._entity, self._options, self._work, self._tell = lake, entity, options, work, tell
        self._log = lake if isinstance(lake, FixedLake) else FixedLake(lake.folder, lake.project)
        self._origins, self._below, self._is_kept = origins(lake.project.pipeline, entity), below, is_kept
        self._is_dealt = any(origin.partition != PARTITION for origin in self._origins)

    def states(self, on: Executor) -> States:
        folded = self._fold(on, None, None)
        return States(self._work / "state", folded.rows)

    def run(self, on: Executor, whole: Frontier) -> EntityReport:
        began_s = time.monotonic()
        made, is_dealt = self._work / "made", self._is_dealt
        folded = self._fold(on, made if self._options.write else None, whole.before if is_dealt else None)
        report = EntityReport(
            rows=folded.rows, keys=folded.keys, partitions=folded.partitions,
            under_way=folded.left_out, seconds=time.monotonic() - began_s,
            definitions_hash=meaning_of(self._entity).hash,
            compared=folded.compared if self._options.compare else None,
        )  # fmt: skip
        if made.exists() and not report.wrong:
            by = PLACE if is_dealt else (PARTITION, "offset")
            scored = whole.of(self._lake.project.pipeline.scored)
            bounds = dict(scored) if is_dealt else ends_of(self._log.flushes)
            about = Backfilled(
                meaning=meaning_of(self._entity), rows=folded.rows, keys=folded.keys, by=by, before=bounds
            )
            target = folder_of(self._lake.folder, self._entity)
            publish(made, target, about)
            report.folder = str(target)
        return report

    def _fold(self, on: Executor, made: Path | None, before: Limits | None) -> PartitionDone:
        if self._is_dealt:
            self._deal(on)
        there = dealt_partitions(self._work) if self._is_dealt else self._log_partitions()
        seeded = set() if not self._is_kept else set(seeded_partitions(self._lake, self._entity))
        tasks = [self._task(number, made, before) for number in sorted(there | seeded)]
        total, began_s = PartitionDone(partitions=0), time.monotonic()
        for done, part in enumerate(on.map(fold_partition, tasks), start=1):
            total.add(part)
            rate = total.rows / (time.monotonic() - began_s)
            parts = f"{self._entity.name}: {done} of {len(tasks)} partitions"
            self._tell(f"{parts}, {total.rows:,} rows, {rate:,.0f} a second, {total.left_out:,} under way")
        return total

    def _deal(self, on: Executor) -> None:
        """Deal the log out to the partitions of the stage, since it lies by those of another."""
        tasks = [
            Deal(
                dataset=origin.dataset,
                partition=origin.partition,
                files=group,
                columns=self._columns(origin),
                lake=self._lake,
                work=self._work,
            )
            for origin in self._origins
            for group in _grouped(self._log.files(origin.dataset), self._options.rows_a_task)
        ]
        rows = sum(on.map(deal, tasks))
        self._tell(f"{self._entity.name}: {rows:,} rows dealt out to their partitions")

    def _columns(self, origin: Origin) -> tuple[str, ...]:
        names = wanted(Selection(entity=self._entity), origin)
        logged = self._entity.columns if self._options.compare else ()
        return (*names, origin.partition, origin.pos, *logged)

    def _log_partitions(self) -> set[int]:
        return {file.partition for origin in self._origins for file in self._log.files(origin.dataset)}

    def _task(self, number: int, made: Path | None, before: Limits | None) -> PartitionTask:
        return PartitionTask(
            lake=Lake(self._lake.folder, self._lake.project), entity=self._entity.name, partition=number,
            log=dealt(self._lake, self._work, number) if self._is_dealt else self._log.log_of(number),
            before=before, below=self._below,
            target=None if made is None else made / f"part-{number:05d}.parquet",
            state=self._work / "state" / f"{number}.parquet" if self._is_kept else None,
            work=self._work, is_dealt=self._is_dealt, is_compared=self._options.compare,
            memory_mb=self._options.memory_mb,
        )  # fmt: skip


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
