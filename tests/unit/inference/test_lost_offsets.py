"""A scorer begins where it has no offsets only when nothing was scored there; silence is no answer."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError, KafkaException, TopicPartition

from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import ClusterError, StateError
from inference.scorer import lost_offsets
from inference.scorer.lost_offsets import Search
from inference.scorer.settings import ScorerSettings
from runtime.kafka_metadata import partitions_of

SETTINGS = ScorerSettings(
    kafka=KafkaConnection(bootstrap_servers="127.0.0.1:1"), redis=RedisConnection(host="127.0.0.1", port=1),
    models=Path("models"),
)  # fmt: skip
LOG, PREDICTIONS = "features.log", "predictions"
Records = dict[str, list[list[tuple[int, bytes]]]]  # by topic and partition: time and value


class Log:
    """A broker's logs in memory, as both clients see them; `silent` partitions are never answered for."""

    def __init__(
        self, records: Records, offsets: Sequence[int], silent: Sequence[tuple[str, int]] = ()
    ) -> None:
        self._records, self._offsets, self._silent = records, list(offsets), set(silent)
        self._waiting: list[Any] = []

    def list_topics(self, topic: str, timeout: float) -> Any:
        partitions = dict.fromkeys(range(len(self._records[topic])))
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions=partitions)})

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [
            TopicPartition(part.topic, part.partition, self._offsets[part.partition]) for part in partitions
        ]

    def get_watermark_offsets(self, part: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, len(self._records[part.topic][part.partition])

    def offsets_for_times(self, parts: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        found = []
        for part in parts:
            records = self._records[part.topic][part.partition]
            later = [at for at, (time_ms, _) in enumerate(records) if time_ms >= part.offset]
            found.append(TopicPartition(part.topic, part.partition, later[0] if later else -1))
        return found

    def assign(self, parts: list[TopicPartition]) -> None:
        self._waiting = []
        for part in parts:
            if (part.topic, part.partition) in self._silent:
                continue
            records = self._records[part.topic][part.partition][part.offset :]
            self._waiting += [_Message(part.partition, time_ms, value) for time_ms, value in records]
            self._waiting.append(_Message(part.partition, 0, b"", KafkaError(KafkaError._PARTITION_EOF)))

    def unassign(self) -> None:
        self._waiting = []

    def consume(self, _count: int, _timeout: float) -> list[Any]:
        waiting, self._waiting = self._waiting, []
        return waiting


class _Message:
    def __init__(self, partition: int, time_ms: int, value: bytes, error: KafkaError | None = None) -> None:
        self._of = partition, time_ms, value, error

    def partition(self) -> int:
        return self._of[0]

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, self._of[1]

    def value(self) -> bytes:
        return self._of[2]

    def error(self) -> KafkaError | None:
        return self._of[3]


def _prediction(of: int) -> bytes:
    return b'{"prediction_id":"1/0/9","source":{"topic":"features.log","partition":%d,"offset":9}}' % of


HOUR_MS = 3_600_000
NOW_MS = 1_700_000_000_000
ROWS = [(NOW_MS, b"row")]


def _search(log: Log) -> None:
    Search(log, log, SETTINGS).refuse_lost()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offsets", "predictions"),
    {
        "a fresh run": ([-1001, -1001], [[], []]),
        "all offsets are there": ([1, 1], [[(NOW_MS, _prediction(0))], [(NOW_MS, _prediction(1))]]),
        "the other partition alone was scored": ([1, -1001], [[(NOW_MS, _prediction(0))], []]),
        "bytes that are no prediction": ([1, -1001], [[(NOW_MS, b"["), (NOW_MS, b'{"source":1}')], []]),
    }.values(),
)
def test_it_begins_where_nothing_was_scored(
    offsets: list[int], predictions: list[list[tuple[int, bytes]]]
) -> None:
    _search(Log({LOG: [ROWS, ROWS], PREDICTIONS: predictions}, offsets))


def test_an_empty_partition_needs_no_offset() -> None:
    _search(Log({LOG: [ROWS, []], PREDICTIONS: [[(NOW_MS, _prediction(1))]]}, [1, -1001]))


@pytest.mark.parametrize("offsets", [[-1001, -1001], [1, -1001]])
def test_a_partition_that_was_scored_and_has_no_offset_is_refused(offsets: list[int]) -> None:
    of_zero = [(NOW_MS, _prediction(0))] * 50
    log = Log(
        {LOG: [ROWS, ROWS], PREDICTIONS: [of_zero, [*of_zero, (NOW_MS + HOUR_MS, _prediction(1))]]}, offsets
    )
    with pytest.raises(StateError, match=r"E_SCORER_OFFSETS_LOST.*1\]"):
        _search(log)


def test_predictions_from_before_the_partitions_first_record_are_not_searched() -> None:
    long_ago = NOW_MS - 2 * HOUR_MS  # of a run before this one's topics were made again
    _search(Log({LOG: [ROWS, ROWS], PREDICTIONS: [[(long_ago, _prediction(1))], []]}, [1, -1001]))


@pytest.mark.parametrize("silent", [(PREDICTIONS, 0), (LOG, 1)])
def test_silence_never_reads_as_no_predictions(
    silent: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_offsets, "SILENCE_S", 0.0)
    log = Log({LOG: [ROWS, ROWS], PREDICTIONS: [[(NOW_MS, _prediction(1))], []]}, [-1001, -1001], [silent])
    with pytest.raises(KafkaException, match="silent"):
        _search(log)


def test_a_topic_without_partitions_or_with_an_error_is_not_an_empty_one() -> None:
    for found in (
        SimpleNamespace(error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), partitions={}),
        SimpleNamespace(error=None, partitions={}),
    ):
        client = SimpleNamespace(
            list_topics=lambda topic, timeout, f=found: SimpleNamespace(topics={topic: f})
        )
        with pytest.raises(ClusterError, match="E_TOPIC_MISSING"):
            partitions_of(client, LOG, 1.0)


def test_an_unanswered_question_for_partitions_is_an_error() -> None:
    def silent(_topic: str, timeout: float) -> Any:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    with pytest.raises(ClusterError, match="E_KAFKA_UNREACHABLE"):
        partitions_of(SimpleNamespace(list_topics=silent), LOG, 1.0)
