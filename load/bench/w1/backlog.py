"""A backlog that shows all at once: records written in one Kafka transaction, unseen until it commits."""

import time
from collections.abc import Iterable

from confluent_kafka import Producer

from contracts.connections import KafkaConnection
from headrace.traffic.input_files import Record


class Backlog:
    """Records of one topic, behind a curtain that `show` lifts."""

    def __init__(self, kafka: KafkaConnection, topic: str) -> None:
        self._topic = topic
        self._producer = Producer(
            {
                **kafka.librdkafka(),
                "transactional.id": f"backlog-{topic}-{time.time_ns()}",
                "transaction.timeout.ms": 600_000,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 5,
                "log_level": 2,
            }
        )
        self._producer.init_transactions(60)
        self._producer.begin_transaction()

    def add(self, records: Iterable[Record]) -> None:
        """Write records; no reader of committed records sees them yet."""
        for key, value in records:
            while True:
                try:
                    self._producer.produce(self._topic, value, key)
                    break
                except BufferError:
                    self._producer.poll(0.05)

    def hide(self) -> None:
        """Wait until all are in the log."""
        self._producer.flush(60)

    def show(self) -> None:
        """Let readers see them."""
        self._producer.commit_transaction(60)
