"""Kafka's clients: made here and nowhere else, so that what must hold for all of them is said once.

A client is called what it is (`client.id`), finds a broker that comes back within a second, prints nothing by
itself and logs its connections' errors by code (`contracts.connections`). Whoever makes one says only what is
its own: a mapping of librdkafka's settings, which goes before what stands here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from contracts.connections import KafkaConnection

Settings = Mapping[str, Any]
NONE: Settings = MappingProxyType({})

# A batch may not unpack to more than `receive.message.max.bytes`: all readers, and the probe of a batch that
# cannot be unpacked (`runtime.unreadable`), must agree on it.
FETCH: Settings = MappingProxyType({"fetch.max.bytes": 16_777_216, "receive.message.max.bytes": 20_000_000})
# The default's 100 ms are most of a transaction: its coordinator is still finishing the one before.
QUICK_RETRY: Settings = MappingProxyType({"retry.backoff.ms": 2, "retry.backoff.max.ms": 20})

CONSUMER: Settings = MappingProxyType({
    "enable.auto.commit": False,  # an offset is committed when what follows from it is safe, never by a clock
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # an offset that is not there is a hole: never passed over
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "allow.auto.create.topics": False,
    **FETCH,
})  # fmt: skip
PRODUCER: Settings = MappingProxyType({
    "enable.idempotence": True,  # and so acks of all in-sync replicas, in order, nothing doubled by a retry
    "partitioner": "murmur2_random",  # as Java's: a key has one partition, whoever sends it
})  # fmt: skip
TRANSACTIONAL: Settings = MappingProxyType({"compression.type": "lz4", **QUICK_RETRY})


def static_member(name: str) -> Settings:
    """Return a consumer's setting of its name in its group (KIP-345); nothing where there is none.

    >>> static_member("gate-0"), static_member("")
    ({'group.instance.id': 'gate-0'}, {})
    """
    return {"group.instance.id": name} if name else {}


def new_consumer(kafka: KafkaConnection, name: str, group: str, settings: Settings = NONE) -> Consumer:
    """Return a consumer that commits by hand and reads what is committed.

    Args:
        name: what the broker's logs and metrics call it.
        group: its group; who only assigns or asks never joins it, and yet librdkafka wants one.
        settings: librdkafka's, which go before `CONSUMER`.

    >>> new_consumer(KafkaConnection(bootstrap_servers="127.0.0.1:9"), "look", "headrace-look").close()
    """
    return Consumer({**kafka.librdkafka(), "client.id": name, "group.id": group, **CONSUMER, **settings})


def new_producer(kafka: KafkaConnection, name: str, settings: Settings = NONE) -> Producer:
    """Return a producer that neither loses nor doubles by its own retries.

    >>> new_producer(KafkaConnection(bootstrap_servers="127.0.0.1:9"), "send").flush(0) >= 0
    True
    """
    return Producer({**kafka.librdkafka(), "client.id": name, **PRODUCER, **settings})


def new_transactional(
    kafka: KafkaConnection, name: str, transactional_id: str, timeout_ms: int, settings: Settings = NONE
) -> Producer:
    """Return a producer of transactions; `runtime.transactions` fences its predecessor.

    Args:
        timeout_ms: after which the coordinator ends a transaction that nobody ends.
    """
    own = {"transactional.id": transactional_id, "transaction.timeout.ms": timeout_ms}
    return new_producer(kafka, name, {**own, **TRANSACTIONAL, **settings})


def new_admin(kafka: KafkaConnection, name: str) -> AdminClient:
    """Return a client that asks about and changes topics, groups and settings."""
    settings: dict[str, Any] = {**kafka.librdkafka(), "client.id": name}
    return AdminClient(settings)
