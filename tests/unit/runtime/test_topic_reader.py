"""Partitions read once to their ends: what is waited out, passed over, enough, or the end of it."""

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from structlog.testing import capture_logs

from contracts.connections import KafkaConnection
from runtime import unreadable
from runtime.topic_reader import read_to_end
from runtime.unreadable import TRIES, Passer

TOPIC = "letters"


def record(partition: int, offset: int) -> Message:
    return Message(topic=TOPIC, partition=partition, offset=offset, value=b"%d" % offset)


def said(code: int, partition: int = 0, offset: int = 0) -> Message:
    return Message(topic=TOPIC, partition=partition, offset=offset, error=KafkaError(code))


def end(partition: int) -> Message:
    return said(KafkaError._PARTITION_EOF, partition)


class Log:
    """A consumer that hands out batches, then nothing for ever."""

    def __init__(self, *batches: Sequence[Message]) -> None:
        self._batches = list(batches)
        self.assigned: list[tuple[int, int]] = []
        self.sought: list[tuple[int, int]] = []

    def assign(self, places: list[TopicPartition]) -> None:
        self.assigned = [(place.partition, place.offset) for place in places]

    def seek(self, place: TopicPartition) -> None:
        self.sought.append((place.partition, place.offset))

    def consume(self, _count: int, _timeout_s: float) -> Sequence[Message]:
        return self._batches.pop(0) if self._batches else []


def offsets(log: Log, begin: dict[int, int], **more: Any) -> list[tuple[int | None, int | None]]:
    read = read_to_end(log, TOPIC, begin, 0.05, **more)  # type: ignore[arg-type]  # a consumer's calls
    return [(message.partition(), message.offset()) for message in read]


def test_each_partition_is_read_to_its_own_end() -> None:
    log = Log([record(0, 7), end(1)], [record(0, 8), end(0)], [record(0, 9)])
    assert offsets(log, {0: 7, 1: 3}) == [(0, 7), (0, 8)]
    assert log.assigned == [(0, 7), (1, 3)]


def test_nothing_asked_is_nothing_read() -> None:
    assert offsets(Log([record(0, 1)]), {}) == []


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError.NOT_LEADER_FOR_PARTITION])
def test_what_passes_is_waited_out_and_is_no_sign_of_life(code: int) -> None:
    assert offsets(Log([said(code)], [record(0, 1), said(code), end(0)]), {0: 0}) == [(0, 1)]

    class Away(Log):
        def consume(self, _count: int, _timeout_s: float) -> Sequence[Message]:
            return [said(code)]

    with pytest.raises(KafkaException, match="silent for"):
        offsets(Away(), {0: 0})


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._BAD_MSG,
        KafkaError._FAIL,
    ],
)
def test_what_does_not_pass_is_raised(code: int) -> None:
    with pytest.raises(KafkaException) as raised:
        offsets(Log([record(0, 1), said(code)], [end(0)]), {0: 0})
    assert raised.value.args[0].code() == code


def test_a_silence_is_raised() -> None:
    with pytest.raises(KafkaException, match=r"letters: silent for 0\.05 s") as raised:
        offsets(Log([record(0, 1)]), {0: 0})
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT


def test_enough_of_a_partition_leaves_the_others() -> None:
    log = Log([record(0, 1), record(1, 4)], [record(1, 5), end(1)])
    assert offsets(log, {0: 0, 1: 4}, enough=lambda m: m.partition() == 0) == [(0, 1), (1, 4), (1, 5)]


def test_a_batch_that_cannot_be_unpacked_is_tried_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreadable, "find_end", lambda *_: 74)
    bad = said(KafkaError._BAD_COMPRESSION, 0, 10)
    log = Log(*[[bad]] * TRIES, [record(0, 74), end(0)])
    with capture_logs() as logs:
        found = offsets(log, {0: 0}, passer=Passer(KafkaConnection(bootstrap_servers="nowhere")))
    assert (found, log.sought) == ([(0, 74)], [(0, 74)])
    assert [(one["event"], one["first"], one["last"]) for one in logs] == [("records_passed_over", 10, 73)]
