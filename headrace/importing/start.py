"""Where the stream goes on behind an import: the offsets at which gate and archive begin, a partition each.

They are committed for both groups, so that what lies before them is never taken and what comes after them
is never missed, whatever retention or a later start does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, ConfigError, StateError
from contracts.pipeline import Pipeline
from runtime.kafka_clients import new_admin, new_consumer
from runtime.log_ends import log_ends
from streams.stage.rebuild import has_members

READERS = ("gate", "archive")
ANSWER_S = 10.0
Offsets = dict[str, dict[int, int]]  # by topic without the run's prefix, and partition


class StreamStart:
    """The sources' topics of a run, and its groups that read them.

    Args:
        kafka: where the topics are.
        prefix: of the run's topics.
    """

    def __init__(self, kafka: KafkaConnection, prefix: str, pipeline: Pipeline) -> None:
        self._kafka, self._prefix, self._topics = kafka, prefix, tuple(pipeline.by_topic)
        self._admin = new_admin(kafka, "import")

    def refuse_begun(self, ours: Mapping[str, Mapping[int, int]]) -> None:
        """Refuse a run whose gate or archive runs, or has read.

        Args:
            ours: offsets that an unfinished import may have committed.

        Raises:
            ClusterError: E_SEED_RUNNING, E_TOPIC_MISSING. StateError: E_IMPORT_BEGUN.
        """
        for reader in READERS:
            group = f"{self._prefix}{reader}"
            if has_members(self._kafka, group):
                raise ClusterError(
                    "E_SEED_RUNNING", f"the {reader} is running", group,
                    "stop the run's workers, then run this again",
                )  # fmt: skip
            for topic, reached in self._committed(group).items():
                for partition, offset in reached.items():
                    if offset >= 0 and ours.get(topic, {}).get(partition) != offset:
                        raise StateError(
                            "E_IMPORT_BEGUN", f"the {reader} has read up to offset {offset}",
                            f"{self._prefix}{topic}/{partition}",
                            "import into a new run, before its workers start",
                        )  # fmt: skip

    def offsets(self, asked: "Literal['beginning', 'end'] | Path") -> Offsets:
        """Return the offset of each partition at which the stream is to go on.

        Args:
            asked: the first record that is there, behind the last one, or a JSON file that says it of every
                partition: `{"logins": {"0": 120}}`.

        Raises:
            ConfigError: E_IMPORT_OFFSETS, the file is none, lacks a partition, or names offsets that are not
                there. ClusterError: E_TOPIC_MISSING.
        """
        ends = self._ends()
        if not isinstance(asked, Path):
            at = 0 if asked == "beginning" else 1
            return {topic: {p: both[at] for p, both in found.items()} for topic, found in ends.items()}
        said = _read(asked)
        for topic, found in ends.items():
            for partition, (low, high) in found.items():
                offset = said.get(topic, {}).get(partition)
                if offset is None or not low <= offset <= high:
                    what = (
                        "is not named"
                        if offset is None
                        else f"begins at {low} and ends before {high}, not at {offset}"
                    )
                    raise ConfigError(
                        "E_IMPORT_OFFSETS", f"{topic}/{partition} {what}", str(asked),
                        "name the first offset that is not imported of every partition",
                    )  # fmt: skip
        return {topic: {p: said[topic][p] for p in found} for topic, found in ends.items()}

    def commit(self, offsets: Mapping[str, Mapping[int, int]]) -> None:
        """Commit where gate and archive begin.

        Raises:
            ClusterError: E_IMPORT_COMMIT.
        """
        for reader in READERS:
            group = f"{self._prefix}{reader}"
            places = [
                TopicPartition(self._prefix + topic, partition, offset)
                for topic, found in offsets.items()
                for partition, offset in found.items()
            ]
            consumer = self._consumer(group)
            try:
                done = consumer.commit(offsets=places, asynchronous=False) or []
                failed = [str(place.error) for place in done if place.error]
            except KafkaException as error:
                failed = [str(error)]
            finally:
                consumer.close()
            if failed:
                raise ClusterError(
                    "E_IMPORT_COMMIT", failed[0], group, "stop the run's workers, then run this again"
                )

    def _committed(self, group: str) -> Offsets:
        places = [
            TopicPartition(self._prefix + topic, p) for topic, found in self._ends().items() for p in found
        ]
        asked = [ConsumerGroupTopicPartitions(group, places)]
        answer = self._admin.list_consumer_group_offsets(asked, request_timeout=ANSWER_S)[group].result(15.0)
        found: Offsets = {}
        for place in answer.topic_partitions:
            found.setdefault(place.topic.removeprefix(self._prefix), {})[place.partition] = place.offset
        return found

    def _ends(self) -> dict[str, dict[int, tuple[int, int]]]:
        """Return the first offset of each partition, and that behind its last."""
        consumer = self._consumer(f"{self._prefix}import")
        try:
            return {topic: self._ends_of(consumer, self._prefix + topic) for topic in self._topics}
        finally:
            consumer.close()

    def _ends_of(self, consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
        found = consumer.list_topics(topic, ANSWER_S).topics[topic]
        if found.error is not None:
            raise ClusterError("E_TOPIC_MISSING", "no such topic", topic, "run `headrace topics create`")
        return {p: log_ends(consumer, TopicPartition(topic, p), ANSWER_S) for p in sorted(found.partitions)}

    def _consumer(self, group: str) -> Consumer:
        return new_consumer(self._kafka, "import", group)


def _read(path: Path) -> Offsets:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Offsets)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(
            "E_IMPORT_OFFSETS", f"it cannot be read: {error}", str(path), 'write {"TOPIC": {"0": 120}}'
        ) from error
