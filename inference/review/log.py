"""The review queue on Kafka: its two topics read to their ends, and a verdict written with its label, if any.

The label is acknowledged before the verdict is sent. An analyst whose command died in between finds the case
open and gives the verdict again; the label then comes twice with one content, which counts once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    KafkaError,
    KafkaException,
)

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, StateError
from contracts.events import ReviewVerdict
from contracts.topics import REVIEWS, VERDICTS, Topic
from features.project.running import RunningProject
from inference.offline.lake.lake import Lake
from inference.review.labels import label_of
from inference.review.queue import CONFIRMED, Case, now_ms, queue
from runtime.kafka_clients import new_consumer, new_producer
from runtime.kafka_metadata import partitions_of
from runtime.topic_reader import read_to_end
from runtime.unreadable import Passer

SILENCE_S = 15.0


class GivenVerdict(NamedTuple):
    """What came of a verdict: the case with it, whether it is new, and why no label was sent, if none was."""

    case: Case
    new: bool
    unlabelled: str = ""


class ReviewLog:
    """Cases and verdicts of one run on its topics."""

    def __init__(self, kafka: KafkaConnection, prefix: str, project: RunningProject) -> None:
        self._kafka, self._prefix, self._project = kafka, prefix, project

    def cases(self) -> dict[str, Case]:
        """Return every case that the topics still hold.

        Raises:
            ClusterError: E_REVIEW_READ, the cluster does not answer.
        """
        return queue(self._values(REVIEWS), self._values(VERDICTS))

    def decide(
        self, case_id: str, verdict: str, who: str, why: str, at_ms: int | None = None
    ) -> GivenVerdict:
        """Give a verdict, and the label that follows from it where a case is enough to make one.

        The same verdict again by the same analyst changes nothing. Without `at_ms` it is dated with the
        newest event time of the queue, and never before the event.

        Raises:
            StateError: E_REVIEW_UNKNOWN. ClusterError: E_REVIEW_READ, E_REVIEW_WRITE.
        """
        cases = self.cases()
        case = find(cases, case_id)
        before = case.counted.get(who)
        if before is not None and before.verdict == verdict:
            return GivenVerdict(case, new=False)
        opened = case.opened
        number = sum(one.who == who for one in case.verdicts)
        decided_at = max(now_ms(cases) if at_ms is None else at_ms, opened.event_time)
        said = ReviewVerdict(
            verdict_id=f"{opened.case_id}/{number}/{who}", case_id=opened.case_id,
            event_id=opened.event_id, verdict=verdict, who=who, why=why,  # type: ignore[arg-type]
            decided_at=decided_at,
        )  # fmt: skip
        label = label_of(self._project, opened, verdict == CONFIRMED, decided_at)
        if not isinstance(label, str):
            self._write(self._project.pipeline.labels[0].records, label.key, label.value)
        self._write(VERDICTS, opened.event_id.encode(), msgspec.json.encode(said))
        found = msgspec.structs.replace(case, verdicts=(*case.verdicts, said))
        return GivenVerdict(found, new=True, unlabelled=label if isinstance(label, str) else "")

    def _values(self, topic: Topic) -> list[bytes]:
        """Return a topic's committed values, partition after partition."""
        name = topic.full_name(self._prefix)
        from_what_is_left = {"auto.offset.reset": "earliest"}  # retention may delete while we read
        consumer = new_consumer(self._kafka, "review", f"{self._prefix}review", from_what_is_left)
        try:
            begin = dict.fromkeys(partitions_of(consumer, name, SILENCE_S), OFFSET_BEGINNING)
            read = read_to_end(consumer, name, begin, SILENCE_S, passer=Passer(self._kafka))
            found = [(one.partition() or 0, one.offset() or 0, one.value() or b"") for one in read]
        except KafkaException as error:
            raise ClusterError("E_REVIEW_READ", str(error.args[0]), name, "run `headrace doctor`") from error
        finally:
            consumer.close()
        return [value for _, _, value in sorted(found)]

    def _write(self, topic: Topic, key: bytes, value: bytes) -> None:
        name = topic.full_name(self._prefix)
        failed: list[str] = []

        def told(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failed.append(error.str())

        producer = new_producer(self._kafka, "review", {"message.timeout.ms": 15_000})
        producer.produce(name, value, key, on_delivery=told)
        left = producer.flush(20.0)
        if left or failed:
            why = failed[0] if failed else "not acknowledged in time"
            raise ClusterError("E_REVIEW_WRITE", why, name, "give the verdict again when Kafka is there")


def cases_in(lake: Lake) -> dict[str, Case]:
    """Return every case that the lake holds; no server needs to run."""
    return queue(_stored(lake, "reviews"), _stored(lake, "verdicts"))


def find(cases: dict[str, Case], sought: str) -> Case:
    """Return the case of that id, or of that event.

    Raises:
        StateError: E_REVIEW_UNKNOWN.
    """
    if sought in cases:
        return cases[sought]
    for case in cases.values():
        if case.opened.event_id == sought:
            return case
    raise StateError(
        "E_REVIEW_UNKNOWN", f"{sought!r} names no case", f"{len(cases)} cases",
        "give a case_id or event_id that `headrace review list --all` shows",
    )  # fmt: skip


def _stored(lake: Lake, dataset: str) -> Sequence[bytes]:
    if not lake.has(dataset):
        return []
    values: list[bytes] = lake.read(dataset, ["value"])["value"].to_pylist()
    return values
