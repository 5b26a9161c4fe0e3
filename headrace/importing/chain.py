"""Imported rows through the stages of a project: the stream's own code, every partition, one order.

The order of a row among all rows is its position in every stage, so each partition of each stage sees its
rows in it. What a stage holds at the end is what it would hold after a stream in that order.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from contracts.chain import Link
from contracts.frame import Columns, length, take
from contracts.keys import key_of, targets_of
from features.definition import Entity
from features.project.running import RunningProject
from headrace.importing.order import Block
from inference.offline.backfill.remembered_ids import Remembered, RememberedIds
from inference.offline.lake.beginning import STATES, begun, with_clock
from streams.stage.core import Outcome
from streams.stage.entity_rows import CLOCK, KEY
from streams.stage.entity_stage import EntityStage

Parts = dict[int, list[Columns]]  # rows by the number of their source
BLOCKS_A_SWEEP = 32  # after which remembered ids that are past go


class RefusedRow(NamedTuple):
    """A row that the first stage refused: its source's number, raw offset, code and reason."""

    kind: int
    offset: int
    code: str
    reason: str
    stage: str


class Taken(NamedTuple):
    """What a block became: the log's rows by partition and source, and what the first stage refused."""

    log: dict[int, Parts]
    refused: list[RefusedRow]


class _Stage:
    """One stage, all its partitions."""

    def __init__(self, project: RunningProject, entity: Entity, partitions: int) -> None:
        self.pipeline, self.entity = project.pipeline, entity
        self.link: Link = self.pipeline.chain.named(entity.name)
        self.partitions = [
            EntityStage(self.pipeline, entity, number, partitions) for number in range(partitions)
        ]
        self.ids = [RememberedIds(self.pipeline) for _ in range(partitions)]
        self.below = Counter[int]()
        self.folded = 0
        self._entries: list[dict[bytes, bytes | None]] = [{} for _ in range(partitions)]

    def apply(self, partition: int, parts: Parts) -> list[Outcome]:
        """Take rows of a partition in, in order of their positions."""
        given = [(number, _by_position(some)) for number, some in parts.items()]
        outcomes = self.partitions[partition].apply(given).outcomes
        if self.link is self.pipeline.chain.first:
            self.ids[partition].take(_firsts(given, outcomes))
        for outcome in outcomes:
            if length(outcome.rows):
                self.below[partition] = max(self.below[partition], int(outcome.rows["pos"][-1]) + 1)
                self.folded += self._moving(outcome)
        return outcomes

    def _moving(self, outcome: Outcome) -> int:
        """Return how many of an outcome's rows moved the entity."""
        source = self.pipeline.by_number[outcome.kind]
        if source.number not in self.entity.times:
            return 0
        if source.always_has(self.link):
            return length(outcome.rows)
        return int((key_of(outcome.rows, self.link.fields) != b"").sum())

    def sweep(self) -> None:
        """Take over what changed, so that what is forgotten frees its room."""
        for stage, entries in zip(self.partitions, self._entries, strict=True):
            entries.update(stage.take_dirty())

    def states(self) -> dict[int, pa.Table]:
        """Return each partition's packed states, null for a key that is forgotten, with its clock."""
        self.sweep()
        return {
            number: _states(self.entity, entries) for number, entries in enumerate(self._entries)
        }  # fmt: skip


class ImportChain:
    """The stages of a project, empty at first, that take rows of all sources in one order.

    >>> from features.project.running import project_at
    >>> ImportChain(project_at("examples/logins"), partitions=2).repeats.total()
    0
    """

    def __init__(self, project: RunningProject, partitions: int) -> None:
        self._pipeline, self._count = project.pipeline, partitions
        self._stages = [_Stage(project, entity, partitions) for entity in project.entities]
        self._blocks = 0
        self.repeats = Counter[int]()

    def take(self, block: Block) -> Taken:
        """Take a block of rows through all stages; positions grow from block to block.

        Args:
            block: of each source its rows in order, with `pos`.
        """
        coming = self._dealt(block)
        refused: list[RefusedRow] = []
        for stage in self._stages:
            made: dict[int, Parts] = {}
            for partition, parts in sorted(coming.items()):
                for outcome in stage.apply(partition, parts):
                    _deal(made, outcome)
                    self.repeats[outcome.kind] += outcome.repeats
                    refused += [
                        RefusedRow(outcome.kind, row["raw_offset"], code, reason, stage.link.name)
                        for code, reason, row in outcome.refused
                    ]
            coming = made
        self._blocks += 1
        if self._blocks % BLOCKS_A_SWEEP == 0:
            for stage in self._stages:
                stage.sweep()
        log = {
            partition: {number: [_by_position(some)] for number, some in parts.items()}
            for partition, parts in coming.items()
        }
        return Taken(log, refused)

    def states(self) -> dict[str, dict[int, pa.Table]]:
        """Return by entity and partition the packed states, as the fold over a lake keeps them."""
        return {stage.link.name: stage.states() for stage in self._stages}

    def remembered(self) -> dict[int, Remembered]:
        """Return what each partition of the first stage remembers."""
        return {partition: ids.kept() for partition, ids in enumerate(self._stages[0].ids)}

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each entity has folded."""
        return {stage.link.name: stage.folded for stage in self._stages}

    @property
    def below(self) -> dict[str, dict[int, int]]:
        """By entity and partition, the first position that no row has."""
        return {stage.link.name: dict(sorted(stage.below.items())) for stage in self._stages}

    def _dealt(self, block: Block) -> dict[int, Parts]:
        first, coming = self._pipeline.chain.first, dict[int, Parts]()
        for number, rows in block:
            targets = targets_of(rows, first, self._pipeline.by_number[number], self._count)
            for target in np.unique(targets).tolist():
                coming.setdefault(target, {})[number] = [take(rows, targets == target)]
        return coming


def _deal(made: dict[int, Parts], outcome: Outcome) -> None:
    for target in np.unique(outcome.targets).tolist():
        rows = take(outcome.rows, outcome.targets == target)
        made.setdefault(target, {}).setdefault(outcome.kind, []).append(rows)


def _by_position(parts: Sequence[Columns]) -> Columns:
    """Return rows that came from several partitions in their one order."""
    if len(parts) == 1:
        return parts[0]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return take(rows, np.argsort(rows["pos"]))


def _firsts(given: Sequence[tuple[int, Columns]], outcomes: Sequence[Outcome]) -> list[tuple[int, Columns]]:
    """Return the rows of each source that were no repeats, as they came."""
    found = []
    for (number, rows), outcome in zip(given, outcomes, strict=True):
        kept = len(outcome.targets) == length(rows)
        found.append((number, rows if kept else take(rows, np.isin(rows["pos"], outcome.rows["pos"]))))
    return found


def _states(entity: Entity, entries: Mapping[bytes, bytes | None]) -> pa.Table:
    packed = {key[1:]: blob for key, blob in entries.items() if key[:1] == KEY}
    names = sorted(packed)
    table = pa.table([names, [packed[name] for name in names]], schema=STATES)
    table = with_clock(table, entries.get(CLOCK) or b"")
    live = set(begun(entity, table).latest().keys)
    states = [packed[name] if name in live else None for name in names]
    return with_clock(pa.table([names, states], schema=STATES), entries.get(CLOCK) or b"")
