"""What a stage sends: frames to the next topic, dead letters beside it, by one idempotent producer.

A delivery that fails ends the incarnation; nothing is sent again by hand, since the successor makes the
same records from the marker and the readers' lanes fold what had arrived.
"""

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from contracts.connections import KafkaConnection
from contracts.errors import Stop
from streams.stage.core import Step
from streams.stage.dead_letters import DeadLetterTopic

OnStop = Callable[[Stop], None]
RECORDS_QUEUED_MAX = 100_000
MANY = 64  # records of a step: fewer are handed over one by one


class OutputProducer:
    """One idempotent producer for all partitions of a worker, served by a thread of its own."""

    def __init__(self, kafka: KafkaConnection, on_stop: OnStop) -> None:
        self.on_stop = on_stop
        self._producer = Producer(
            {
                **kafka.librdkafka(),
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 0,
                "queue.buffering.max.kbytes": 262_144,
                "queue.buffering.max.messages": RECORDS_QUEUED_MAX,
                "partitioner": "murmur2_random",
            }
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="outputs", daemon=True)
        self._thread.start()

    def produce(self, topic: str, value: bytes, on_delivery: Callable[..., None], **more: Any) -> None:
        """Hand one record over; waits only when the client's queue is full."""
        while True:
            try:
                self._producer.produce(topic, value, on_delivery=on_delivery, **more)
                return
            except BufferError:
                self._producer.poll(0.01)

    def produce_many(
        self, topic: str, partition: int, values: Sequence[bytes], on_delivery: Callable[..., None]
    ) -> None:
        """Hand many records of one partition over at once, when the client's queue has room for all.

        A record refused in the middle would let later ones overtake it, so it ends the incarnation.
        """
        while len(self._producer) + len(values) > RECORDS_QUEUED_MAX:
            self._producer.poll(0.01)
        records = [{"value": value} for value in values]
        taken = self._producer.produce_batch(topic, records, partition, on_delivery=on_delivery)
        if taken != len(records):
            found = f"{taken} of {len(records)} records queued"
            self.on_stop(Stop(71, "E_DELIVERY", found, f"{topic}/{partition}"))

    def close(self, timeout_s: float) -> int:
        """Send what is queued; return how many records are left."""
        self._stopping.set()
        self._thread.join(1.0)
        left: int = self._producer.flush(timeout_s)
        return left

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.1)


class PartitionOutputs:
    """The outputs of one input partition: hands records over in order and knows what Kafka has.

    A mark is a step's number; steps are numbered as they are handed over.
    """

    def __init__(self, producer: OutputProducer, topic: str, dead_letters: DeadLetterTopic) -> None:
        self._producer = producer
        self._topic = topic
        self._dead_letters = dead_letters
        self._newest = 0
        self._open: dict[int, int] = {}  # records by step, until Kafka has them all

    def send(self, step: Step) -> None:
        """Produce a step's frames to their partitions, then its dead letters."""
        delivered = self._delivered(len(step.records) + len(step.dead_letters))
        if len(step.records) < MANY:
            for target, data in step.records:
                self._producer.produce(self._topic, data, delivered, partition=target)
        else:
            for target in {target for target, _ in step.records}:
                values = [data for to, data in step.records if to == target]
                for begin in range(0, len(values), RECORDS_QUEUED_MAX // 2):
                    some = values[begin : begin + RECORDS_QUEUED_MAX // 2]
                    self._producer.produce_many(self._topic, target, some, delivered)
        for letter in step.dead_letters:
            record = self._dead_letters.record(letter)
            self._producer.produce(
                self._dead_letters.topic,
                record.value,
                delivered,
                partition=record.partition,
                key=record.key,
                headers=record.headers,
            )

    def mark(self) -> object:
        """Return the number of the newest step."""
        return self._newest

    def acknowledged(self, mark: object) -> bool:
        """Return whether Kafka has every record up to the mark."""
        assert isinstance(mark, int)
        return not any(number <= mark for number in tuple(self._open))

    def unacknowledged(self) -> int:
        """Return how many records the steps hold that are not in Kafka whole."""
        return sum(tuple(self._open.values()))

    def _delivered(self, records: int) -> Callable[[KafkaError | None, Message], None]:
        """Open a step and return what each of its records is to call; callers may be several threads."""
        self._newest = number = self._newest + 1
        if records:
            self._open[number] = records
        arrived = itertools.count(1)

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._producer.on_stop(Stop(71, "E_DELIVERY", str(error), f"{message.topic()}"))
            if next(arrived) == records:
                self._open.pop(number, None)

        return delivered
