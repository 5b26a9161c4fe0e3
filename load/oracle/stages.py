"""The two stages, done again record by record in the durable order of their own input topics.

The content of a payment is the raw record's; the topics between the stages only say in which order things
came. What a stage wrote is then held against what it should have written, bit for bit.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from load.oracle import declared as declarations
from load.oracle.bits import same, where
from load.oracle.dump import Dump, Record
from load.oracle.findings import Findings
from load.oracle.frames import LABEL, PAYMENT, LaneReader, Placed
from load.oracle.hashes import partition_of
from load.oracle.intake import LABELS, PAYMENTS, Intake, Origin, as_row, content
from load.oracle.strangers import is_ours
from load.oracle.windows import ClockOracle, KeyOracle, PartitionOracle

DAY_MS = 86_400_000
CONFLICT = "E_DUP_CONFLICT"
LATE_FOR_TERMINAL = 2


class Judged(NamedTuple):
    """What a row must be after a stage: where it stood in the stage's input, its values, its late bits."""

    partition: int
    pos: int
    values: list[float]
    late: int


class StoreRow(NamedTuple):
    """What the online store must hold of a key: values, the moment they are as of, and the row's position."""

    values: list[float]
    as_of_ms: int
    pos: int


class Customers(NamedTuple):
    """What came of the customer stage: payments that go on, ids seen before, and the store's rows."""

    rows: dict[Origin, Judged]
    repeats: set[Origin]
    conflicts: dict[Origin, str]
    store: dict[bytes, StoreRow]
    keys: dict[bytes, KeyOracle]


class Terminals(NamedTuple):
    """What came of the terminal stage: payments and labels, and the store's rows."""

    rows: dict[Origin, Judged]
    store: dict[bytes, StoreRow]
    keys: dict[bytes, KeyOracle]


def customers(dump: Dump, taken: Intake, found: Findings) -> Customers:
    """Do the customer stage again on `events.customer`."""
    entity = declarations.entity(dump.declared, "customer")
    made = Customers({}, set(), {}, {}, {})
    oracles: dict[int, PartitionOracle] = {}
    seen: dict[int, Seen] = {}
    topic = Topic("events.customer", "customer_id", dump, found)
    unfolded = [float("nan")] * len(declarations.columns(entity))
    for partition, placed, origin in topic.rows(taken, {PAYMENT: PAYMENTS, LABEL: LABELS}):
        if placed.kind == LABEL:  # no view of a customer reads labels: they pass
            made.rows[origin] = Judged(partition, placed.pos, unfolded, 0)
            continue
        payment = taken.good[origin]
        word = seen.setdefault(partition, Seen()).judge(payment)
        if word == "repeat":
            made.repeats.add(origin)
        elif word == "conflict":
            made.conflicts[origin] = CONFLICT
        else:
            row = as_row(payment)
            oracle = oracles.setdefault(partition, PartitionOracle(entity))
            values = oracle.row(PAYMENT, row)
            key = oracle.keys[row["customer_id"]]
            made.rows[origin] = Judged(partition, placed.pos, values, int(key.late))
            made.keys[row["customer_id"]] = key
            made.store[row["customer_id"]] = StoreRow(values, key.newest_ms or 0, placed.pos)
    return made


def terminals(dump: Dump, taken: Intake, known: Customers, found: Findings) -> Terminals:
    """Do the terminal stage again on `events.terminal`, and check the customer's values that came there."""
    entity = declarations.entity(dump.declared, "terminal")
    names = declarations.columns(declarations.entity(dump.declared, "customer"))
    made = Terminals({}, {}, {})
    oracles: dict[int, PartitionOracle] = {}
    topic = Topic("events.terminal", "terminal_id", dump, found)
    for partition, placed, origin in topic.rows(taken, {PAYMENT: PAYMENTS, LABEL: LABELS}):
        if origin not in known.rows:
            found.add("phantom", f"{origin} went on from the customer stage")
            continue
        compare(known.rows[origin], placed.row, "customer", names, (origin, found))
        late = known.rows[origin].late
        row = as_row(taken.good[origin])
        oracle = oracles.setdefault(partition, PartitionOracle(entity))
        values = oracle.row(placed.kind, row)
        key = oracle.keys[row["terminal_id"]]
        late |= LATE_FOR_TERMINAL * key.late
        made.rows[origin] = Judged(partition, placed.pos, values, late)
        made.keys[row["terminal_id"]] = key
        made.store[row["terminal_id"]] = StoreRow(values, key.newest_ms or 0, placed.pos)
    return made


def feature_log(
    dump: Dump, taken: Intake, stages: tuple[Customers, Terminals], found: Findings
) -> dict[Origin, tuple[int, int]]:
    """Check `features.log`; return each row's partition and number there."""
    known, made = stages
    customer, terminal = (
        declarations.columns(declarations.entity(dump.declared, name)) for name in ("customer", "terminal")
    )
    order: dict[Origin, tuple[int, int]] = {}
    topic = Topic("features.log", "", dump, found)
    for partition, placed, origin in topic.rows(taken, {PAYMENT: PAYMENTS, LABEL: LABELS}):
        expected = made.rows.get(origin)
        if expected is None:
            found.add("phantom", f"features.log has {origin}, which never reached the terminal stage")
            continue
        order[origin] = (partition, len(order))
        if partition != expected.partition:
            found.add("order", f"{origin} is in features.log/{partition}, not {expected.partition}")
        compare(expected, placed.row, "terminal", terminal, (origin, found))
        compare(known.rows[origin], placed.row, "customer", customer, (origin, found))
        if placed.row["late"] != expected.late:
            found.add("feature_mismatch", f"{origin}: late is {placed.row['late']}, not {expected.late}")
    return order


def compare(
    expected: Judged, row: dict[str, Any], entity: str, names: list[str], about: tuple[Origin, Findings]
) -> None:
    """Hold an entity's part of a row against what it must be: values, position, and partition if told."""
    origin, found = about
    values = row[f"{entity}_values"]
    if not same(values, expected.values):
        found.add("feature_mismatch", f"{origin}: {where(values, expected.values, names)}")
    if row[f"{entity}_pos"] != expected.pos:
        found.add("order", f"{origin}: {entity}_pos is {row[f'{entity}_pos']}, not {expected.pos}")
    if row.get(f"{entity}_partition", expected.partition) != expected.partition:
        found.add("order", f"{origin}: {entity}_partition is {row[f'{entity}_partition']}")


class Seen:
    """The payments of the last 24 hours of one partition, by customer and id, by the partition's clock."""

    def __init__(self) -> None:
        self._clock = ClockOracle()
        self._first: dict[tuple[str, str], tuple[tuple[Any, ...], int]] = {}

    def judge(self, payment: dict[str, Any]) -> str:
        """Return first, repeat or conflict."""
        now_ms, time_ms = self._clock.now_ms, payment["event_time"]
        name, said = (payment["customer_id"], payment["transaction_id"]), content(payment)
        before = self._first.get(name)
        if before is not None and (now_ms is None or now_ms - before[1] <= DAY_MS):
            return "repeat" if before[0] == said else "conflict"
        self._first[name] = said, time_ms if now_ms is None else max(now_ms, time_ms)
        self._clock.row(payment["customer_id"], time_ms)
        return "first"


def ends_of(dump: Dump) -> dict[str, int]:
    """Return, by lane, the offset behind the last record of its input; 0 of one that has none."""
    ends: dict[str, int] = {}
    for topic in ("transactions", "labels", "events.customer", "events.terminal"):
        ends |= {f"{topic}/{number}": 0 for number in range(dump.declared.partitions)}
        for record in dump.topics[topic]:
            lane = f"{topic}/{record.partition}"
            ends[lane] = max(ends.get(lane, 0), record.offset + 1)
    return ends


class Topic:
    """One topic between stages, read by its lanes; `key` is the field that chooses the partition."""

    def __init__(self, name: str, key: str, dump: Dump, found: Findings) -> None:
        self._name, self._key, self._found = name, key, found
        self._partitions = dump.declared.partitions
        self._records: dict[int, list[Record]] = {}
        ends = ends_of(dump)
        for record in dump.topics[name]:
            if is_ours(record.value or b"", name, ends):
                self._records.setdefault(record.partition, []).append(record)

    def rows(self, taken: Intake, kinds: dict[int, str]) -> Iterator[tuple[int, Placed, Origin]]:
        """Yield each row that must be there, once, with its partition and the raw record it is of."""
        once: set[Origin] = set()
        for partition, records in sorted(self._records.items()):
            reader, lanes = LaneReader(), dict[str, int]()
            for placed in reader.fold((record.offset, record.value or b"") for record in records):
                topic = kinds.get(placed.kind, "")
                origin = Origin(topic, placed.row["raw_partition"], placed.row["raw_offset"])
                if self._is_expected(origin, placed, taken, once):
                    once.add(origin)
                    self._check_place(partition, placed, origin, lanes)
                    yield partition, placed, origin
            for _ in range(reader.holes):
                self._found.add("lane_holes", f"{self._name}/{partition}")

    def _is_expected(self, origin: Origin, placed: Placed, taken: Intake, once: set[Origin]) -> bool:
        source = taken.good.get(origin)
        where = f"{self._name}@{placed.pos >> 20}"
        if source is None:
            self._found.add("phantom", f"{where}: a row of kind {placed.kind} for {origin}")
            return False
        if origin in once:
            self._found.add("duplicate", f"{where}: {origin} again")
            return False
        for name, value in as_row(source).items():
            if name in placed.row and value != placed.row[name]:
                self._found.add("feature_mismatch", f"{where}: {name} is {placed.row[name]!r}, not {value!r}")
        return True

    def _check_place(self, partition: int, placed: Placed, origin: Origin, lanes: dict[str, int]) -> None:
        """Rows of a lane come in the order of their input; the key chooses the partition."""
        if placed.row["pos"] <= lanes.get(placed.src, -1):
            self._found.add(
                "order", f"{self._name}/{partition}: {origin} comes after a later row of its lane"
            )
        lanes[placed.src] = max(lanes.get(placed.src, -1), placed.row["pos"])
        if self._key and partition != partition_of(placed.row[self._key], self._partitions):
            self._found.add("order", f"{origin} is in {self._name}/{partition}, its key belongs elsewhere")
