"""Find the end of a record batch that Kafka's client cannot unpack, so that a partition can go on behind it.

A batch that expands beyond the client's limit is refused again at each fetch, from whichever offset inside
it is asked for, and the client names only the offset at which the batch begins. So the first offset behind
it is searched for: steps that double until something else answers, then halves.
"""

import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from contracts.connections import KafkaConnection
from contracts.errors import Stop

ERRORS = (KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG)
PROBE_TIMEOUT_S = 5.0


def first_behind(base: int, end: int, inside: Callable[[int], bool]) -> int:
    """Return the first offset behind the batch that begins at `base`, at most `end`.

    Args:
        base: where the unreadable batch begins.
        end: the partition's end.
        inside: asks the log whether an offset is in that batch.

    >>> first_behind(10, 500, inside=lambda offset: offset < 74)
    74
    """
    low, step = base, 1
    while low + step < end and inside(low + step):
        low, step = low + step, step * 2
    high = min(low + step, end)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if inside(middle) else (low, middle)
    return high


def find_end(kafka: KafkaConnection, topic: str, partition: int, base: int) -> int:
    """Ask Kafka for the first offset behind an unreadable batch.

    Raises:
        Stop: E_GATE_PROBE (70), Kafka does not answer.
    """
    probe = Consumer(
        kafka.librdkafka()
        | {
            "group.id": "headrace-probe",  # never joined: partitions are assigned by hand
            "enable.auto.commit": False,
            "fetch.error.backoff.ms": 20,
            "enable.partition.eof": True,
            **FETCH,
        }
    )
    try:
        _, end = probe.get_watermark_offsets(TopicPartition(topic, partition), PROBE_TIMEOUT_S)
        return first_behind(base, end, lambda offset: _inside(probe, topic, partition, (base, offset)))
    except KafkaException as error:
        raise Stop(70, "E_GATE_PROBE", str(error), f"{topic}/{partition}") from error
    finally:
        probe.close()


# A batch may not unpack to more than `receive.message.max.bytes`; the gate and the probe must agree on it.
FETCH = {"fetch.max.bytes": 16_777_216, "receive.message.max.bytes": 20_000_000}


def _inside(probe: Consumer, topic: str, partition: int, span: tuple[int, int]) -> bool:
    base, offset = span
    probe.assign([TopicPartition(topic, partition, offset)])
    deadline = time.monotonic() + PROBE_TIMEOUT_S
    while time.monotonic() < deadline:
        message = probe.poll(0.1)
        if message is None:
            continue
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return False
        if error.code() in ERRORS:
            return message.offset() == base
    raise Stop(70, "E_GATE_PROBE", "no answer in time", f"{topic}/{partition}@{offset}")
