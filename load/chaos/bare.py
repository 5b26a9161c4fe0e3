"""A bare pair of Kafka clients beside the service: what a broker's death costs whoever uses the broker.

A producer and a consumer of confluent-kafka as they come, on a topic of their own, with no code of ours
between them; each record holds the moment at which it was handed over.
"""

import struct
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from contracts.connections import KafkaConnection

TOPIC = "bare-pair"
EVERY_S = 0.05
POLL_S = 0.02
CREATE_S = 20.0


class BarePair(threading.Thread):
    """Produces and consumes until `stop()`; `waits` are moments of sending and reading, monotonic seconds."""

    def __init__(self, kafka: KafkaConnection) -> None:
        super().__init__(name="bare-pair", daemon=True)
        self._where = {"bootstrap.servers": str(kafka.librdkafka()["bootstrap.servers"])}
        self._stopping = threading.Event()
        self._sent_s: list[float] = []
        self._read_s: dict[int, float] = {}
        self.failure: KafkaException | None = None

    def run(self) -> None:
        """Produce and consume until stopped."""
        try:
            self._create()
            self._exchange()
        except KafkaException as error:
            self.failure = error

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self.join(10.0)

    def longest_wait_s(self, from_s: float, until_s: float) -> float | None:
        """Return the longest wait of what was handed over in a time; what never came waits until now."""
        sent = list(enumerate(list(self._sent_s)))
        now_s = time.monotonic()
        return max(
            (self._read_s.get(n, now_s) - at_s for n, at_s in sent if from_s <= at_s <= until_s), default=None
        )

    def _create(self) -> None:
        admin = AdminClient({**self._where, "log_level": 2})  # its answers end with it
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(CREATE_S)

    def _exchange(self) -> None:
        producer = Producer({**self._where, "log_level": 2})
        consumer = Consumer({**self._where, "group.id": TOPIC, "log_level": 2})
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        try:
            while not self._stopping.is_set():
                if not self._sent_s or time.monotonic() - self._sent_s[-1] >= EVERY_S:
                    producer.produce(TOPIC, struct.pack("<q", len(self._sent_s)))
                    self._sent_s.append(time.monotonic())
                producer.poll(0)
                message = consumer.poll(POLL_S)
                if message is not None and message.error() is None:
                    number = struct.unpack("<q", message.value() or b"")[0]
                    self._read_s.setdefault(number, time.monotonic())
        finally:
            consumer.close()
