"""Kafka's client library in memory, with the calls that the service makes: consumers and producers.

Each call that a real client blocks in is a point where the schedule may turn to somebody else, and where
the process may die. Requests travel in channels, so they arrive late, or after their sender's end.
"""

import zlib
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from tests.simulation.broker import Broker, Member, Record, fault
from tests.simulation.faults import Faults
from tests.simulation.world import Process, World

FOREVER_MS = 1e9


class SimProducer:
    """A plain idempotent or a transactional producer."""

    def __init__(self, net: "Net", conf: dict[str, Any]) -> None:
        assert net.world.process is not None
        self.net, self.broker, self.world, self.owner = net, net.broker, net.world, net.world.process
        self.id: str | None = conf.get("transactional.id")
        self.number = self.world.next_number()
        self.epoch = 0
        self.flying = 0
        self.failed = False
        self.dirty = False
        self.callbacks: deque[Callable[[], None]] = deque()

    def produce(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, partition: int = -1,
        on_delivery: Callable[..., None] | None = None, timestamp: int = 0, headers: Any = None,
    ) -> None:  # fmt: skip
        """Queue one record."""
        if partition < 0:
            key_bytes = key.encode() if isinstance(key, str) else key or b""
            partition = zlib.crc32(key_bytes) % self.broker.partitions[topic]
        request = SimpleNamespace(
            place=(topic, partition), value=value, key=key, headers=headers, on_delivery=on_delivery
        )
        self.flying += 1
        channel = self.owner.channel((self.number, topic, partition))
        channel.requests.append(lambda: self._arrive(request))

    def produce_batch(self, topic: str, records: list[dict[str, Any]], partition: int = -1) -> int:
        """Queue records; return how many were taken."""
        for record in records:
            self.produce(topic, record["value"], record["key"], partition)
        return len(records)

    def _arrive(self, request: Any) -> None:
        """The head of a connection's queue reaches the broker, or fails."""
        followed = bool(self.owner.channel((self.number, *request.place)).requests)
        verdict = self.net.faults.delivery(followed) if not self.owner.dead else "arrives"
        error: KafkaError | None = None
        if verdict != "lost":
            try:
                txn = self.broker.txn(self.id, self.epoch, self.owner) if self.id else None
                if txn is not None:
                    txn.touched.add(request.place)
                self.broker.append(
                    request.place,
                    Record(
                        request.key, request.value, request.headers, self.net.wall_ms(), txn, self.owner.name
                    ),
                )
            except Exception as refused:  # noqa: BLE001  # a fenced producer's write
                error = refused.args[0]
        if verdict != "arrives":
            self.world.trace(f"{verdict} {request.place} by {self.owner.name}")
            error = KafkaError(KafkaError._MSG_TIMED_OUT, "simulated")
        if self.owner.dead:
            return
        self.callbacks.append(lambda: self._told(request, error))

    def _told(self, request: Any, error: KafkaError | None) -> None:
        self.flying -= 1
        self.failed = self.failed or error is not None
        if request.on_delivery is not None:
            request.on_delivery(error, Message(topic=request.place[0], partition=request.place[1]))

    def poll(self, timeout_s: float = 0.0) -> int:
        """Call what is due."""
        self.world.wait(max(0.0, timeout_s) * 1e3, lambda: bool(self.callbacks))
        count = len(self.callbacks)
        while self.callbacks:
            self.callbacks.popleft()()
        return count

    def flush(self, timeout_s: float = 1e6) -> int:
        """Wait until nothing is on its way."""
        end_ms = self.world.now_ms + timeout_s * 1e3
        while self.flying and self.world.now_ms < end_ms and self.world.fiber is not None:
            self.world.wait(end_ms - self.world.now_ms, lambda: bool(self.callbacks))
            while self.callbacks:
                self.callbacks.popleft()()
        return self.flying

    def list_topics(self, topic: str = "", timeout: float = 0.0) -> Any:
        """Return the topics there are."""
        return SimpleNamespace(
            topics={t: SimpleNamespace(partitions=dict.fromkeys(range(n)), error=None)
                    for t, n in self.broker.partitions.items()}
        )  # fmt: skip

    # transactions
    def init_transactions(self, timeout_s: float = 0.0) -> None:
        """Fence predecessors."""
        self._pause()
        self.epoch = self.broker.init(str(self.id))
        self._pause()

    def begin_transaction(self) -> None:
        """Begin; the coordinator hears of it with the first write."""
        self.failed = False
        self._pause()

    def send_offsets_to_transaction(
        self, offsets: list[TopicPartition], group: Any, timeout_s: float
    ) -> None:
        """Put consumed offsets into the transaction, under the group's generation."""
        self._pause()
        found = self.broker.group(group.group)
        if group.generation is not None and not found.knows(group.member, group.generation):
            self.world.trace(f"generation {group.generation} of {group.member} refused")
            raise fault(KafkaError.ILLEGAL_GENERATION, abort=True)
        txn = self.broker.txn(str(self.id), self.epoch, self.owner)
        for part in offsets:
            txn.offsets[group.group, (part.topic, part.partition)] = (part.offset, part.metadata)
        self.world.trace(f"offsets {group.member} {[(p.partition, p.offset, p.metadata) for p in offsets]}")
        self._pause()

    def commit_transaction(self, timeout_s: float = 30.0) -> None:
        """Send what is queued, then end the transaction."""
        self.flush()
        self.broker.check(str(self.id), self.epoch)
        if self.failed:
            raise fault(KafkaError._MSG_TIMED_OUT, abort=True)
        self._pause()
        fate = self.net.faults.end_of_transaction(self)
        if fate == "delayed":
            epoch = self.epoch
            delay_ms = self.world.rng.random() * 60
            self.world.after(delay_ms, lambda: self._late_end(epoch))
            raise fault(KafkaError._TIMED_OUT, retry=True)
        self.broker.end(str(self.id), self.epoch, "committed")
        if fate == "answer_lost":
            raise fault(KafkaError._TIMED_OUT, retry=True)
        self._pause()

    def _late_end(self, epoch: int) -> None:
        """A delayed request ends whatever is open under its epoch by then."""
        if self.broker.epochs.get(str(self.id)) == epoch:
            self.world.trace(f"late end of a transaction of {self.id}")
            self.broker.end(str(self.id), epoch, "committed")

    def abort_transaction(self, timeout_s: float = 30.0) -> None:
        """Drop what is queued and end the transaction."""
        for key, channel in self.owner.channels.items():
            if key[0] == self.number:
                self.flying -= len(channel.requests)
                channel.requests.clear()
        self.flush()
        self.failed = False
        self._pause()
        self.broker.end(str(self.id), self.epoch, "aborted")
        self._pause()

    def _pause(self) -> None:
        """An answer of the coordinator takes a moment, now and then a long one."""
        longest_ms = 25 if self.world.rng.random() < 0.08 else 2
        self.world.wait(self.world.rng.random() * longest_ms)


class SimConsumer:
    """A consumer, in a group or assigned by hand."""

    def __init__(self, net: "Net", conf: dict[str, Any]) -> None:
        assert net.world.process is not None
        self.net, self.broker, self.world, self.owner = net, net.broker, net.world, net.world.process
        self.group_name = str(conf["group.id"])
        self.static = conf.get("group.instance.id")
        self.committed_only = conf.get("isolation.level", "read_committed") == "read_committed"
        self.tells_ends = bool(conf.get("enable.partition.eof"))
        self.positions: dict[tuple[str, int], int] = {}
        self.told_end: set[tuple[str, int]] = set()
        self.paused: set[tuple[str, int]] = set()
        self.member: Member | None = None
        self.generation = -1
        self.topics: list[str] = []
        self.on_assign: Any = None
        self.on_revoke: Any = None
        self.on_lost: Any = None
        self.on_commit: Any = conf.get("on_commit")
        self.callbacks: deque[Callable[[], None]] = deque()
        self.owner.clients.append(self)

    def subscribe(
        self, topics: list[str], on_assign: Any = None, on_revoke: Any = None, on_lost: Any = None
    ) -> None:
        """Join the group at the next poll."""
        self.topics, self.on_assign, self.on_revoke, self.on_lost = topics, on_assign, on_revoke, on_lost

    def poll(self, timeout_s: float = 0.0) -> Message | None:
        """Return one message, or an error, or nothing in time."""
        found = self._fetch(1, timeout_s)
        return found[0] if found else None

    def consume(self, most: int = 1, timeout_s: float = 0.0) -> list[Message]:
        """Return up to `most` messages."""
        return self._fetch(most, timeout_s)

    def _fetch(self, most: int, timeout_s: float) -> list[Message]:
        end_ms = self.world.now_ms + timeout_s * 1e3
        while True:
            while self.callbacks:
                self.callbacks.popleft()()
            self._group_duties()
            if found := self._take(most):
                return found
            if self.world.now_ms >= end_ms:
                self.world.wait(0.0)
                return self._take(most) if not self._has_duties() else []
            self.world.wait(end_ms - self.world.now_ms, self._wakes)

    def _wakes(self) -> bool:
        return (
            bool(self.callbacks)
            or self._has_duties()
            or any(at < len(self.broker.logs[p]) for p, at in self.positions.items() if p not in self.paused)
        )

    def _gives(self, place: tuple[str, int]) -> bool:
        """Return whether anything of a partition can come: it is wanted, and its leader answers."""
        return place not in self.paused and self.world.now_ms >= self.net.silent_until_ms.get(place, 0.0)

    def _has_duties(self) -> bool:
        member = self.member
        if not self.topics or self.owner.zombie:
            return False
        if member is None or member.out:
            return True
        return member.state == "must_join" or (
            member.state == "stable" and member.generation != self.generation
        )

    def _group_duties(self) -> None:
        """Do what the group asks for; a zombie has not heard of it."""
        while self._has_duties():
            group = self.broker.group(self.group_name)
            member = self.member
            if member is None or member.out:
                self._let_go(self.on_lost or self.on_revoke)
                name = f"{self.owner.name}.{self.world.next_number()}"
                self.member = Member(name, self.topics, lambda: None)
                group.join(self.member)
            elif member.state == "must_join":
                self._let_go(self.on_revoke)
                if not member.out:
                    group.rejoin(member)
            else:
                self.generation = member.generation
                self.positions = {}
                if self.on_assign is not None:
                    self.on_assign(self, [TopicPartition(t, n) for t, n in member.assignment])

    def _let_go(self, told: Any) -> None:
        places = list(self.positions)
        if places and told is not None:
            told(self, [TopicPartition(t, n) for t, n in places])
        self.positions = {}

    def _take(self, most: int) -> list[Message]:
        found: list[Message] = []
        places = [place for place in self.positions if self._gives(place)]
        self.world.rng.shuffle(places)
        for place in places:
            offsets, after = self.broker.read(
                place, self.positions[place], most - len(found), committed=self.committed_only
            )
            if after != self.positions[place]:
                self.told_end.discard(place)
            self.positions[place] = after
            found += [self._message(place, offset) for offset in offsets]
            if len(found) >= most:
                return found
            if self.tells_ends and place not in self.told_end:
                self.told_end.add(place)
                ended = KafkaError(KafkaError._PARTITION_EOF)
                found.append(Message(topic=place[0], partition=place[1], offset=after, error=ended))
        return found

    def _message(self, place: tuple[str, int], offset: int) -> Message:
        record = self.broker.logs[place][offset]
        return Message(
            topic=place[0], partition=place[1], offset=offset, key=record.key, value=record.value,
            headers=record.headers, timestamp=(2, record.timestamp_ms),
        )  # fmt: skip

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these from their offsets."""
        self.positions = {(p.topic, p.partition): max(0, p.offset) for p in partitions}
        self.told_end.clear()

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Read nothing of these until they are resumed."""
        self.paused |= {(p.topic, p.partition) for p in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Read these again."""
        self.paused -= {(p.topic, p.partition) for p in partitions}

    def unassign(self) -> None:
        """Read nothing."""
        self.positions = {}

    def seek(self, place: TopicPartition) -> None:
        """Go to an offset."""
        self.positions[place.topic, place.partition] = place.offset

    def committed(self, partitions: list[TopicPartition], timeout: float = 0.0) -> list[TopicPartition]:
        """Return the group's offsets; a read-committed consumer waits for those in open transactions."""
        self.world.wait(self.world.rng.random() * 2)
        places = [(p.topic, p.partition) for p in partitions]
        pending = lambda: any(self.broker.pending(self.group_name, place) for place in places)  # noqa: E731
        if self.committed_only and pending():
            self.world.wait(timeout * 1e3, lambda: not pending())
        offsets = self.broker.group(self.group_name).offsets
        found = []
        for topic, number in places:
            offset, metadata = offsets.get((topic, number), (-1001, ""))
            found.append(TopicPartition(topic, number, offset, metadata))
        self.world.trace(f"committed {self.owner.name} {[(p.topic, p.partition, p.offset) for p in found]}")
        self.world.wait(self.world.rng.random() * 2)
        return found

    def commit(self, offsets: list[TopicPartition], asynchronous: bool = True) -> None:
        """Store offsets in the group, if it knows us."""
        group, member, generation = self.broker.group(self.group_name), self.member, self.generation
        assert member is not None
        values = {(p.topic, p.partition): (p.offset, p.metadata or "") for p in offsets}
        answer: list[bool] = []

        def arrive() -> None:
            answer.append(group.commit(member.id, generation, values))
            if asynchronous and self.on_commit is not None:
                error = None if answer[0] else KafkaError(KafkaError.ILLEGAL_GENERATION)
                self.callbacks.append(lambda: self.on_commit(error, offsets))

        self.owner.channel((self.group_name, "commit")).requests.append(arrive)
        if not asynchronous:
            self.world.wait(FOREVER_MS, lambda: bool(answer))
            if answer and not answer[0]:
                raise fault(KafkaError.ILLEGAL_GENERATION)

    def get_watermark_offsets(self, place: TopicPartition, timeout: float = 0.0, cached: bool = False) -> Any:
        """Return where the partition begins and ends."""
        if (place.topic, place.partition) not in self.broker.logs:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return 0, len(self.broker.logs[place.topic, place.partition])

    def consumer_group_metadata(self) -> Any:
        """Return who we are in the group, and in which generation."""
        member = self.member.id if self.member else ""
        return SimpleNamespace(group=self.group_name, member=member, generation=self.generation)

    def list_topics(self, topic: str = "", timeout: float = 0.0) -> Any:
        """Return the topics there are."""
        return SimpleNamespace(
            topics={t: SimpleNamespace(partitions=dict.fromkeys(range(n)), error=None)
                    for t, n in self.broker.partitions.items()}
        )  # fmt: skip

    def close(self) -> None:
        """Leave the group."""
        if self.member is not None and not self.member.out:
            self._let_go(self.on_revoke)
            self.broker.group(self.group_name).expel(self.member)


class Net:
    """What the clients of a run share."""

    def __init__(self, world: World, broker: Broker, faults: Faults, start_ms: int) -> None:
        self.world, self.broker, self.faults, self._start_ms = world, broker, faults, start_ms
        self.silent_until_ms: dict[tuple[str, int], float] = {}  # partitions whose leader does not answer

    def wall_ms(self) -> int:
        """Return the wall clock's virtual time."""
        return self._start_ms + int(self.world.now_ms)


def expel(process: Process, broker: Broker) -> None:
    """The group has not heard of the process for too long."""
    for client in process.clients:
        if client.member is not None and not client.member.out:
            broker.group(client.group_name).expel(client.member)
