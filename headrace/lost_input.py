"""What a run's readers did not get, as the operator sees it: shown, and accepted."""

import msgspec
from confluent_kafka import KafkaException, TopicPartition

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, ConfigError, StateError
from contracts.topics import Topic
from features.project.running import project_of_process
from runtime.input_record import Hole, InputRecord, TopicFact, logical
from runtime.kafka_clients import new_consumer
from runtime.kafka_guard import KafkaView
from runtime.run import Run
from streams.archive.parquet_files import reached
from streams.archive.partition import datasets_of

ANSWER_S = 10.0


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What is open, what is accepted, and which topics were made again, accepted or not."""

    open: list[Hole]
    accepted: list[Hole]
    made_again: list[str]
    generations: dict[str, int]


class LostInput:
    """The record of a run's lake beside its cluster."""

    def __init__(self, kafka: KafkaConnection, run: Run) -> None:
        self._kafka, self._run, self._record = kafka, run, InputRecord(run.lake)
        self._pipeline = project_of_process().pipeline

    def show(self) -> Shown:
        """Return everything that is known; topics are looked for on the cluster where it answers."""
        known = self._record.topics()
        try:
            again = sorted(self._made_again(known))
        except ClusterError:
            again = []
        return Shown(
            open=self._record.open(), accepted=self._record.accepted(), made_again=again,
            generations={name: fact.generation for name, fact in known.items() if fact.generation},
        )  # fmt: skip

    def accept(self, topic: str, partition: int | None, who: str, why: str) -> list[str]:
        """Accept the open holes of a topic, or that it was made again; return what was accepted, in words.

        Raises:
            ConfigError: E_TOPIC_UNKNOWN; E_HOLE_NONE, nothing of this topic is open.
            StateError: E_TOPIC_RECREATED, the run's state went with it.
            ClusterError: E_KAFKA_UNREACHABLE.
        """
        if topic not in {each.name for each in self._pipeline.topics}:
            raise ConfigError("E_TOPIC_UNKNOWN", "no topic of ours", topic, "`headrace offsets show`")
        again = self._made_again(self._record.topics()).get(topic)
        if again is not None and partition is None:
            return self._accept_again(topic, again, who, why)
        holes = [
            hole for hole in self._record.open()
            if hole.topic == topic and partition in (None, hole.partition)
        ]  # fmt: skip
        if not holes:
            raise ConfigError("E_HOLE_NONE", "nothing of it is open", topic, "`headrace offsets show`")
        begins = self._begins(topic, sorted({hole.partition for hole in holes}))
        taken = []
        for hole in holes:
            grown = msgspec.structs.replace(hole, to=max(hole.to, begins.get(hole.partition, 0)))
            taken.append(self._record.accept(grown, who, why).words)
        return taken

    def _accept_again(self, topic: str, topic_id: str, who: str, why: str) -> list[str]:
        """Take a topic as the next generation of its name: all of the old one that was not read is lost."""
        if not self._topic(topic).made_again:
            raise StateError(
                "E_TOPIC_RECREATED", "the run's state went with the old topic", topic,
                f"bring it back, or begin a new run by `headrace backfill --seed-from {self._run.lake}`",
            )  # fmt: skip
        before = self._record.generation(topic)
        end = logical(0, before + 1)
        for number in range(self._run.partitions):
            stood = reached(self._run.lake, datasets_of(self._pipeline, topic), number)
            frm = max(logical(0, before), stood.next_offset if stood is not None else 0)
            for reader in self._readers(topic):
                hole = Hole(topic=topic, partition=number, frm=frm, to=end, reader=reader, at_ms=0)
                self._record.accept(hole, who, why)
        fact = self._record.made_again(topic, topic_id)
        return [f"{topic} is generation {fact.generation} of its name; the unread rest is lost"]

    def _made_again(self, known: dict[str, TopicFact]) -> dict[str, str]:
        """Return the present ids of topics that are not those that the run read."""
        prefix = self._run.topic_prefix
        try:
            states = KafkaView(self._kafka).topics([prefix + name for name in known])
        except KafkaException as error:
            raise self._away(error) from error
        found = {name.removeprefix(prefix): state.id for name, state in states.items()}
        return {name: id for name, id in found.items() if id and id != known[name].id}

    def _begins(self, topic: str, partitions: list[int]) -> dict[int, int]:
        """Return the first offset that each partition still has, as the run names it."""
        generation = self._record.generation(topic)
        name = self._run.topic_prefix + topic
        asker = new_consumer(self._kafka, "offsets", "headrace-offsets")
        try:
            lows = {
                number: asker.get_watermark_offsets(TopicPartition(name, number), ANSWER_S)[0]
                for number in partitions
            }
        except KafkaException as error:
            raise self._away(error) from error
        finally:
            asker.close()
        return {number: logical(low, generation) for number, low in lows.items()}

    def _away(self, error: KafkaException) -> ClusterError:
        return ClusterError(
            "E_KAFKA_UNREACHABLE", f"Kafka does not answer: {error.args[0]}", self._kafka.bootstrap_servers,
            "run `headrace servers start`, or check the address and the credentials",
        )  # fmt: skip

    def _readers(self, topic: str) -> tuple[str, ...]:
        """Return who reads a topic of which records may be lost."""
        return ("gate", "archive") if topic in self._pipeline.by_topic else ("archive",)

    def _topic(self, name: str) -> Topic:
        return next(topic for topic in self._pipeline.topics if topic.name == name)
