"""The stages, done again record by record in the durable order of their own input topics.

The content of a row is the raw record's; the topics between the stages only say in which order things came.
What a stage wrote is then held against what it should have written, bit for bit.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from load.oracle import declared as declarations
from load.oracle.bits import same, where
from load.oracle.dump import Dump, Record
from load.oracle.findings import Findings
from load.oracle.frames import LaneReader, Placed
from load.oracle.intake import Intake, Origin
from load.oracle.sources import LinkOracle, ProjectOracle, SourceOracle, key_of
from load.oracle.strangers import FrameOracle
from load.oracle.windows import ClockOracle, KeyOracle, PartitionOracle, times

CONFLICT = "E_DUP_CONFLICT"
LOG = "features.log"


class Judged(NamedTuple):
    """What a row must be after a stage: where it stood in the stage's input, its values, its late bits.

    A row of a source that no view of the entity reads has no values, or nulls.
    """

    partition: int
    pos: int
    values: list[float]
    late: int


class StoreRow(NamedTuple):
    """What the online store must hold of a key: values, the moment they are as of, and the row's position."""

    values: list[float]
    as_of_ms: int
    pos: int


class StageMade(NamedTuple):
    """What came of one stage: rows that go on, the store's rows, and every key's windows."""

    link: LinkOracle
    columns: list[str]
    rows: dict[Origin, Judged]
    store: dict[bytes, StoreRow]
    keys: dict[bytes, KeyOracle]


class Stages(NamedTuple):
    """What came of all stages in the chain's order, and the records that the first let fall out."""

    made: tuple[StageMade, ...]
    repeats: set[Origin]
    conflicts: dict[Origin, str]

    @property
    def first(self) -> StageMade:
        """The first stage."""
        return self.made[0]

    @property
    def last(self) -> StageMade:
        """The last stage."""
        return self.made[-1]


class StageWork(NamedTuple):
    """What the stages are done again from."""

    dump: Dump
    project: ProjectOracle
    taken: Intake
    rules: FrameOracle


def stages(run: StageWork, found: Findings) -> Stages:
    """Do every stage again on its input, and check the values that came there from those before it."""
    known = Stages((), set(), {})
    for link in run.project.links:
        known = known._replace(made=(*known.made, _stage(run, link, known, found)))
    return known


def _stage(run: StageWork, link: LinkOracle, known: Stages, found: Findings) -> StageMade:
    entity = declarations.entity(run.dump.declared, link.name)
    made = StageMade(link, declarations.columns(entity), {}, {}, {})
    oracles: dict[int, PartitionOracle] = {}
    seen: dict[int, Seen] = {}
    read, nothing = times(entity), [float("nan")] * len(made.columns)
    for partition, placed, origin in Topic(link.input, link, run, found).rows():
        source, row = run.project.by_topic[origin.topic], run.taken.good[origin]
        if known.made and not _came(known, origin, placed, found):
            continue
        if not known.made and source.drops_repeats:
            word = seen.setdefault(partition, Seen(link)).judge(source, row)
            if word == "repeat":
                known.repeats.add(origin)
                continue
            if word == "conflict":
                known.conflicts[origin] = CONFLICT
                continue
        key = link.key(row)
        late = known.last.rows[origin].late if known.made else 0
        if not key or source.number not in read:  # it passes, and moves no clock
            made.rows[origin] = Judged(partition, placed.pos, nothing, late)
            continue
        oracle = oracles.setdefault(partition, PartitionOracle(entity))
        values = oracle.row(source.number, {**row, entity.join_key: key})
        windows = oracle.keys[key]
        late |= link.late_bit * windows.late
        made.rows[origin] = Judged(partition, placed.pos, values, late)
        made.keys[key] = windows
        made.store[key] = StoreRow(values, windows.newest_ms or 0, placed.pos)
    return made


def _came(known: Stages, origin: Origin, placed: Placed, found: Findings) -> bool:
    """Check what a row has from the stages before; return whether it may be there."""
    if origin not in known.last.rows:
        found.add("phantom", f"{origin} went on from the {known.last.link.name} stage")
        return False
    for stage in known.made:
        compare(stage, placed.row, origin, found)
    late = known.last.rows[origin].late
    if placed.row["late"] != late:
        found.add("feature_mismatch", f"{origin}: late is {placed.row['late']}, not {late}")
    return True


def feature_log(run: StageWork, known: Stages, found: Findings) -> dict[Origin, tuple[int, int]]:
    """Check `features.log`; return each row's partition and number there."""
    order: dict[Origin, tuple[int, int]] = {}
    for partition, placed, origin in Topic(LOG, None, run, found).rows():
        expected = known.last.rows.get(origin)
        if expected is None:
            found.add("phantom", f"{LOG} has {origin}, which never reached the {known.last.link.name} stage")
            continue
        order[origin] = (partition, len(order))
        if partition != expected.partition:
            found.add("order", f"{origin} is in {LOG}/{partition}, not {expected.partition}")
        _came(known, origin, placed, found)
    return order


def compare(stage: StageMade, row: Mapping[str, Any], origin: Origin, found: Findings) -> None:
    """Hold an entity's part of a row against what it must be: values, position, and partition if told."""
    expected, entity = stage.rows[origin], stage.link.name
    values = row.get(f"{entity}_values", [float("nan")] * len(stage.columns))
    if not same(values, expected.values):
        found.add("feature_mismatch", f"{origin}: {where(values, expected.values, stage.columns)}")
    if row[f"{entity}_pos"] != expected.pos:
        found.add("order", f"{origin}: {entity}_pos is {row[f'{entity}_pos']}, not {expected.pos}")
    if row.get(f"{entity}_partition", expected.partition) != expected.partition:
        found.add("order", f"{origin}: {entity}_partition is {row[f'{entity}_partition']}")


class Seen:
    """The records of one partition that a repeat is told by: source, first key and id, by its own clock."""

    def __init__(self, link: LinkOracle) -> None:
        self._link, self._clock = link, ClockOracle()
        self._first: dict[tuple[int, bytes, bytes], tuple[tuple[Any, ...], int]] = {}

    def judge(self, source: SourceOracle, row: Mapping[str, Any]) -> str:
        """Return first, repeat or conflict."""
        now_ms, time_ms = self._clock.now_ms, row[source.time]
        key = self._link.key(row)
        name, said = (source.number, key, key_of(row, source.ids)), source.content(row)
        before = self._first.get(name)
        if before is not None and (now_ms is None or now_ms - before[1] <= source.horizon_ms):
            return "repeat" if before[0] == said else "conflict"
        self._first[name] = said, time_ms if now_ms is None else max(now_ms, time_ms)
        self._clock.row(key, time_ms)
        return "first"


def ends_of(dump: Dump, project: ProjectOracle) -> dict[str, int]:
    """Return, by lane, the offset behind the last record of its input; 0 of one that has none."""
    ends: dict[str, int] = {}
    for topic in (*project.by_topic, *(link.input for link in project.links)):
        ends |= {f"{topic}/{number}": 0 for number in range(project.partitions)}
        for record in dump.topics[topic]:
            lane = f"{topic}/{record.partition}"
            ends[lane] = max(ends.get(lane, 0), record.offset + 1)
    return ends


class Topic:
    """One topic between stages, read by its lanes; `link` is the entity whose key chooses the partition."""

    def __init__(self, name: str, link: LinkOracle | None, run: StageWork, found: Findings) -> None:
        self._name, self._link, self._run, self._found = name, link, run, found
        self._records: dict[int, list[Record]] = {}
        ends = ends_of(run.dump, run.project)
        for record in run.dump.topics[name]:
            if run.rules.is_ours(record.value or b"", name, ends):
                self._records.setdefault(record.partition, []).append(record)

    def rows(self) -> Iterator[tuple[int, Placed, Origin]]:
        """Yield each row that must be there, once, with its partition and the raw record it is of."""
        once: set[Origin] = set()
        for partition, records in sorted(self._records.items()):
            reader, lanes = LaneReader(), dict[str, int]()
            for placed in reader.fold((record.offset, record.value or b"") for record in records):
                source = self._run.project.by_number.get(placed.kind)
                topic = source.topic if source else ""
                origin = Origin(topic, placed.row["raw_partition"], placed.row["raw_offset"])
                if self._is_expected(origin, placed, once):
                    once.add(origin)
                    self._check_place(partition, placed, origin, lanes)
                    yield partition, placed, origin
            for _ in range(reader.holes):
                self._found.add("lane_holes", f"{self._name}/{partition}")

    def _is_expected(self, origin: Origin, placed: Placed, once: set[Origin]) -> bool:
        row = self._run.taken.good.get(origin)
        at = f"{self._name}@{placed.pos >> 20}"
        if row is None:
            self._found.add("phantom", f"{at}: a row of kind {placed.kind} for {origin}")
            return False
        if origin in once:
            self._found.add("duplicate", f"{at}: {origin} again")
            return False
        for name, value in row.items():
            told = placed.row.get(name, value)
            if told != value and not (told != told and value != value):
                self._found.add("feature_mismatch", f"{at}: {name} is {told!r}, not {value!r}")
        return True

    def _check_place(self, partition: int, placed: Placed, origin: Origin, lanes: dict[str, int]) -> None:
        """Rows of a lane come in the order of their input; the key chooses the partition."""
        if placed.row["pos"] <= lanes.get(placed.src, -1):
            self._found.add(
                "order", f"{self._name}/{partition}: {origin} comes after a later row of its lane"
            )
        lanes[placed.src] = max(lanes.get(placed.src, -1), placed.row["pos"])
        if self._link is not None:
            source, row = self._run.project.by_topic[origin.topic], self._run.taken.good[origin]
            if partition != self._run.project.target(source, self._link, row):
                self._found.add(
                    "order", f"{origin} is in {self._name}/{partition}, its key belongs elsewhere"
                )
