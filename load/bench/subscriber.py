"""A subscriber that reads predictions as soon as they are committed and notes when it had each."""

import threading
import time

import msgspec
import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from numpy.typing import NDArray

from contracts.connections import KafkaConnection
from contracts.topics import PREDICTIONS

MANY = 2_000


class _Source(msgspec.Struct):
    offset: int


class _Seen(msgspec.Struct):
    source: _Source
    scored_at: int
    latency_ms: dict[str, float]


class Subscriber(threading.Thread):
    """Reads the one partition of predictions, read committed; `moments` is by the payment's raw offset.

    `failure` holds what ended it early, if anything did.
    """

    def __init__(self, kafka: KafkaConnection, prefix: str, events: int) -> None:
        super().__init__(name="subscriber", daemon=True)
        self._kafka, self._topic = kafka, PREDICTIONS.full_name(prefix)
        self._decode = msgspec.json.Decoder(_Seen).decode
        self._stopping = threading.Event()
        names = ("readable", "scored", "total", "stage")
        self.moments: dict[str, NDArray[np.float64]] = {name: np.full(events, np.nan) for name in names}
        self.count = 0
        self.failure: Exception | None = None

    def run(self) -> None:
        """Read until stopped."""
        consumer = Consumer(
            {
                **self._kafka.librdkafka(),
                "group.id": "latency-subscriber",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        partitions = consumer.list_topics(self._topic, timeout=10.0).topics[self._topic].partitions
        consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in partitions])
        try:
            while not self._stopping.is_set():
                first = consumer.poll(0.1)
                if first is not None:  # a read of many would wait until there are many
                    self._take([first, *consumer.consume(MANY, 0)], time.time() * 1000)
        except Exception as error:  # noqa: BLE001  # carried to the thread that waits for the result
            self.failure = error
        finally:
            consumer.close()

    def wait(self, wanted: int, timeout_s: float) -> None:
        """Wait until `wanted` predictions were read.

        Raises:
            TimeoutError: nothing came for `timeout_s`.
        """
        seen, deadline_s = self.count, time.monotonic() + timeout_s
        while self.count < wanted:
            if self.failure is not None:
                raise self.failure
            if self.count > seen:
                seen, deadline_s = self.count, time.monotonic() + timeout_s
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{self.count} of {wanted} predictions, then none for {timeout_s:.0f} s")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self.join(10.0)

    def _take(self, messages: list[Message], at_ms: float) -> None:
        moments = self.moments
        for message in messages:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            seen = self._decode(message.value() or b"")
            row = seen.source.offset
            moments["readable"][row] = at_ms
            moments["scored"][row] = seen.scored_at
            moments["total"][row] = seen.latency_ms["total"]
            moments["stage"][row] = seen.latency_ms["stage"]
        self.count += len(messages)
