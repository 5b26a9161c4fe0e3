"""What a cluster says of a topic, where no answer is an error and never reads as "nothing there"."""

from typing import Any, Protocol

from confluent_kafka import KafkaException

from contracts.errors import ClusterError


class AsksForTopics(Protocol):
    """A consumer, a producer or an admin client of confluent_kafka."""

    def list_topics(self, topic: str, timeout: float) -> Any:
        """Return the cluster's metadata of a topic."""


def partitions_of(client: AsksForTopics, topic: str, timeout_s: float) -> list[int]:
    """Return the numbers of a topic's partitions, at least one.

    Raises:
        ClusterError: E_KAFKA_UNREACHABLE, no answer in time; E_TOPIC_MISSING, the answer names no partitions:
            the topic is not there, not visible to this user, or being created.
    """
    try:
        found = client.list_topics(topic, timeout=timeout_s).topics[topic]
    except KafkaException as error:
        raise ClusterError(
            "E_KAFKA_UNREACHABLE", f"Kafka does not answer: {error.args[0]}", topic,
            "see that the broker runs and can be reached, then try again",
        ) from error  # fmt: skip
    if found.error is not None or not found.partitions:
        what = "it has no partitions yet" if found.error is None else found.error.str()
        raise ClusterError(
            "E_TOPIC_MISSING", what, topic, "run `headrace topics create`, or let this user see the topic"
        )
    return sorted(found.partitions)
