"""How far the inputs of lanes have come, asked of Kafka; see `contracts.frame_check.InputEnds`."""

from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

from contracts.connections import KafkaConnection
from contracts.errors import Stop
from runtime.input_record import InputRecord, logical
from runtime.kafka_clients import new_consumer
from runtime.kafka_errors import meaning_of

TIMEOUT_S = 2.0
AS_WRITTEN = {"isolation.level": "read_uncommitted"}  # the end as writers see it, with what is not committed


class KafkaInputEnds:
    """The ends of one cluster's partitions, as offsets by which the run names records; used by one thread.

    >>> KafkaInputEnds(KafkaConnection(bootstrap_servers="127.0.0.1:9"), "demo.").seen("orders/0")
    0
    """

    def __init__(self, kafka: KafkaConnection, prefix: str, lake: Path | None = None) -> None:
        self._record = InputRecord(lake)
        self._prefix = prefix
        self._seen: dict[str, int] = {}
        self._kafka = kafka
        self._consumer: Consumer | None = None

    def seen(self, src: str) -> int:
        """Return the end offset of a lane's input as last seen, 0 before it was asked for."""
        return self._seen.get(src, 0)

    def now(self, src: str) -> int | None:
        """Return the present end offset of a lane's input, None when there is no such partition.

        Raises:
            Stop: E_INPUT_END, Kafka does not answer.
        """
        topic, _, number = src.rpartition("/")
        place = TopicPartition(self._prefix + topic, int(number))
        if self._consumer is None:
            self._consumer = new_consumer(self._kafka, "input-ends", "headrace-input-ends", AS_WRITTEN)
        try:
            found = self._consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
        except KafkaException as error:
            if meaning_of(error) == "missing":
                return None
            raise Stop(75, "E_INPUT_END", str(error), src) from error
        if found is None:
            raise Stop(75, "E_INPUT_END", f"no answer in {TIMEOUT_S:g} s", src)
        self._seen[src] = logical(int(found[1]), self._record.generation(topic))
        return self._seen[src]

    def close(self) -> None:
        """Let go of the connection."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
