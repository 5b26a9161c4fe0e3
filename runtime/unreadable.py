"""Find the end of a record batch that Kafka's client cannot unpack, so that a partition can go on behind it.

Three kilobytes can expand beyond what a client may take in, and one such batch on a topic that others write
to would hold up its partition for ever. So every reader of ours asks a `Passer` what to do with a record that
came as an error; after a few tries that names the offsets to pass over, which the reader keeps a record of.

A batch that expands beyond the client's limit is refused again at each fetch, from whichever offset inside
it is asked for, and the client names only the offset at which the batch begins. So the first offset behind
it is searched for: steps that double until something else answers, then halves.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contracts.connections import KafkaConnection
from contracts.errors import Stop
from runtime.kafka_clients import new_consumer
from runtime.kafka_errors import is_end, meaning_of

CODE = "E_UNREADABLE"
REASON = "the record batch cannot be unpacked"
TRIES = 3
PROBE_TIMEOUT_S = 5.0


class Passed(NamedTuple):
    """Records [first, behind) of a partition that are passed over; `topic` with a run's prefix."""

    topic: str
    partition: int
    first: int
    behind: int

    @property
    def next(self) -> TopicPartition:
        """Return where to go on."""
        return TopicPartition(self.topic, self.partition, self.behind)


class Passer:
    """Gives each unreadable batch a few tries, since a disk or a network may have been at fault."""

    def __init__(self, kafka: KafkaConnection) -> None:
        self._kafka = kafka
        self._tries: dict[tuple[str, int, int], int] = {}

    def look(self, message: Message) -> Passed | None:
        """Return what to pass over now; None while it is tried again.

        Args:
            message: one that `is_unreadable`.

        Raises:
            Stop: E_GATE_PROBE (70), Kafka does not answer where the batch ends.
        """
        place = (message.topic() or "", message.partition() or 0, message.offset() or 0)
        tries = self._tries[place] = self._tries.get(place, 0) + 1
        if tries < TRIES:
            return None
        self.forget(*place[:2])
        return Passed(*place, find_end(self._kafka, *place))

    def forget(self, topic: str, partition: int) -> None:
        """Count anew on a partition: it was passed over, or given to somebody else."""
        self._tries = {p: n for p, n in self._tries.items() if p[:2] != (topic, partition)}


def is_unreadable(message: Message) -> bool:
    """Return whether a message stands for a batch that the client cannot unpack."""
    error = message.error()
    return error is not None and meaning_of(error) == "unreadable" and message.offset() is not None


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
    probe = new_consumer(kafka, "probe", "headrace-probe", {"fetch.error.backoff.ms": 20})
    try:
        _, end = probe.get_watermark_offsets(TopicPartition(topic, partition), PROBE_TIMEOUT_S)
        return first_behind(base, end, lambda offset: _inside(probe, topic, partition, (base, offset)))
    except KafkaException as error:
        raise Stop(70, "E_GATE_PROBE", str(error), f"{topic}/{partition}") from error
    finally:
        probe.close()


def _inside(probe: Consumer, topic: str, partition: int, span: tuple[int, int]) -> bool:
    base, offset = span
    probe.assign([TopicPartition(topic, partition, offset)])
    deadline = time.monotonic() + PROBE_TIMEOUT_S
    while time.monotonic() < deadline:
        message = probe.poll(0.1)
        if message is None:
            continue
        error = message.error()
        if error is None or is_end(error):
            return False
        if meaning_of(error) == "unreadable":
            return message.offset() == base
    raise Stop(70, "E_GATE_PROBE", "no answer in time", f"{topic}/{partition}@{offset}")
