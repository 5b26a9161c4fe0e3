"""The review queue on Kafka: its two topics read to their ends, and a verdict written with its label.

The label is acknowledged before the verdict is sent. An analyst whose command died in between finds the case
open and gives the verdict again; the label then comes twice with one content, which counts once.
"""

from collections.abc import Sequence

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, StateError
from contracts.events import Label, ReviewVerdict
from contracts.topics import LABELS, REVIEWS, VERDICTS, Topic
from inference.lake.lake import Lake
from inference.review.queue import LABEL_OF, Case, now_ms, queue

SILENCE_S = 15.0


class ReviewLog:
    """Cases and verdicts of one run on its topics."""

    def __init__(self, kafka: KafkaConnection, prefix: str) -> None:
        self._kafka, self._prefix = kafka, prefix

    def cases(self) -> dict[str, Case]:
        """Return every case that the topics still hold.

        Raises:
            ClusterError: E_REVIEW_READ, the cluster does not answer.
        """
        return queue(self._values(REVIEWS), self._values(VERDICTS))

    def decide(
        self, case_id: str, verdict: str, who: str, why: str, at_ms: int | None = None
    ) -> tuple[Case, bool]:
        """Give a verdict; return the case with it, and whether it is new.

        The same verdict again by the same analyst changes nothing. Without `at_ms` it is dated with the
        newest event time of the queue, and never before the payment.

        Raises:
            StateError: E_REVIEW_UNKNOWN. ClusterError: E_REVIEW_READ, E_REVIEW_WRITE.
        """
        cases = self.cases()
        case = find(cases, case_id)
        before = case.counted.get(who)
        if before is not None and before.verdict == verdict:
            return case, False
        opened = case.opened
        number = sum(one.who == who for one in case.verdicts)
        decided_at = max(now_ms(cases) if at_ms is None else at_ms, opened.event_time)
        said = ReviewVerdict(
            verdict_id=f"{opened.case_id}/{number}/{who}", case_id=opened.case_id,
            transaction_id=opened.transaction_id, verdict=verdict, who=who, why=why,  # type: ignore[arg-type]
            decided_at=decided_at,
        )  # fmt: skip
        label = Label(
            transaction_id=opened.transaction_id, customer_id=opened.customer_id,
            terminal_id=opened.terminal_id,
            label=LABEL_OF[verdict], event_time=opened.event_time, label_time=decided_at, source="analyst",  # type: ignore[arg-type]
        )  # fmt: skip
        self._write(LABELS, opened.transaction_id, msgspec.json.encode(label))
        self._write(VERDICTS, opened.transaction_id, msgspec.json.encode(said))
        return msgspec.structs.replace(case, verdicts=(*case.verdicts, said)), True

    def _values(self, topic: Topic) -> list[bytes]:
        """Return a topic's committed values, partition after partition."""
        name = topic.full_name(self._prefix)
        consumer = Consumer(
            self._kafka.librdkafka() | {
                "group.id": f"{self._prefix}review", "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed", "auto.offset.reset": "earliest", "log_level": 2,
            }
        )  # fmt: skip
        try:
            left = set(consumer.list_topics(name, SILENCE_S).topics[name].partitions)
            consumer.assign([TopicPartition(name, number, OFFSET_BEGINNING) for number in left])
            found: list[tuple[int, int, bytes]] = []
            while left:
                messages = consumer.consume(1000, 0.1) or consumer.consume(1, SILENCE_S)
                if not messages:
                    raise ClusterError("E_REVIEW_READ", "the cluster fell silent", name, "is Kafka there?")
                for message in messages:
                    error = message.error()
                    if error is None:
                        found.append(
                            (message.partition() or 0, message.offset() or 0, message.value() or b"")
                        )
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard(message.partition() or 0)
                    else:
                        raise ClusterError("E_REVIEW_READ", error.str(), name, "run `headrace doctor`")
        except KafkaException as error:
            raise ClusterError("E_REVIEW_READ", str(error.args[0]), name, "run `headrace doctor`") from error
        finally:
            consumer.close()
        return [value for _, _, value in sorted(found)]

    def _write(self, topic: Topic, key: str, value: bytes) -> None:
        name = topic.full_name(self._prefix)
        failed: list[str] = []

        def told(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failed.append(error.str())

        producer = Producer(
            self._kafka.librdkafka()
            | {"enable.idempotence": True, "partitioner": "murmur2_random", "message.timeout.ms": 15_000}
        )
        producer.produce(name, value, key, on_delivery=told)
        left = producer.flush(20.0)
        if left or failed:
            why = failed[0] if failed else "not acknowledged in time"
            raise ClusterError("E_REVIEW_WRITE", why, name, "give the verdict again when Kafka is there")


def cases_in(lake: Lake) -> dict[str, Case]:
    """Return every case that the lake holds; no server needs to run."""
    return queue(_stored(lake, "reviews"), _stored(lake, "verdicts"))


def find(cases: dict[str, Case], sought: str) -> Case:
    """Return the case of that id, or of that transaction.

    Raises:
        StateError: E_REVIEW_UNKNOWN.
    """
    if sought in cases:
        return cases[sought]
    for case in cases.values():
        if case.opened.transaction_id == sought:
            return case
    raise StateError(
        "E_REVIEW_UNKNOWN", f"{sought!r} names no case", f"{len(cases)} cases",
        "give a case_id or transaction_id that `headrace review list --all` shows",
    )  # fmt: skip


def _stored(lake: Lake, dataset: str) -> Sequence[bytes]:
    if not lake.has(dataset):
        return []
    values: list[bytes] = lake.read(dataset, ["value"])["value"].to_pylist()
    return values
