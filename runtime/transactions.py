"""The first call of a transactional producer: it fences whoever had its transactional id before."""

import time
from typing import Protocol


class Transactional(Protocol):
    """A producer of confluent_kafka."""

    def list_topics(self, *, timeout: float) -> object:
        """Return the cluster's metadata."""

    def init_transactions(self, timeout: float) -> None:
        """Take the transactional id."""


def take_transactional_id(producer: Transactional, timeout_s: float) -> None:
    """Fence the predecessor and abort what it left open; at most `timeout_s` in all.

    librdkafka looks for the coordinator of its transactions through any connection. Asked before it has one,
    it tries again only after half a second, which is half of a worker's restart; so it connects first.

    Raises:
        KafkaException: no answer in time, or Kafka refuses.
    """
    deadline_s = time.monotonic() + timeout_s
    producer.list_topics(timeout=timeout_s)
    producer.init_transactions(max(0.1, deadline_s - time.monotonic()))
