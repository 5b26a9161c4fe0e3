"""Kafka in memory: logs, transactions by id and epoch, and consumer groups with generations.

It shows what the protocol relies on and nothing more: a partition is a list, a transaction hides its
records from read-committed readers and holds them up while it is open, an older epoch is refused, and a
group takes commits from members of its present generation alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from tests.simulation.world import Process, World

TXN_TIMEOUT_MS = 400.0
TopicPart = tuple[str, int]


def fault(code: int, *, fatal: bool = False, abort: bool = False, retry: bool = False) -> KafkaException:
    """Return what a client raises."""
    return KafkaException(KafkaError(code, "simulated", fatal, retry, abort))


class Txn:
    """One transaction as its coordinator sees it."""

    def __init__(self, by: Process, id_: str) -> None:
        self.by, self.id = by, id_
        self.state = "open"
        self.touched: set[TopicPart] = set()
        self.offsets: dict[tuple[str, TopicPart], tuple[int, str]] = {}


class Record(NamedTuple):
    """One durable record; `control` ones are the coordinator's own marks."""

    key: bytes | None
    value: bytes | None
    headers: Any
    timestamp_ms: int
    txn: Txn | None
    by: str
    control: bool = False


class Broker:
    """All topics, coordinators and groups of a run."""

    def __init__(self, world: World, partitions: dict[str, int]) -> None:
        self.world = world
        self.partitions = partitions
        self.logs: dict[TopicPart, list[Record]] = {
            (topic, number): [] for topic, count in partitions.items() for number in range(count)
        }
        self.epochs: dict[str, int] = {}
        self.open: dict[str, Txn] = {}
        self.groups: dict[str, Group] = {}
        self.on_append: dict[str, list[Callable[[], None]]] = {}

    def append(self, place: TopicPart, record: Record) -> int:
        """Make a record durable and return its offset."""
        log = self.logs[place]
        log.append(record)
        self.world.trace(f"log {place[0]}/{place[1]}@{len(log) - 1} by {record.by}")
        for told in self.on_append.get(place[0], ()):
            told()
        return len(log) - 1

    def group(self, name: str) -> "Group":
        """Return the group of that name."""
        if name not in self.groups:
            self.groups[name] = Group(self, name)
        return self.groups[name]

    # transactions
    def rows_of(self, txn: Txn) -> int:
        """Return how many records with a key of more than one byte (a row, no marker) a transaction has."""
        logs = (self.logs[place] for place in txn.touched)
        return sum(record.txn is txn and len(record.key or b"") > 1 for log in logs for record in log)

    def init(self, id_: str) -> int:
        """Fence every producer of the id, end what it left open, and return the new epoch."""
        self._end(id_, "aborted")
        self.epochs[id_] = self.epochs.get(id_, 0) + 1
        self.world.trace(f"fence {id_} epoch {self.epochs[id_]}")
        return self.epochs[id_]

    def txn(self, id_: str, epoch: int, by: Process) -> Txn:
        """Return the open transaction of a producer, beginning one if there is none."""
        self.check(id_, epoch)
        if id_ not in self.open:
            self.open[id_] = txn = Txn(by, id_)
            self.world.after(TXN_TIMEOUT_MS, lambda: self.time_out(txn))
        return self.open[id_]

    def check(self, id_: str, epoch: int) -> None:
        """Refuse a fenced producer."""
        if self.epochs.get(id_) != epoch:
            raise fault(KafkaError._FENCED, fatal=True)

    def end(self, id_: str, epoch: int, state: str) -> None:
        """End the open transaction of a producer."""
        self.check(id_, epoch)
        self._end(id_, state)

    def time_out(self, txn: Txn) -> None:
        """Abort a transaction that is open for too long; its producer is fenced."""
        if txn.state == "open":
            self.world.trace(f"transaction of {txn.id} timed out")
            self._end(txn.id, "aborted")
            self.epochs[txn.id] += 1

    def _end(self, id_: str, state: str) -> None:
        txn = self.open.pop(id_, None)
        if txn is None:
            return
        txn.state = state
        self.world.trace(f"{state} {id_} {sorted(txn.touched)}")
        for place in sorted(txn.touched):
            self.append(place, Record(None, None, None, 0, txn, id_, control=True))
        if state == "committed":
            for (group, place), at in txn.offsets.items():
                self.group(group).offsets[place] = at

    def stable_end(self, place: TopicPart, *, committed: bool) -> int:
        """Return the offset behind the last record that a reader may have."""
        log = self.logs[place]
        if committed and self.open:
            for offset, record in enumerate(log):
                if record.txn is not None and record.txn.state == "open":
                    return offset
        return len(log)

    def read(self, place: TopicPart, offset: int, most: int, *, committed: bool) -> tuple[list[int], int]:
        """Return offsets of up to `most` readable records from `offset`, and where to read next."""
        log, end = self.logs[place], self.stable_end(place, committed=committed)
        found: list[int] = []
        while offset < end and len(found) < most:
            record = log[offset]
            hidden = record.control or (
                committed and record.txn is not None and record.txn.state == "aborted"
            )
            if not hidden:
                found.append(offset)
            offset += 1
        return found, offset

    def pending(self, group: str, place: TopicPart) -> bool:
        """Return whether an open transaction holds offsets of the partition."""
        return any((group, place) in txn.offsets for txn in self.open.values())


class Member:
    """A consumer as its group knows it."""

    def __init__(self, id_: str, topics: list[str], on_change: Callable[[], None]) -> None:
        self.id, self.topics, self.on_change = id_, topics, on_change
        self.state = "joined"
        self.generation = -1
        self.assignment: list[TopicPart] = []
        self.out = False


class Group:
    """Eager rebalances: everybody lets go and joins again, then a new generation gets its partitions."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.world, self.name, self._broker = broker.world, name, broker
        self.members: dict[str, Member] = {}
        self.generation = 0
        self.offsets: dict[TopicPart, tuple[int, str]] = {}

    def join(self, member: Member) -> None:
        """Take a new member in; the others must join again."""
        self.members[member.id] = member
        member.state = "joined"
        self._unsettle()

    def rejoin(self, member: Member) -> None:
        """A member has let go of what it had."""
        member.state = "joined"
        self._complete()

    def expel(self, member: Member) -> None:
        """The member left, or was not heard of: its partitions go to others."""
        if self.members.pop(member.id, None) is not None:
            member.out = True
            self.world.trace(f"group {self.name} without {member.id}")
            self._unsettle()

    def knows(self, member_id: str, generation: int) -> bool:
        """Return whether commits of this member in this generation are taken."""
        member = self.members.get(member_id)
        return member is not None and member.generation == generation == self.generation

    def commit(self, member_id: str, generation: int, offsets: dict[TopicPart, tuple[int, str]]) -> bool:
        """Store offsets; False when the member or its generation is not known."""
        known = self.knows(member_id, generation)
        self.world.trace(f"commit {self.name} {member_id} {offsets} {'taken' if known else 'refused'}")
        if known:
            self.offsets.update(offsets)
        return known

    def _unsettle(self) -> None:
        for member in self.members.values():
            if member.state == "stable":
                member.state = "must_join"
                member.on_change()
        self._complete()

    def _complete(self) -> None:
        members = list(self.members.values())
        if not members or any(member.state != "joined" for member in members):
            return
        self.generation += 1
        topics = sorted({topic for member in members for topic in member.topics})
        places = [(t, n) for t in topics for n in range(self._broker.partitions[t])]
        self.world.rng.shuffle(members)
        for member in members:
            member.generation, member.state, member.assignment = self.generation, "stable", []
        for at, place in enumerate(places):
            members[at % len(members)].assignment.append(place)
        self.world.trace(
            f"group {self.name} generation {self.generation}: {[(m.id, m.assignment) for m in members]}"
        )
        for member in members:
            member.on_change()
