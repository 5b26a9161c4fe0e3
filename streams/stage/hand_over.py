"""A stage's state taken over from its stopped workers, rebuilt, and handed to their successors.

The order makes the hand-over exact. The old incarnation is fenced first, so its last marker is final: all
rows below its offset have left the stage, all others have not. The new state, made of exactly those rows,
and a marker of the same offset are then written in one transaction. A successor goes on from there.
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, StateError
from contracts.frame import position
from features.state import PACKED_VERSION
from runtime.kafka_clients import new_admin, new_consumer
from streams.stage.changelog import MARKER, Changelog, ChangelogReader, marker_of
from streams.stage.core import Entry, Marker, Snapshot
from streams.stage.definition import StageDefinition
from streams.stage.entity_rows import CLOCK, KEY
from streams.stage.rebuild import StoreRebuild, has_members
from streams.stage.settings import StageSettings

TRANSACTION_S = 600.0  # the whole state of a partition is one transaction
LOOK_S = 0.2
LEAVE_S = 15.0  # a worker that was killed stays in its group until its session is over

Tell = Callable[[str], None]


class Held(NamedTuple):
    """A fenced partition: its final marker, and the keys whose state the changelog holds."""

    changelog: Changelog
    marker: Marker
    entries: dict[bytes, bytes]

    @property
    def below(self) -> int:
        """Return the position of the hand-over: all rows below it count, none other does."""
        return position(self.marker.input_offset)


class HandOver:
    """One stage, its workers stopped, from its old definitions to this code's."""

    def __init__(self, definition: StageDefinition, settings: StageSettings, tell: Tell) -> None:
        self.definition, self._settings, self._tell = definition, settings, tell
        self._reader = ChangelogReader(settings.kafka)
        self.held: dict[int, Held] = {}

    def is_changed(self) -> bool:
        """Return whether any partition's state is of other definitions or form than this code's.

        It disturbs nobody.

        Raises:
            ClusterError: E_TOPIC_MISSING.
        """
        topic = self.definition.changelog_topic
        return any(self._is_old(self._reader.read(topic, p)) for p in range(self._partitions()))

    def _is_old(self, entries: dict[bytes, bytes]) -> bool:
        text = entries.get(MARKER)
        if text is None:
            return False
        if (
            marker_of(text, self.definition.changelog_topic).definitions_hash
            != self.definition.definitions_hash
        ):
            return True
        return any(key[:1] == KEY and state[:1] != bytes([PACKED_VERSION]) for key, state in entries.items())

    def fence(self) -> None:
        """Fence every partition and read what its last incarnation left.

        Raises:
            ClusterError: E_WARM_RUNNING, workers of the stage are still in its group; E_TOPIC_MISSING.
        """
        definition, kafka = self.definition, self._settings.kafka
        await_stopped(definition, kafka, "E_WARM_RUNNING")
        for partition in range(self._partitions()):
            changelog = Changelog(
                kafka, definition.changelog_topic, partition, definition.transactional_id(partition),
                TRANSACTION_S,
            )  # fmt: skip
            entries = changelog.fence_and_read(self._reader)
            text = entries.pop(MARKER, None)
            if text is not None:  # else the partition never had a checkpoint: its successor starts at 0
                self.held[partition] = Held(
                    changelog, marker_of(text, self.definition.changelog_topic), entries
                )

    def replace(self, partition: int, states: Iterable[tuple[bytes, bytes | None]], clock: bytes) -> int:
        """Write a partition's new state, clock and marker, in the online store and in one transaction.

        The store comes first: a crash in between leaves rows of the same positions there, which whoever
        goes on, the old code or this command once more, writes again.

        Args:
            states: every key of the partition with its packed state, None for one that is forgotten.
            clock: packed; b"" where no row has moved it.

        Returns:
            How many keys the partition has.

        Raises:
            StateError: E_WARM_INCOMPLETE, keys of the old state are missing from the new one.
            Stop: E_CHECKPOINT, somebody else took the partition over meanwhile.
        """
        held, made = self.held[partition], {KEY + key: state for key, state in states}
        gone = [key for key in held.entries if key[:1] == KEY and key not in made]
        self._refuse_lost(partition, gone)
        fresh = {key: state for key, state in made.items() if state is not None}
        rows = self.definition.rows(partition)
        if clock:
            made[CLOCK] = fresh[CLOCK] = clock
        others = {key: blob for key, blob in held.entries.items() if key[:1] != KEY}
        rows.load({**others, **fresh}, held.marker.extra)
        StoreRebuild(self.definition, self._settings, self._tell).write(rows.latest())
        entries: list[Entry] = [(key, state) for key, state in made.items() if state or key in held.entries]
        marker = msgspec.structs.replace(held.marker, definitions_hash=self.definition.definitions_hash)
        held.changelog.commit(Snapshot(entries, marker))
        return len(fresh) - bool(clock)

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()

    def _partitions(self) -> int:
        topic = self.definition.changelog_topic
        found = self._reader.warm(topic)
        if not found:
            raise ClusterError("E_TOPIC_MISSING", "the topic does not exist", topic, "run `headrace up`")
        return found

    def _refuse_lost(self, partition: int, gone: list[bytes]) -> None:
        if gone:
            raise StateError(
                "E_WARM_INCOMPLETE", f"the lake lacks the history of {len(gone):,} keys, as {gone[0][1:]!r}",
                f"{self.definition.name}/{partition}", "let the archive read all of features.log first",
            )  # fmt: skip


def await_stopped(definition: StageDefinition, kafka: KafkaConnection, code: str) -> None:
    """Return once no worker of the stage is in its group.

    Raises:
        ClusterError: of this code, some still are after the time in which a killed one leaves.
    """
    deadline_s = time.monotonic() + LEAVE_S
    while has_members(kafka, definition.group):
        if time.monotonic() > deadline_s:
            raise ClusterError(
                code, "workers of the stage are running", definition.group,
                f"stop `headrace stream {definition.name}`, then run this again",
            )  # fmt: skip
        time.sleep(LOOK_S)


class Barrier:
    """Waits until a group has read what was in a topic at a moment."""

    def __init__(self, kafka: KafkaConnection, timeout_s: float, tell: Tell) -> None:
        self._kafka, self._timeout_s, self._tell = kafka, timeout_s, tell
        self._admin = new_admin(kafka, "barrier")
        self._consumer = new_consumer(kafka, "barrier", "headrace-barrier")

    def passed(self, group: str, topic: str, what_next: str) -> None:
        """Return once the group's committed offsets are at the present ends of the topic.

        Raises:
            ClusterError: E_WARM_BEHIND, they are not after the time limit.
        """
        ends = self._ends(topic)
        deadline_s = time.monotonic() + self._timeout_s
        while behind := self._behind(group, topic, ends):
            if time.monotonic() > deadline_s:
                raise ClusterError(
                    "E_WARM_BEHIND", f"{group} has {behind:,} records of {topic} to read", group, what_next
                )
            self._tell(f"waiting for {group}: {behind:,} records of {topic}")
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _ends(self, topic: str) -> dict[int, int]:
        partitions = self._consumer.list_topics(topic, 10.0).topics[topic].partitions
        found = {p: self._consumer.get_watermark_offsets(TopicPartition(topic, p), 10.0) for p in partitions}
        return {p: high for p, (_, high) in found.items()}

    def _behind(self, group: str, topic: str, ends: dict[int, int]) -> int:
        asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in ends])]
        answer = self._admin.list_consumer_group_offsets(asked, request_timeout=10.0)[group].result(15.0)
        reached = {place.partition: max(0, place.offset) for place in answer.topic_partitions}
        return sum(max(0, end - reached.get(p, 0)) for p, end in ends.items())
