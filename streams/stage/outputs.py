"""What a stage sends: frames to the next topic, dead letters beside it, by one idempotent producer.

A delivery that fails ends the incarnation, by an error in the callback that leaves the producer's thread;
nothing is sent again by hand, since the successor makes the same records from the marker and the readers'
lanes fold what had arrived.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, Message

from contracts.connections import KafkaConnection
from contracts.crash_points import reach
from contracts.errors import Stop
from contracts.frame_check import Refused
from contracts.refused_frames import refused_letter
from runtime.kafka_clients import new_producer
from streams.stage.core import Step
from streams.stage.dead_letters import DeadLetterTopic

log = structlog.get_logger("streams.stage")

RECORDS_QUEUED_MAX = 100_000
SAID_S = 10.0
MANY = 64  # records of a step: fewer are handed over one by one


class OutputProducer:
    """One idempotent producer for all partitions of a worker, served by a thread of its own."""

    def __init__(self, kafka: KafkaConnection) -> None:
        self._producer = new_producer(
            kafka,
            "outputs",
            {
                "linger.ms": 0,
                "queue.buffering.max.kbytes": 262_144,
                "queue.buffering.max.messages": RECORDS_QUEUED_MAX,
            },
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="outputs", daemon=True)
        self._thread.start()

    def produce(self, topic: str, value: bytes | None, on_delivery: Callable[..., None], **more: Any) -> None:
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

        Raises:
            Stop: E_DELIVERY, the client took only some of them.
        """
        while len(self._producer) + len(values) > RECORDS_QUEUED_MAX:
            self._producer.poll(0.01)
        records = [{"value": value} for value in values]
        taken = self._producer.produce_batch(topic, records, partition, on_delivery=on_delivery)
        if taken != len(records):
            found = f"{taken} of {len(records)} records queued"
            raise Stop(71, "E_DELIVERY", found, f"{topic}/{partition}")

    def close(self, timeout_s: float) -> int:
        """Send what is queued; return how many records are left."""
        self._stopping.set()
        self._thread.join(1.0)
        left: int = self._producer.flush(timeout_s)
        return left

    def _serve(self) -> None:
        while not self._stopping.is_set():
            reach("stage.outputs_thread")
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
        self._said_s = -SAID_S
        self._open: dict[int, int] = {}  # records by step, until Kafka has them all

    def send(self, step: Step) -> None:
        """Produce a step's frames to their partitions, then its dead letters and those of refused frames."""
        delivered = self._delivered(len(step.records) + len(step.dead_letters) + len(step.refused))
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
                record.topic,
                record.value,
                delivered,
                partition=record.partition,
                key=record.key,
                headers=record.headers,
            )

        for refused in step.refused:
            self._refuse(refused, delivered)

    def _refuse(self, refused: Refused, delivered: Callable[..., None]) -> None:
        """Keep a record of a frame that was not taken; said at most every `SAID_S` seconds a partition."""
        key, value, headers = refused_letter(refused, self._dead_letters.stage)
        self._producer.produce(self._dead_letters.topic, value, delivered, key=key, headers=headers)
        if time.monotonic() - self._said_s >= SAID_S:
            self._said_s = time.monotonic()
            log.error(
                "frame_refused", code=refused.code, reason=refused.reason, topic=refused.topic,
                partition=refused.partition, offset=refused.offset, next_step="`headrace dlq list` shows all",
            )  # fmt: skip

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
            reach("stage.on_delivery")
            if error is not None:
                raise Stop(71, "E_DELIVERY", str(error), f"{message.topic()}")
            if next(arrived) == records:
                self._open.pop(number, None)

        return delivered
