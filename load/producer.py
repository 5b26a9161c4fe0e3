"""The producer of load: batches of records out as fast as librdkafka takes them, every delivery counted."""

from collections import defaultdict, deque
from collections.abc import Sequence

from confluent_kafka import KafkaError, Message, Producer

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError
from load.source import Record

QUEUE_MESSAGES_MAX = 200_000


class Outbox:
    """Records on their way to Kafka; `sent`, `acknowledged` and `failed` count them by topic together."""

    def __init__(self, kafka: KafkaConnection, linger_ms: float = 5.0) -> None:
        self._producer = Producer(
            {
                **kafka.librdkafka(),
                "enable.idempotence": True,
                "partitioner": "murmur2_random",  # where Java producers put the same key
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "queue.buffering.max.messages": QUEUE_MESSAGES_MAX,
                "queue.buffering.max.kbytes": 262_144,
                "client.id": "headrace-load",
                "log_level": 2,  # a broker that restarts is no news here: records wait for it
            }
        )
        self.sent = 0
        self.acknowledged = 0
        self.failure: KafkaError | None = None
        self._batches: defaultdict[str, deque[_Batch]] = defaultdict(deque)
        self._leading: defaultdict[str, int] = defaultdict(int)

    def send(self, topic: str, records: Sequence[Record]) -> None:
        """Queue records for `topic`, waiting while the queue is full.

        Raises:
            ClusterError: E_PRODUCE_DELIVERY, an earlier record could not be delivered.
        """
        batch = _Batch(self, len(records))
        self._batches[topic].append(batch)
        produce, report = self._producer.produce, batch.report
        for key, value in records:
            while True:
                try:
                    produce(topic, value, key, on_delivery=report)
                    break
                except BufferError:
                    self._producer.poll(0.05)
                    self._raise_failure(topic)
        self.sent += len(records)
        self._producer.poll(0)
        self._raise_failure(topic)

    def poll(self) -> None:
        """Take the acknowledgements that have come."""
        self._producer.poll(0)

    def flush(self, timeout_s: float = 60.0) -> None:
        """Wait until all that was sent is acknowledged.

        Raises:
            ClusterError: E_PRODUCE_DELIVERY or E_PRODUCE_TIMEOUT.
        """
        left = self._producer.flush(timeout_s)
        self._raise_failure("flush")
        if left:
            raise ClusterError(
                "E_PRODUCE_TIMEOUT", f"{left} records are not acknowledged after {timeout_s:.0f} s", "",
                "look at the broker: `headrace doctor`",
            )  # fmt: skip

    def close(self) -> None:
        """Let go of the connection; what was not acknowledged by now is given up."""
        self._producer.close()

    def leading_acknowledged(self, topic: str) -> int:
        """Return how many records of `topic` are acknowledged with all that were sent before them."""
        batches = self._batches[topic]
        while batches and batches[0].waiting == 0:
            self._leading[topic] += batches.popleft().size
        return self._leading[topic]

    def _raise_failure(self, where: str) -> None:
        if self.failure is not None:
            raise ClusterError(
                "E_PRODUCE_DELIVERY", f"a record was not delivered: {self.failure.str()}", where,
                "see that the topic exists and the broker answers: `headrace doctor`",
            )  # fmt: skip


class _Batch:
    """Counts down the deliveries of one `send`."""

    __slots__ = ("_outbox", "size", "waiting")

    def __init__(self, outbox: Outbox, size: int) -> None:
        self._outbox = outbox
        self.size = self.waiting = size

    def report(self, error: KafkaError | None, _message: Message) -> None:
        """Take one delivery report."""
        if error is None:
            self.waiting -= 1
            self._outbox.acknowledged += 1
        elif self._outbox.failure is None:
            self._outbox.failure = error
