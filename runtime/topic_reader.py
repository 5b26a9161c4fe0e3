"""Reading partitions once, to their present ends, by whoever asks and does not go on reading."""

import time
from collections.abc import Callable, Iterator, Mapping

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from runtime.kafka_errors import is_end, is_transient
from runtime.unreadable import CODE, Passer, is_unreadable

RECORDS_A_READ = 2000
WAIT_S = 0.1

log = structlog.get_logger(__name__)


def read_to_end(
    consumer: Consumer,
    topic: str,
    begin: Mapping[int, int],
    silence_s: float,
    *,
    passer: Passer | None = None,
    enough: Callable[[Message], bool] = lambda _: False,
) -> Iterator[Message]:
    """Yield the records of partitions from an offset each to where they end now, in no order among them.

    Args:
        consumer: of `runtime.kafka_clients`; what it was assigned before it is not any more.
        begin: the first offset to read, or OFFSET_BEGINNING, by partition.
        silence_s: how long it may take until the next record or end comes.
        passer: passes over batches that cannot be unpacked, and logs it; without one they are errors.
        enough: whether a record is the last one that is wanted of its partition.

    Raises:
        KafkaException: an error that waiting does not change, or `_TIMED_OUT` after such a silence.
        Stop: E_GATE_PROBE (70), from the passer.
    """
    left = set(begin)
    consumer.assign([TopicPartition(topic, number, offset) for number, offset in begin.items()])
    heard_s = time.monotonic()
    while left:
        for message in consumer.consume(RECORDS_A_READ, WAIT_S):
            error = message.error()
            if error is not None and is_transient(error):
                continue  # counts as silence: nothing came
            heard_s = time.monotonic()
            if error is None:
                if enough(message):
                    left.discard(message.partition() or 0)
                yield message
            elif is_end(error):
                left.discard(message.partition() or 0)
            elif passer is not None and is_unreadable(message):
                _pass_over(consumer, passer, message)
            else:
                raise KafkaException(error)
        if left and time.monotonic() - heard_s > silence_s:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{topic}: silent for {silence_s:g} s"))


def _pass_over(consumer: Consumer, passer: Passer, message: Message) -> None:
    """Go on behind a batch that cannot be unpacked, once that is sure."""
    passed = passer.look(message)
    if passed is not None:
        consumer.seek(passed.next)
        log.warning(
            "records_passed_over", code=CODE, topic=passed.topic, partition=passed.partition,
            first=passed.first, last=passed.behind - 1,
        )  # fmt: skip
