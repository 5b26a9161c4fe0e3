"""A subscriber like any other: reads predictions, dead letters and drift, read committed, in a thread.

The moment a poll returns a prediction is the moment it was readable.
"""

import threading
import time

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from contracts.connections import KafkaConnection
from contracts.pipeline import Pipeline
from contracts.topics import DRIFT, PREDICTIONS
from headrace.traffic.form import forms_of
from headrace.traffic.observed import Observed, SeenDeadLetter, SeenDrift, SeenPrediction
from runtime.kafka_clients import new_consumer
from runtime.kafka_errors import meaning_of
from runtime.kafka_metadata import partitions_of


class ResultReader(threading.Thread):
    """Fills an `Observed` until `stop()`; `failure` holds what ended it early, if anything did."""

    def __init__(
        self, pipeline: Pipeline, kafka: KafkaConnection, topic_prefix: str, observed: Observed
    ) -> None:
        super().__init__(name="result-reader", daemon=True)
        self._kafka, self._prefix, self._observed = kafka, topic_prefix, observed
        self._stopping = threading.Event()
        self._watched = (PREDICTIONS, *(source.dead_letters for source in pipeline.sources), DRIFT)
        self._form = forms_of(pipeline)[pipeline.scored.name]
        self._decode = msgspec.json.Decoder(SeenPrediction).decode
        self._decode_drift = msgspec.json.Decoder(SeenDrift).decode
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
        quick = {"fetch.wait.max.ms": 10, "fetch.min.bytes": 1, "queued.max.messages.kbytes": 65_536}
        consumer = new_consumer(self._kafka, "result-reader", f"{self._prefix}result-reader", quick)
        consumer.assign(
            [
                TopicPartition(topic.full_name(self._prefix), partition, OFFSET_BEGINNING)
                for topic in self._watched
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
                self._observed.add_drift(self._decode_drift(message.value() or b"{}"))
            else:
                self._take_dead_letter(message)
        if predictions:
            self._observed.add(predictions, at_s)

    def _take_dead_letter(self, message: Message) -> None:
        about = _headers(message)
        topic = about.get("topic", "").removeprefix(self._prefix)
        origin = (topic, int(about.get("partition", -1)), int(about.get("offset", -1)))
        key, value = message.key(), message.value()
        letter = SeenDeadLetter(topic, about.get("code", ""), key, value, self._id_of(value, origin))
        self._observed.add_dead_letter(origin, letter)

    def _id_of(self, value: bytes | None, origin: tuple[str, int, int]) -> str:
        """Return the id of a refused record's event; without a declared one its place is its id."""
        if not self._form.ids:
            return f"{origin[1]}-{origin[2]}"
        try:
            document = msgspec.json.decode(value or b"")
        except (
            msgspec.DecodeError,
            UnicodeDecodeError,
            RecursionError,
        ):  # a refused record need not be readable
            return ""
        return self._form.id_of(document) if isinstance(document, dict) else ""


def _raise_unless_passing(error: KafkaError) -> None:
    """A broker that is away comes back, and a topic may yet appear; anything else is not waited for."""
    if meaning_of(error) in ("forbidden", "hole", "final"):
        raise KafkaException(error)


def _headers(message: Message) -> dict[str, str]:
    """Return the dead letter's own headers without their common beginning."""
    headers = {}
    for name, value in list(message.headers() or []):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
        headers[str(name).removeprefix("headrace.dlq.")] = text
    return headers


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    return partitions_of(consumer, topic, 10.0)
