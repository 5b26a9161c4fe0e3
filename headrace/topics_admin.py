"""Creates the topics of the table in `contracts/topics.py`, and names where a cluster differs from it."""

import time
from collections.abc import Iterable, Iterator

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError
from contracts.topics import PARTITIONS, TOPICS, Topic, table

TIMEOUT_S = 30.0


def ensure(
    kafka: KafkaConnection, prefix: str, replication: int = 1, partitions: int = PARTITIONS
) -> list[str]:
    """Create what is missing, then check everything; return the names that were created.

    Raises:
        ClusterError: E_TOPIC_CREATE, E_TOPICS_DIFFER, E_KAFKA_UNREACHABLE.
    """
    admin = _admin(kafka)
    present = _present(admin, kafka)
    missing = [topic for topic in table(partitions) if topic.full_name(prefix) not in present]
    _create(admin, missing, prefix, replication)
    _await_present(admin, kafka, {topic.full_name(prefix) for topic in missing})
    check(kafka, prefix, partitions)
    return [topic.full_name(prefix) for topic in missing]


def check(kafka: KafkaConnection, prefix: str, partitions: int = PARTITIONS) -> None:
    """Refuse a cluster whose topics are not those of the table.

    Raises:
        ClusterError: E_TOPICS_DIFFER, with every difference.
    """
    found = differences(kafka, prefix, partitions)
    if found:
        raise ClusterError(
            "E_TOPICS_DIFFER", "topics are not as the table says: " + "; ".join(found),
            kafka.bootstrap_servers, "`headrace up` creates what is missing; alter the rest",
        )  # fmt: skip


def differences(kafka: KafkaConnection, prefix: str, partitions: int = PARTITIONS) -> list[str]:
    """Return every difference between the cluster and the table, in words."""
    admin = _admin(kafka)
    present = _present(admin, kafka)
    found = [
        f"{topic.full_name(prefix)} is missing"
        for topic in table(partitions)
        if topic.full_name(prefix) not in present
    ]
    here = [topic for topic in table(partitions) if topic.full_name(prefix) in present]
    for topic in here:
        has = present[topic.full_name(prefix)]
        if has != topic.partitions:
            found.append(f"{topic.full_name(prefix)} has {has} partitions, not {topic.partitions}")
    return found + list(_config_differences(admin, here, prefix))


def delete(kafka: KafkaConnection, prefix: str) -> list[str]:
    """Delete the topics of a run that is over; return their names. The run called main has no prefix.

    Raises:
        ValueError: the prefix is empty.
    """
    if not prefix:
        raise ValueError("the main run's topics are not deleted from here")
    admin = _admin(kafka)
    names = [topic.full_name(prefix) for topic in TOPICS]
    present = _present(admin, kafka)
    ours = [name for name in names if name in present]
    if ours:
        for future in admin.delete_topics(ours, operation_timeout=TIMEOUT_S).values():
            future.result(TIMEOUT_S)
    return ours


def _admin(kafka: KafkaConnection) -> AdminClient:
    return AdminClient({**kafka.librdkafka(), "log_level": 2})  # type: ignore[dict-item]


def _present(admin: AdminClient, kafka: KafkaConnection) -> dict[str, int]:
    """Return the cluster's topics and their numbers of partitions."""
    try:
        metadata = admin.list_topics(timeout=10.0)
    except KafkaException as error:
        raise ClusterError(
            "E_KAFKA_UNREACHABLE", f"Kafka does not answer: {error.args[0]}", kafka.bootstrap_servers,
            "run `headrace servers start`, or check the address and the credentials",
        ) from error  # fmt: skip
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def _create(admin: AdminClient, topics: Iterable[Topic], prefix: str, replication: int) -> None:
    fresh = [
        NewTopic(
            topic.full_name(prefix),
            num_partitions=topic.partitions,
            replication_factor=replication,
            config=topic.configs(),
        )
        for topic in topics
    ]
    if not fresh:
        return
    for name, future in admin.create_topics(fresh, operation_timeout=TIMEOUT_S).items():
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another worker was quicker
                raise ClusterError(
                    "E_TOPIC_CREATE", f"a topic cannot be created: {error.args[0]}", name,
                    "check the permissions, or ask who runs the cluster to create it",
                ) from error  # fmt: skip


def _await_present(admin: AdminClient, kafka: KafkaConnection, names: set[str]) -> None:
    """Wait until brokers tell of topics that the controller has created already."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while names - _present(admin, kafka).keys() and time.monotonic() < deadline_s:
        time.sleep(0.05)


def _config_differences(admin: AdminClient, topics: list[Topic], prefix: str) -> Iterator[str]:
    resources = {ConfigResource(ResourceType.TOPIC, topic.full_name(prefix)): topic for topic in topics}
    if not resources:
        return
    for resource, future in admin.describe_configs(list(resources)).items():
        actual = future.result(TIMEOUT_S)
        for key, wanted in resources[resource].configs().items():
            if actual[key].value != wanted:
                yield f"{resource.name} has {key}={actual[key].value}, not {wanted}"
