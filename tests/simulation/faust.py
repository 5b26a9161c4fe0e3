"""Faust as a stage meets it: deliveries in a generation, explicit acks, and a revoke that waits for them.

After facts about stock Faust: eager rebalances, a seek to the group's offset at every assignment, commits
of consecutive acks only, an un-acked record delivered again, and, as a fault, a record that never comes.
"""

import asyncio
from typing import Any

from tests.simulation.broker import Broker, Member
from tests.simulation.faults import Faults
from tests.simulation.world import Process, World

COMMIT_INTERVAL_MS = 40.0


class SimFaust:
    """The consumer, the agent and the commit loop of one stage process."""

    def __init__(self, process: Process, broker: Broker, faults: Faults, group: str, topic: str) -> None:
        self.process, self.broker, self.faults = process, broker, faults
        self.world: World = process.world
        self.group, self.group_name, self.topic = broker.group(group), group, topic
        process.clients.append(self)
        self.rebalancing = False
        self.generation = -1
        self.worker: Any = None
        self.reads: dict[int, int] = {}
        self.acked: dict[int, set[int]] = {}
        self.committed: dict[int, int] = {}
        self.unacked: set[tuple[int, int, int]] = set()
        self._commits = 0
        self._wake: asyncio.Future[None] | None = None
        self._news = False
        self.member = Member(process.name, [topic], self._changed)
        broker.on_append.setdefault(topic, []).append(self._changed)

    async def run(self) -> None:
        """Join the group and deliver, for ever."""
        self.group.join(self.member)
        while True:
            self._news = False
            await self._group_duties()
            if not self.rebalancing and not self.process.stopping and await self._deliver():
                continue
            if not self._news:
                await self._sleep()

    async def run_commits(self) -> None:
        """Commit what is acked, from time to time."""
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_MS / 1e3)
            self.commit()

    def commit(self) -> None:
        """Send the group how far consecutive acks reach."""
        values = {}
        for number, acked in self.acked.items():
            at = self.committed[number]
            while at in acked or at + 1 in acked:  # stock Faust commits over one that is missing at the head
                acked.discard(at)
                at += 1
            if at != self.committed[number]:
                self.committed[number] = at
                values[self.topic, number] = (at, "")
        if values:
            member, generation = self.member.id, self.generation
            self._commits += 1

            def arrive() -> None:
                self._commits -= 1
                self.group.commit(member, generation, values)

            self.process.channel("commit").requests.append(arrive)

    async def _group_duties(self) -> None:
        member = self.member
        if self.process.zombie:
            return
        if member.out or member.state == "must_join":
            await self._let_go()
            if member.out:
                self.member = Member(
                    f"{self.process.name}.{self.world.next_number()}", [self.topic], self._changed
                )
                self.group.join(self.member)
            else:
                self.group.rejoin(member)
        elif member.state == "stable" and member.generation != self.generation:
            await self._take()

    async def _let_go(self) -> None:
        """Revoke: wait, without limit, until every delivered record is acked; commit; drop."""
        self.rebalancing = True
        while self.unacked:
            await asyncio.sleep(0.005)
        self.commit()
        while self._commits:
            await asyncio.sleep(0.002)
        self.worker.revoked(list(self.reads))
        self.reads, self.acked, self.committed = {}, {}, {}

    async def _take(self) -> None:
        """Begin a generation at the group's offsets."""
        self.generation = self.member.generation
        for topic, number in self.member.assignment:
            at = self.group.offsets.get((topic, number), (0, ""))[0]
            self.reads[number] = self.committed[number] = at
            self.acked[number] = set()
        self.rebalancing = False
        if self.world.rng.random() < 0.7:
            self._signal(self.generation)
        else:  # a first record may come before the signal
            self.process.loop.call_later(self.world.rng.random() * 5e-3, self._signal, self.generation)

    def _signal(self, generation: int) -> None:
        if generation == self.generation and not self.rebalancing:
            self.worker.assigned(list(self.reads), generation)

    async def _deliver(self) -> bool:
        """Hand one record to the agent; False when there is none."""
        waiting = [n for n, at in self.reads.items() if at < len(self.broker.logs[self.topic, n])]
        if not waiting:
            return False
        number = self.world.rng.choice(waiting)
        offset = self.reads[number]
        self.reads[number] += 1
        if self.faults.strikes(self.faults.weather.delivery / 2, "record lost in Faust"):
            self.world.after(100 + self.world.rng.random() * 200, self._miss)
            return True
        if offset > 0 and self.faults.strikes(self.faults.weather.delivery, "record delivered again"):
            self.reads[number] = self.world.rng.randint(max(0, offset - 3), offset)
        await self._hand(number, offset)
        return True

    async def _hand(self, number: int, offset: int) -> None:
        token = (number, offset, self.world.next_number())
        self.unacked.add(token)
        acked = self.acked[number]

        def ack() -> None:
            self.unacked.discard(token)
            acked.add(offset)

        data = self.broker.logs[self.topic, number][offset].value
        try:
            await self.worker.receive(number, self.generation, offset, data, ack)
        except Exception as error:  # noqa: BLE001  # Faust starts the agent again, with the next record
            self.world.trace(f"{self.process.name}: the agent raised {error!r}")

    def _miss(self) -> None:
        """The next rebalance comes some day: an un-acked record is delivered again then."""
        if not self.process.dead:
            self.group.expel(self.member)
            self._changed()

    def _changed(self) -> None:
        self._news = True
        if not self.process.dead and self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _sleep(self) -> None:
        self._wake = self.process.loop.create_future()
        await self._wake
        await asyncio.sleep(self.world.rng.random() * 2e-3)

    def wake(self) -> None:
        """Let it look at the group again."""
        self._changed()
