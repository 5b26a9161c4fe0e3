"""Batches of records to Kafka as fast as librdkafka takes them, every delivery counted."""

import time
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, Message

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError
from headrace.traffic.input_files import Record
from runtime.kafka_clients import new_producer

QUEUE_MESSAGES_MAX = 200_000
FLUSH_STEP_S = 0.1


class RecordProducer:
    """Records on their way to Kafka; `sent` and `acknowledged` count them, all topics together.

    Args:
        on_look: called at every poll with the seconds for which nothing was acknowledged that is waited for;
            it may raise.
    """

    def __init__(
        self, kafka: KafkaConnection, linger_ms: float = 5.0,
        on_look: Callable[[float], None] = lambda _silent_s: None,
    ) -> None:  # fmt: skip
        self._on_look = on_look
        self._moved_s, self._seen = time.monotonic(), 0
        self._client = new_producer(
            kafka,
            "headrace-produce",
            {
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "queue.buffering.max.messages": QUEUE_MESSAGES_MAX,
                "queue.buffering.max.kbytes": 262_144,
            },
        )
        self.sent = 0
        self.acknowledged = 0
        self.failure: KafkaError | None = None

    def send(self, topic: str, records: Sequence[Record]) -> None:
        """Queue records for `topic`, waiting while the queue is full.

        Raises:
            ClusterError: E_PRODUCE_DELIVERY, an earlier record could not be delivered.
        """
        produce, report = self._client.produce, self._report
        for key, value in records:
            while True:
                try:
                    produce(topic, value, key, on_delivery=report)
                    break
                except BufferError:
                    self._client.poll(0.05)
                    self._raise_failure(topic)
                    self._look()
        if self.acknowledged == self.sent:  # nothing was waited for: silence is counted from now
            self._moved_s = time.monotonic()
        self.sent += len(records)
        self.poll()
        self._raise_failure(topic)

    def poll(self) -> None:
        """Take the acknowledgements that have come."""
        self._client.poll(0)
        self._look()

    def flush(self, timeout_s: float = 60.0) -> None:
        """Wait until all that was sent is acknowledged.

        Raises:
            ClusterError: E_PRODUCE_DELIVERY or E_PRODUCE_TIMEOUT.
        """
        deadline_s = time.monotonic() + timeout_s
        while (left := self._client.flush(FLUSH_STEP_S)) and time.monotonic() < deadline_s:
            self._raise_failure("flush")
            self._look()
        self._raise_failure("flush")
        if left:
            raise ClusterError(
                "E_PRODUCE_TIMEOUT", f"{left} records are not acknowledged after {timeout_s:.0f} s", "",
                "look at the broker: `headrace doctor`",
            )  # fmt: skip

    def close(self) -> None:
        """Let go of the connection; what was not acknowledged by now is given up."""
        self._client.close()

    def _report(self, error: KafkaError | None, _message: Message) -> None:
        """Take one delivery report."""
        if error is None:
            self.acknowledged += 1
        elif self.failure is None:
            self.failure = error

    def _look(self) -> None:
        now_s = time.monotonic()
        if self.acknowledged != self._seen or self.acknowledged == self.sent:
            self._seen, self._moved_s = self.acknowledged, now_s
        self._on_look(now_s - self._moved_s)

    def _raise_failure(self, where: str) -> None:
        if self.failure is not None:
            raise ClusterError(
                "E_PRODUCE_DELIVERY", f"a record was not delivered: {self.failure.str()}", where,
                "see that the topic exists and the broker answers: `headrace doctor`",
            )  # fmt: skip
