"""How many records a topic has shown to a subscriber so far."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from contracts.connections import KafkaConnection


class TopicCount:
    """Counts the committed records of a topic from its beginning."""

    def __init__(self, kafka: KafkaConnection, topic: str) -> None:
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

    def take(self, wait_s: float = 0.05) -> int:
        """Read what has come and return the count; `last_s` is when the newest was read (perf counter)."""
        found = sum(1 for message in self._consumer.consume(10_000, wait_s) if message.error() is None)
        if found:
            self.count += found
            self.last_s = time.perf_counter()
        return self.count

    def wait(self, wanted: int, timeout_s: float) -> None:
        """Read until `wanted` records were seen.

        Raises:
            TimeoutError: nothing came for `timeout_s`.
        """
        seen, deadline_s = self.count, time.monotonic() + timeout_s
        while self.take() < wanted:
            if self.count > seen:
                seen, deadline_s = self.count, time.monotonic() + timeout_s
            if time.monotonic() > deadline_s:
                raise TimeoutError(
                    f"{self._topic}: {self.count} of {wanted} records, then none for {timeout_s:.0f} s"
                )

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()
