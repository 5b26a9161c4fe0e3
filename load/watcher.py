"""A subscriber like any other: reads predictions, dead letters and drift, read committed, in a thread.

The moment a poll returns a prediction is the moment it was readable.
"""

import threading
import time

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from contracts.connections import KafkaConnection
from contracts.topics import DRIFT, LABELS_DLQ, PREDICTIONS, TRANSACTIONS_DLQ
from load.observed import DeadLetter, Observed, Seen

WATCHED = (PREDICTIONS, TRANSACTIONS_DLQ, LABELS_DLQ, DRIFT)


class _Id(msgspec.Struct):
    transaction_id: str = ""


class Watcher(threading.Thread):
    """Fills an `Observed` until `stop()`; `failure` holds what ended it early, if anything did."""

    def __init__(self, kafka: KafkaConnection, topic_prefix: str, observed: Observed) -> None:
        super().__init__(name="watcher", daemon=True)
        self._kafka, self._prefix, self._observed = kafka, topic_prefix, observed
        self._stopping = threading.Event()
        self._decode = msgspec.json.Decoder(Seen).decode
        self._decode_id = msgspec.json.Decoder(_Id).decode
        self.failure: Exception | None = None

    def run(self) -> None:
        """Read until stopped."""
        consumer = self._consumer()
        try:
            while not self._stopping.is_set():
                first = consumer.poll(0.05)
                if first is not None:  # a read of many would wait until there are many, or its time is over
                    self._take([first, *consumer.consume(2_000, 0)])
        except Exception as error:  # noqa: BLE001  # carried to the thread that waits for the result
            self.failure = error
        finally:
            consumer.close()

    def note(self, topic: str, message: Message) -> None:
        """Hear of each record as it is read; `topic` is without the run's prefix."""

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self.join(10.0)

    def _consumer(self) -> Consumer:
        consumer = Consumer(
            {
                **self._kafka.librdkafka(),
                "group.id": f"{self._prefix}watcher",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
                "log_level": 2,
                "fetch.min.bytes": 1,
                "queued.max.messages.kbytes": 65_536,
            }
        )
        consumer.assign(
            [
                TopicPartition(topic.full_name(self._prefix), partition, OFFSET_BEGINNING)
                for topic in WATCHED
                for partition in _partitions(consumer, topic.full_name(self._prefix))
            ]
        )
        return consumer

    def _take(self, messages: list[Message]) -> None:
        at_s = time.time()
        predictions = []
        for message in messages:
            error = message.error()
            if error is not None:
                _raise_unless_passing(error)
                continue
            name = str(message.topic()).removeprefix(self._prefix)
            self.note(name, message)
            if name == PREDICTIONS.name:
                predictions.append(self._decode(message.value() or b""))
            elif name == DRIFT.name:
                self._observed.drift_alerts += 1
            else:
                self._take_dead_letter(message)
        if predictions:
            self._observed.add(predictions, at_s)

    def _take_dead_letter(self, message: Message) -> None:
        about = _headers(message)
        topic = about.get("topic", "").removeprefix(self._prefix)
        origin = (topic, int(about.get("partition", -1)), int(about.get("offset", -1)))
        key, value = message.key(), message.value()
        letter = DeadLetter(topic, about.get("code", ""), key, value, self._id_of(value))
        self._observed.add_dead_letter(origin, letter)

    def _id_of(self, value: bytes | None) -> str:
        try:
            return self._decode_id(value or b"").transaction_id
        except (msgspec.DecodeError, UnicodeDecodeError):  # a refused record need not be readable
            return ""


def _raise_unless_passing(error: KafkaError) -> None:
    """A broker that is away comes back; anything fatal is not waited for."""
    if error.fatal() or error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTHENTICATION):
        raise KafkaException(error)


def _headers(message: Message) -> dict[str, str]:
    """Return the dead letter's own headers without their common beginning."""
    headers = {}
    for name, value in list(message.headers() or []):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
        headers[str(name).removeprefix("headrace.dlq.")] = text
    return headers


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    return sorted(consumer.list_topics(topic, timeout=10.0).topics[topic].partitions)
