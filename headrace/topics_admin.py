"""Creates the topics of a project's table, and names where a cluster differs from it."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError
from contracts.topics import PARTITIONS, Topic
from features.project.running import project_of_process
from runtime.guards import wanted_replication
from runtime.kafka_clients import new_admin
from runtime.settings import GuardSettings

TIMEOUT_S = 30.0


def ensure(
    kafka: KafkaConnection, prefix: str, replication: int = 0, partitions: int = PARTITIONS,
    settings: GuardSettings | None = None,
) -> list[str]:  # fmt: skip
    """Create what is missing, then check everything; return the names that were created.

    Args:
        replication: copies of each new topic; 0 for what the settings say, which is as many as there are
            brokers but at most three.

    Raises:
        ClusterError: E_TOPIC_CREATE, E_TOPICS_DIFFER, E_KAFKA_UNREACHABLE.
    """
    admin = _admin(kafka)
    present = _present(admin, kafka)
    missing = [topic for topic in _table(partitions) if topic.full_name(prefix) not in present]
    _create(admin, missing, prefix, _copies(admin, replication, settings or GuardSettings()))
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
            kafka.bootstrap_servers,
            "`headrace up` creates what is missing; `headrace topics grow` and `configure` alter the rest",
        )  # fmt: skip


def differences(kafka: KafkaConnection, prefix: str, partitions: int = PARTITIONS) -> list[str]:
    """Return every difference between the cluster and the table, in words."""
    admin = _admin(kafka)
    present = _present(admin, kafka)
    found = [
        f"{topic.full_name(prefix)} is missing"
        for topic in _table(partitions)
        if topic.full_name(prefix) not in present
    ]
    here = [topic for topic in _table(partitions) if topic.full_name(prefix) in present]
    for topic in here:
        has = present[topic.full_name(prefix)]
        if has < topic.partitions:
            found.append(f"{topic.full_name(prefix)} has {has} partitions, not {topic.partitions}")
    return found + list(_config_differences(admin, here, prefix))


def grown(kafka: KafkaConnection, prefix: str, partitions: int = PARTITIONS) -> dict[str, int]:
    """Return the topics that have more partitions than the run, by full name: known, and no fault."""
    present = _present(_admin(kafka), kafka)
    wanted = {topic.full_name(prefix): topic.partitions for topic in _table(partitions)}
    return {name: present[name] for name, least in wanted.items() if present.get(name, 0) > least}


def grow(kafka: KafkaConnection, prefix: str, partitions: int = PARTITIONS) -> list[str]:
    """Give each topic of the run as many partitions as the run has; return those that had fewer.

    Raises:
        ClusterError: E_TOPIC_ALTER, E_KAFKA_UNREACHABLE.
    """
    admin = _admin(kafka)
    present = _present(admin, kafka)
    wanted = {topic.full_name(prefix): topic.partitions for topic in _table(partitions)}
    few = [name for name, least in wanted.items() if present.get(name, least) < least]
    if few:
        asked = admin.create_partitions([NewPartitions(name, wanted[name]) for name in few])
        _await_altered(asked.items())
        _await_grown(admin, kafka, {name: wanted[name] for name in few})
    return few


def _await_grown(admin: AdminClient, kafka: KafkaConnection, wanted: dict[str, int]) -> None:
    """Wait until brokers tell of partitions that the controller has made already."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline_s:
        present = _present(admin, kafka)
        if all(present.get(name, 0) >= least for name, least in wanted.items()):
            return
        time.sleep(0.05)


def configure(kafka: KafkaConnection, prefix: str, partitions: int = PARTITIONS) -> list[str]:
    """Set what the table says of each topic's settings; return those that differed.

    Raises:
        ClusterError: E_TOPIC_ALTER, E_KAFKA_UNREACHABLE.
    """
    admin = _admin(kafka)
    present = _present(admin, kafka)
    here = [topic for topic in _table(partitions) if topic.full_name(prefix) in present]
    wrong = {text.partition(" ")[0] for text in _config_differences(admin, here, prefix)}
    asked = [
        ConfigResource(
            ResourceType.TOPIC, topic.full_name(prefix),
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in topic.configs().items()
            ],
        )
        for topic in here if topic.full_name(prefix) in wrong
    ]  # fmt: skip
    if asked:
        answers = admin.incremental_alter_configs(asked)
        _await_altered((resource.name, future) for resource, future in answers.items())
    return sorted(wrong)


def _await_altered(asked: "Iterable[tuple[str, Future[Any]]]") -> None:
    for name, future in asked:
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            raise ClusterError(
                "E_TOPIC_ALTER", f"a topic cannot be altered: {error.args[0]}", name,
                "check the permissions, or ask who runs the cluster to alter it",
            ) from error  # fmt: skip


def _copies(admin: AdminClient, replication: int, settings: GuardSettings) -> tuple[int, int]:
    """Return how many copies a new topic gets, and how many of them must take a write."""
    copies, insync = wanted_replication(settings, len(admin.list_topics(timeout=10.0).brokers))
    return (replication, max(1, replication - 1)) if replication else (copies, insync)


def delete(kafka: KafkaConnection, prefix: str) -> list[str]:
    """Delete the topics of a run that is over; return their names. The run called main has no prefix.

    Raises:
        ValueError: the prefix is empty.
    """
    if not prefix:
        raise ValueError("the main run's topics are not deleted from here")
    admin = _admin(kafka)
    names = [topic.full_name(prefix) for topic in project_of_process().pipeline.topics]
    present = _present(admin, kafka)
    ours = [name for name in names if name in present]
    if ours:
        for future in admin.delete_topics(ours, operation_timeout=TIMEOUT_S).values():
            future.result(TIMEOUT_S)
    return ours


def _table(partitions: int) -> tuple[Topic, ...]:
    """Return the topics of this process's project in a run with that many partitions."""
    return project_of_process().pipeline.table(partitions)


def _admin(kafka: KafkaConnection) -> AdminClient:
    return new_admin(kafka, "topics")


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


def _create(admin: AdminClient, topics: Iterable[Topic], prefix: str, copies: tuple[int, int]) -> None:
    fresh = [
        NewTopic(
            topic.full_name(prefix),
            num_partitions=topic.partitions,
            replication_factor=copies[0],
            config=topic.configs() | {"min.insync.replicas": str(copies[1])},
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
