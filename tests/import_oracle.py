"""What an import must come to, done again slowly: every row in the order of time, by the definition alone.

The oracle of chaos runs reads the contracts' files with a reader of its own and keeps all rows of a key; only
the order is written here: time, then source, then file and row.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from inference.offline.lake.lake import Lake
from load.oracle import declared as declarations
from load.oracle.bits import same
from load.oracle.dump import Declared, Record
from load.oracle.sources import ProjectOracle
from load.oracle.stages import Seen
from load.oracle.windows import PartitionOracle, times

Origin = tuple[int, int]  # a source's number, and the raw offset
Row = dict[str, Any]


class Expected:
    """All rows so far, and by origin the values of each entity.

    Args:
        declared: the project, as data.
    """

    def __init__(self, declared: Declared) -> None:
        self.project = ProjectOracle(declared)
        self._entities = {link.name: declarations.entity(declared, link.name) for link in self.project.links}
        self.columns = {name: declarations.columns(entity) for name, entity in self._entities.items()}
        self._seen: dict[int, Seen] = {}
        self._oracles: dict[tuple[str, int], PartitionOracle] = {}
        self.values: dict[Origin, dict[str, list[float]]] = {}
        self.refused: dict[Origin, str] = {}
        self.repeats: set[Origin] = set()
        self.conflicts: set[Origin] = set()

    def imported(
        self, records: Mapping[str, Sequence[tuple[bytes | None, bytes | None]]], at_ms: int
    ) -> None:
        """Take the records of files in, in the order of time."""
        rows: list[tuple[int, int, int, Row]] = []
        for source in self.project.sources:
            for offset, (key, value) in enumerate(records.get(source.name, ())):
                code, row = source.judged(Record(0, offset, at_ms, key, value), self.project.secrets)
                if code:
                    self.refused[source.number, offset] = code
                else:
                    rows.append((row[source.time], source.number, offset, row))
        for _, number, offset, row in sorted(rows, key=lambda one: one[:3]):
            self.take(number, offset, row)

    def take(self, number: int, offset: int, row: Row) -> None:
        """Take one row through all stages, unless it falls out at the first."""
        source, first = self.project.by_number[number], self.project.first
        if source.drops_repeats:
            seen = self._seen.setdefault(self.project.target(source, first, row), Seen(first))
            word = seen.judge(source, row)
            if word != "first":
                (self.repeats if word == "repeat" else self.conflicts).add((number, offset))
                return
        self.values[number, offset] = {
            link.name: self.fold(link.name, number, row) for link in self.project.links
        }

    def fold(self, entity: str, number: int, row: Row) -> list[float]:
        """Return an entity's values as of a row, which is folded in."""
        link = next(one for one in self.project.links if one.name == entity)
        of, source, key = self._entities[entity], self.project.by_number[number], link.key(row)
        if not key or number not in times(of):
            return [float("nan")] * len(self.columns[entity])
        place = (entity, self.project.target(source, link, row))
        oracle = self._oracles.setdefault(place, PartitionOracle(of))
        return oracle.row(number, {**row, of.join_key: key})


class Judged(NamedTuple):
    """How many rows of a lake's log were compared, and which say otherwise, or are too many or too few."""

    rows: int
    wrong: list[str]


def compared(lake: Lake, expected: Expected) -> Judged:
    """Hold the log of an imported lake against what it must be, bit for bit."""
    wrong, there = list[str](), set[Origin]()
    for source in lake.project.pipeline.sources:
        dataset = lake.project.pipeline.log_dataset(source)
        for row in lake.read(dataset).to_pylist() if lake.has(dataset) else ():
            origin = (source.number, row["raw_offset"])
            there.add(origin)
            wrong += [f"{origin}: {what}" for what in _differing(row, origin, expected)]
    missing = expected.values.keys() - there
    return Judged(len(there), wrong + [f"{origin} is missing" for origin in sorted(missing)])


def _differing(row: Row, origin: Origin, expected: Expected) -> Iterable[str]:
    due = expected.values.get(origin)
    if due is None:
        yield "should not be there"
        return
    for entity, columns in expected.columns.items():
        told = [np.nan if row.get(name) is None else row[name] for name in columns]
        if not same(told, due[entity]):
            yield f"{entity} is {told}, not {due[entity]}"
