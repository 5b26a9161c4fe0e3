"""How many records a topic has shown to a subscriber so far."""

import time
from collections.abc import Callable

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from contracts.connections import KafkaConnection


class TopicCount:
    """Counts the committed records of a topic from its beginning; `values` are theirs when it keeps them."""

    def __init__(self, kafka: KafkaConnection, topic: str, *, keep: bool = False) -> None:
        self._topic = topic
        self._consumer = Consumer(
            {
                **kafka.librdkafka(),
                "group.id": f"count-{topic}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=10.0).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, i, OFFSET_BEGINNING) for i in partitions])
        self.count = 0
        self.last_s = 0.0
        self._keep = keep
        self.values: list[bytes] = []

    def take(self, wait_s: float = 0.05) -> int:
        """Read what has come and return the count; `last_s` is when the newest was read (perf counter)."""
        messages = [m for m in self._consumer.consume(10_000, wait_s) if m.error() is None]
        found = len(messages)
        if self._keep:
            self.values += [message.value() or b"" for message in messages]
        if found:
            self.count += found
            self.last_s = time.perf_counter()
        return self.count

    def wait(self, wanted: int, timeout_s: float, is_alive: Callable[[], bool] = lambda: True) -> None:
        """Read until `wanted` records were seen.

        Raises:
            TimeoutError: nothing came for `timeout_s`, or whoever sends them has ended.
        """
        seen, deadline_s = self.count, time.monotonic() + timeout_s
        while self.take() < wanted:
            if self.count > seen:
                seen, deadline_s = self.count, time.monotonic() + timeout_s
            if time.monotonic() > deadline_s or not is_alive():
                raise TimeoutError(
                    f"{self._topic}: {self.count} of {wanted} records, then none for {timeout_s:.0f} s"
                )

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()
