"""Reading a topic whole, as committed."""

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from contracts.connections import KafkaConnection
from load.oracle.dump import Record
from runtime.kafka_metadata import partitions_of

SILENCE_S = 30.0


def read_all(kafka: KafkaConnection, topic: str) -> list[Record]:
    """Return a topic's committed records, by partition and offset.

    Raises:
        KafkaException: the cluster fell silent or refused.
        ClusterError: E_TOPIC_MISSING or E_KAFKA_UNREACHABLE, it did not say which partitions there are.
    """
    consumer = Consumer(
        {
            **kafka.librdkafka(), "group.id": "chaos-collect", "enable.auto.commit": False,
            "isolation.level": "read_committed", "enable.partition.eof": True, "log_level": 2,
        }
    )  # fmt: skip
    try:
        left = set(partitions_of(consumer, topic, SILENCE_S))
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in left])
        records: list[Record] = []
        while left:
            messages = consumer.consume(10_000, 1.0) or consumer.consume(1, SILENCE_S)
            if not messages:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{topic}: no answer"))
            for message in messages:
                error = message.error()
                if error is None:
                    records.append(_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition() or 0)
                else:
                    raise KafkaException(error)
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


def _record(message: Message) -> Record:
    headers = [(str(name), value) for name, value in list(message.headers() or [])]
    return Record(
        message.partition() or 0, message.offset() or 0, message.timestamp()[1], message.key(),
        message.value(), headers,  # type: ignore[arg-type]  # header values are bytes or None
    )  # fmt: skip
